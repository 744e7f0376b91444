"""Columns that are not stored as they are shown: computed ones, and optional times."""

from datetime import datetime
from operator import eq

from conftest import LAMP
from myapp.core import sql, unit_of_work
from support.features.sample_chores.models import SampleChore
from support.features.sample_notes.models import SampleNote


def test_a_computed_column_is_in_every_response(app, client):
    gadget = client.post("/api/v1/sample_gadgets/", json=LAMP).json
    notes = f"{gadget['url']}/sample_notes/"
    note = client.post(notes, json={"content": "Warm white."}).json
    assert (note["recent"], note["historic"]) == (True, False)
    assert note["sample_gadget"] == gadget["id"]
    assert client.get(f"{notes}?recent=true").json["items"] == [note]
    with app.app_context(), unit_of_work():
        sql.session.execute(
            sql.update(SampleNote).values(created_at=datetime(1999, 1, 1))
        )
    changed = client.put(note["url"], json={"content": "Cold white."}).json
    assert (changed["recent"], changed["historic"]) == (False, True)
    assert client.get(f"{notes}?recent=true").json["items"] == []


def test_a_model_adds_to_the_declarations_of_its_mixins():
    assert {"sample_gadget", "recent", "historic"} <= SampleNote.read_only.keys()
    assert SampleNote.filters.keys().isdisjoint({"sample_gadget", "historic"})


def test_a_query_finds_an_optional_time_without_a_value(app, client):
    for due_at in (None, "2026-11-21T07:40:00Z"):
        chore = {"name": "Bulb", "task": "Change it", "due_at": due_at}
        client.post("/api/v1/sample_chores/", json=chore)

    def number(*conditions):
        query = sql.select(sql.func.count(SampleChore.id)).where(*conditions)
        return sql.session.scalar(query)

    with app.app_context():
        for has_none in (SampleChore.due_at.is_(None), eq(SampleChore.due_at, None)):
            assert number(has_none) == number(~has_none) == 1
        assert (
            number(SampleChore.due_at.is_not(None), SampleChore.due_at.is_(None)) == 0
        )
