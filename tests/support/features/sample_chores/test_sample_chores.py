"""Chores: rules between properties, and the bodies that obey them."""

import pytest

from support.assertions import assert_problem

from .models import HAS_NO_TIME, STAYS_DONE

CHORES = "/api/v1/sample_chores/"
BODY = {"name": "Bulb", "task": "Change it"}
TIME = "2026-11-21T07:40:00Z"

RULE_DETAILS = {HAS_NO_TIME, STAYS_DONE}


def fit_body(body, before=None):
    """Return a similar body that obeys the rules; `before`: the record that it changes."""
    done = body.get("done") or bool(before and before["done"])
    return body | {"done": done} | ({"due_at": None} if done else {})


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_a_rule_is_reported_as_a_violation_of_the_schema_is(client, verb):
    chore = client.post(CHORES, json=BODY | {"due_at": TIME}).json
    late = client.post(CHORES, json=BODY | {"done": True, "due_at": TIME})
    fault = {"pointer": "/due_at", "detail": HAS_NO_TIME}
    assert assert_problem(late, 422)["errors"] == [fault]
    body = BODY | {"done": True, "due_at": TIME} if verb == "PUT" else {"done": True}
    late = client.open(chore["url"], method=verb, json=body)
    assert assert_problem(late, 422)["errors"] == [fault]
    assert client.get(chore["url"]).json == chore


def test_a_rule_may_compare_with_the_record_before(client):
    chore = client.post(CHORES, json=BODY | {"done": True}).json
    undone = client.put(chore["url"], json=BODY | {"due_at": TIME})
    fault = {"pointer": "/done", "detail": STAYS_DONE}
    assert assert_problem(undone, 422)["errors"] == [fault]
    assert client.patch(chore["url"], json={"name": "Lamp"}).json["name"] == "Lamp"
