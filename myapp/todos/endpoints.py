"""`{prefix}/todos/`: household to-dos."""

from flask import g

from ..core import (
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
from .models import Todo

todos = FeatureApi("todos", "Household to-dos, optionally about a device.", owned=True)


@todos.route("/")
class Todos(Resource):
    @requires()
    @paged(Todo)
    def get(self, page):
        """List your to-dos."""
        return Todo.page(page, **Todo.readable())

    @requires()
    @idempotent
    @accepts(Todo)
    @answers(Todo, 201)
    def post(self, body):
        """Note a to-do."""
        return Todo.create(owner_id=g.caller.id, **body)


@todos.route("/<int:id>")
class OneTodo(Resource):
    @requires()
    @answers(Todo)
    def get(self, id):
        """Read a to-do."""
        return Todo.get_or_404(id, **Todo.readable())

    @requires()
    @accepts(Todo)
    @answers(Todo)
    def put(self, id, body):
        """Replace a to-do."""
        found = Todo.lock_or_404(id, **Todo.writable())
        must_match(found)
        return found.update(**body)

    @requires()
    @accepts_patch(Todo)
    @answers(Todo)
    def patch(self, id, patch):
        """Change some properties of a to-do."""
        found = Todo.lock_or_404(id, **Todo.writable())
        must_match(found)
        return found.update(**merged(found, patch))

    @requires()
    @answers_nothing
    def delete(self, id):
        """Remove a to-do."""
        found = Todo.lock_or_404(id, **Todo.writable())
        must_match(found)
        found.delete()
