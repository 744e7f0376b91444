"""`{prefix}/todos/`: the to-dos of the caller."""

from flask import g

from ..core import (
    FeatureApi,
    Resource,
    accepts,
    accepts_patch,
    apply_merge_patch,
    check_preconditions,
    idempotent,
    paginated,
    requires,
    responds_no_content,
    responds_with,
)
from .models import Todo

todos = FeatureApi(
    "todos", "To-dos of a household, optionally about a device.", owned=True
)


@todos.route("/")
class Todos(Resource):
    @requires()
    @paginated(Todo)
    def get(self, page):
        """List your to-dos."""
        return Todo.page(page, **Todo.readable())

    @requires()
    @idempotent
    @accepts(Todo)
    @responds_with(Todo, 201)
    def post(self, body):
        """Add a to-do."""
        return Todo.create(owner_id=g.caller.id, **body)


@todos.route("/<int:id>")
class OneTodo(Resource):
    @requires()
    @responds_with(Todo)
    def get(self, id):
        """Read a to-do."""
        return Todo.get_or_404(id, **Todo.readable())

    @requires()
    @accepts(Todo)
    @responds_with(Todo)
    def put(self, id, body):
        """Replace a to-do."""
        todo = Todo.lock_or_404(id, **Todo.writable())
        check_preconditions(todo)
        return todo.update(**body)

    @requires()
    @accepts_patch(Todo)
    @responds_with(Todo)
    def patch(self, id, patch):
        """Change some properties of a to-do."""
        todo = Todo.lock_or_404(id, **Todo.writable())
        check_preconditions(todo)
        return todo.update(**apply_merge_patch(todo, patch))

    @requires()
    @responds_no_content
    def delete(self, id):
        """Delete a to-do."""
        todo = Todo.lock_or_404(id, **Todo.writable())
        check_preconditions(todo)
        todo.delete()
