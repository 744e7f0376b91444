"""`{prefix}/sample_chores/`: the chores that I own."""

from flask import g

from myapp.core import (
    FeatureApi,
    Resource,
    accepts,
    accepts_patch,
    answers,
    answers_nothing,
    idempotent,
    merged,
    must_match,
    paged,
    requires,
)

from .models import SampleChore

chores = FeatureApi("sample_chores", "Chores of an account.", owned=True)


@chores.route("/")
class Chores(Resource):
    @requires()
    @paged(SampleChore)
    def get(self, page):
        """List your chores."""
        return SampleChore.page(page, **SampleChore.readable())

    @requires()
    @idempotent
    @accepts(SampleChore)
    @answers(SampleChore, 201)
    def post(self, body):
        """Create a chore."""
        return SampleChore.create(owner_id=g.caller.id, **body)


@chores.route("/<int:id>")
class OneChore(Resource):
    @requires()
    @answers(SampleChore)
    def get(self, id):
        """Read a chore."""
        return SampleChore.get_or_404(id, **SampleChore.readable())

    @requires()
    @accepts(SampleChore)
    @answers(SampleChore)
    def put(self, id, body):
        """Replace a chore."""
        chore = SampleChore.lock_or_404(id, **SampleChore.writable())
        must_match(chore)
        return chore.update(**body)

    @requires()
    @accepts_patch(SampleChore)
    @answers(SampleChore)
    def patch(self, id, patch):
        """Change some properties of a chore."""
        chore = SampleChore.lock_or_404(id, **SampleChore.writable())
        must_match(chore)
        return chore.update(**merged(chore, patch))

    @requires()
    @answers_nothing
    def delete(self, id):
        """Delete a chore."""
        chore = SampleChore.lock_or_404(id, **SampleChore.writable())
        must_match(chore)
        chore.delete()
