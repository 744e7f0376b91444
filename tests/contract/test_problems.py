"""Kinds of problems: each conflict of the business has a type, which a page describes."""

import re

import pytest

from conftest import LAMP
from myapp.core.errors import ServiceError
from support.assertions import assert_problem

KINDS = list(ServiceError.kinds())
LABELS = "/api/v1/sample_labels/"


def test_each_kind_of_problem_is_described_on_its_page(stranger):
    page = stranger.get("/docs/problems")
    assert page.mimetype == "text/html"
    assert re.findall(r'<dt id="([^"]+)">', page.text) == sorted(
        kind.problem for kind in KINDS
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_problem_has_a_name_and_a_sentence(kind):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.problem)
    assert re.fullmatch(r"[A-Z][^\n]*\.", kind.__doc__)
    assert kind("Other words.").detail == "Other words."
    assert kind().detail == kind.__doc__


def test_a_client_can_tell_conflicts_apart(client, admin):
    label = {"name": "fragile", "colour": "red"}
    assert client.post(LABELS, json=label).status_code == 201
    taken = assert_problem(client.post(LABELS, json=label), 409)
    assert (taken["type"], taken["title"], taken["detail"]) == (
        "/docs/problems#value-taken",
        "Value taken",
        "The name is taken.",
    )
    default = next(r for r in admin.get("/api/v1/roles/").json["items"] if r["default"])
    refused = assert_problem(admin.delete(default["url"]), 409)
    assert refused["type"] == "/docs/problems#default-role"
    assert refused["detail"] == "This is the default role."


def test_the_type_leads_to_the_page_below_a_mount_path(client):
    gadgets, key = "/api/v1/sample_gadgets/", {"Idempotency-Key": "a"}
    below = {"environ_overrides": {"SCRIPT_NAME": "/home"}}
    client.post(gadgets, json=LAMP, headers=key, **below)
    reused = client.post(gadgets, json=LAMP | {"name": "B"}, headers=key, **below)
    assert reused.json["type"] == "/home/docs/problems#key-reused"
