"""Computed columns: they come with every response, and a mixin adds its own properties."""

from datetime import datetime

from conftest import LAMP
from myapp.core import sql, unit_of_work
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
