"""Compiled queries: constants of any type, beside bound parameters."""

from datetime import datetime, timedelta

from sqlalchemy import case, select

from conftest import LAMP
from myapp.core import compiled_query
from support.features.sample_gadgets.models import SampleGadget

TOMORROW = datetime.now() + timedelta(days=1)


@compiled_query
def gadgets_with_constants(id):
    """Return a SELECT with constants that a driver takes only when they are converted."""
    fresh = case((SampleGadget.created_at < TOMORROW, "fresh"), else_="old")
    columns = select(SampleGadget.id, fresh).where(SampleGadget.id == id)
    return columns.where(
        SampleGadget.updated_at.not_in([datetime(2000, 1, 1), TOMORROW])
    )


def test_a_query_may_have_constants_of_any_type(app, client):
    first, second = (
        client.post("/api/v1/sample_gadgets/", json=LAMP).json for _ in "ab"
    )
    with app.app_context():
        assert list(gadgets_with_constants(id=second["id"])) == [
            (second["id"], "fresh")
        ]
        assert list(gadgets_with_constants(id=first["id"])) == [(first["id"], "fresh")]
        assert list(gadgets_with_constants(id=0)) == []
