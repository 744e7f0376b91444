"""A mypy plugin that knows the columns of a model, which come from its JSON Schema.

    book = Book.get_or_404(7)
    book.title  # str
    book.titel  # error: "Row[Book]" has no attribute "titel"

The plugin imports the model and reads its `read_schema`, so that it needs no rules for the
functions that build a schema. Editors that run mypy show the same; mypy's daemon needs a
restart after a schema has changed. tests/support/model_types.py is the test.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from mypy.errorcodes import ATTR_DEFINED
from mypy.nodes import MemberExpr, TypeInfo
from mypy.options import Options
from mypy.plugin import AttributeContext, ClassDefContext, Plugin
from mypy.plugins.common import add_attribute_to_class
from mypy.types import (
    AnyType,
    Instance,
    NoneType,
    Type,
    TypeOfAny,
    UnionType,
    get_proper_type,
)

MODELS = "myapp.core.data.models"
BASE = f"{MODELS}.schema_model.SchemaModel"
SQL_MODEL = f"{MODELS}.sql_model.SqlModel"
ROW = f"{MODELS}.row.Row."
COLUMNS = "columns"  # the key of a model's columns in its metadata, {name: types}
TYPES = {
    "string": "builtins.str",  # or one of TIMES
    "integer": "builtins.int",
    "number": "builtins.float",
    "boolean": "builtins.bool",
    "null": None,
}
TIMES = {"date-time": "datetime.datetime", "date": "datetime.date"}


def plugin(version: str) -> type[Plugin]:
    """Return the plugin; mypy calls this."""
    return Models


class Models(Plugin):
    """The types of the columns of models, and of rows of them."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        root = str(Path(__file__).parents[1])
        sys.path[:0] = [root, *options.mypy_path]  # to import the models

    def get_base_class_hook(
        self, fullname: str
    ) -> Callable[[ClassDefContext], None] | None:
        symbol = self.lookup_fully_qualified(fullname)
        base = symbol.node if symbol else None
        is_model = isinstance(base, TypeInfo) and base.has_base(BASE)
        return add_columns if is_model else None

    def get_attribute_hook(
        self, fullname: str
    ) -> Callable[[AttributeContext], Type] | None:
        return row_attribute if fullname.startswith(ROW) else None


def add_columns(ctx: ClassDefContext) -> None:
    """Add the columns of a model to its class, as far as the class does not define them."""
    info = ctx.cls.info
    if info.module_name.startswith(MODELS):
        return
    try:
        model = getattr(import_module(info.module_name), ctx.cls.name)
        if not hasattr(model, "shown_fields"):  # a mixin
            return
        properties = model.read_schema["properties"]
        columns = {name: type_names(properties[name]) for name in model.shown_fields}
        for name in getattr(model, "hidden", ()):
            kind = getattr(model, name).type.python_type
            columns[name] = [f"{kind.__module__}.{kind.__qualname__}"]
    except Exception as error:  # the code that is checked may fail in any way
        message = f"Cannot read the columns of {ctx.cls.name}: {error!r}"
        ctx.api.fail(message, ctx.cls)
        return
    info.metadata[COLUMNS] = columns
    for name, types in columns.items():
        if info.get(name) is None:
            column = union(types, ctx.api.named_type)
            if info.has_base(SQL_MODEL):
                column = ctx.api.named_type("sqlalchemy.orm.base.Mapped", [column])
            add_attribute_to_class(ctx.api, ctx.cls, name, column)


def row_attribute(ctx: AttributeContext) -> Type:
    """Return the type of an attribute of a Row; report one that the model does not have."""
    row = get_proper_type(ctx.type)
    model = get_proper_type(row.args[0]) if isinstance(row, Instance) else None
    columns = model.type.metadata.get(COLUMNS) if isinstance(model, Instance) else None
    if columns is None or not isinstance(ctx.context, MemberExpr):
        return ctx.default_attr_type
    name = ctx.context.name
    if name in columns:
        return union(columns[name], ctx.api.named_generic_type)
    message = f'"Row[{model.type.name}]" has no attribute "{name}"'
    ctx.api.fail(message, ctx.context, code=ATTR_DEFINED)
    return AnyType(TypeOfAny.from_error)


def type_names(schema: dict[str, Any]) -> list[str | None]:
    """Return the names of the types that a property may have; none where any may occur.

    None stands for null.
    """
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not TYPES.keys() >= set(kinds):
        return []
    text = TIMES.get(schema.get("format", ""), "builtins.str")
    return [text if kind == "string" else TYPES[kind] for kind in kinds]


def union(names: list[str | None], named_type: Callable[..., Instance]) -> Type:
    """Return the union of types; Any if there are none."""
    types = [named_type(name, []) if name else NoneType() for name in names]
    return UnionType.make_union(types) if types else AnyType(TypeOfAny.explicit)
