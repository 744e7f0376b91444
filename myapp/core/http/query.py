"""Query parameters: parse them, report every error, document them."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import lru_cache, partial, wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from flask import current_app, g, request

from ..data.models.pages import Page
from ..data.models.schema_model import SchemaModel
from ..errors import Malformed, fault, json_pointer
from ..schema.fields import MAX_INT64, NO_NUL_PATTERN, json_types
from ..schema.operation import document_operation, problem_spec
from ..schema.parsing import TIME_PARSERS, parse_value

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Schema = dict[str, Any]
Sort = tuple[tuple[str, bool], ...]  # name of a field, and whether it descends

INVALID_QUERY = problem_spec("A query parameter is invalid.")
MAX_PAGE_NUMBER = 2**31 - 1
MAX_SEARCH_CHARACTERS = 250  # characters


class CheckParameter(Protocol):
    """A function that returns a query parameter, parsed.

    If the parameter is absent or invalid, it returns `default`. `parse` raises ValueError
    with the detail of the error.
    """

    def __call__(self, name: str, parse: Callable[[str], T], default: T) -> T: ...


@contextmanager
def collect_query_errors() -> Iterator[CheckParameter]:
    """Yield a CheckParameter; at the end, raise 400 with every error that it met, and
    with every parameter that the verb does not have."""
    arguments = request.args
    errors = [] if g.get("query_checked") else unknown_parameters(arguments)
    g.query_checked = True

    def check(name: str, parse: Callable[[str], T], default: T) -> T:
        if name not in arguments:
            return default
        values = arguments.getlist(name)
        try:
            if len(values) > 1:
                raise ValueError("Must be given only once.")
            return parse(values[0])
        except ValueError as error:
            errors.append(fault(f"/{name}", str(error)))
            return default

    yield check
    if errors:
        raise Malformed("The query string is invalid.", errors)


def check_query() -> None:
    """Raise 400 if the query has a parameter that the verb does not have."""
    if request.environ.get("QUERY_STRING"):
        with collect_query_errors():
            pass


def unknown_parameters(names: Iterable[str]) -> list[dict[str, str]]:
    """Return an error for each name that is no query parameter of the requested verb."""
    view = getattr(
        current_app.view_functions[str(request.endpoint)], "view_class", None
    )
    method = "get" if request.method == "HEAD" else request.method.lower()
    verb = getattr(view, method, None)
    errors: list[dict[str, str]] = []
    if verb is None:  # not of a feature
        return errors
    known = parameter_names(verb)
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            errors.append(fault(json_pointer(name), f"Unknown parameter.{hint}"))
    return errors


@lru_cache(1000)
def parameter_names(verb: Any) -> tuple[str, ...]:
    """Return the names of a verb's query parameters."""
    parameters = getattr(verb, "operation", {"parameters": ()})["parameters"]
    return tuple(p["name"] for p in parameters if p["in"] == "query")


def query_params(**schemas: Schema) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Parse query parameters; the verb gets them as keyword arguments.

    `schemas`: the schema of each parameter. If one is absent, the verb gets the default of
    its schema. Raises 400 with every error.
    """

    def decorator(verb: Callable[..., R]) -> Callable[..., R]:
        @wraps(verb)
        def wrapper(*args: Any, **kwargs: Any) -> R:
            with collect_query_errors() as check:
                parameters = {
                    name: check(
                        name, partial(parse_value, schema), schema.get("default")
                    )
                    for name, schema in schemas.items()
                }
            return verb(*args, **parameters, **kwargs)

        return document_operation(
            wrapper,
            decorator="query_params",
            parameters=[
                query_parameter(name, **schema) for name, schema in schemas.items()
            ],
            responses={"400": INVALID_QUERY},
        )

    return decorator


def parse_selection(model: type[SchemaModel], check: CheckParameter) -> Page:
    """Return a Page of all records that the query selects, in its sort order."""
    arguments = request.args
    return Page(
        number=1,
        size=0,
        sort=check("sort", lambda text: parse_sort(model, text), (("id", False),)),
        filters={
            name: check(name, partial(parse_value, schema), None)
            for name, schema in model.filters.items()
            if name in arguments
        },
        search=check("q", parse_search, ""),
        count="none",
        cursor=None,
    )


def parse_positive(text: str) -> int:
    """Parse an integer from 1 to MAX_PAGE_NUMBER, or raise ValueError."""
    if not re.fullmatch("[0-9]{1,10}", text) or not 1 <= int(text) <= MAX_PAGE_NUMBER:
        raise ValueError(f"Must be an integer from 1 to {MAX_PAGE_NUMBER}.")
    return int(text)


def parse_search(text: str) -> str:
    """Parse the text to search for, or raise ValueError."""
    if len(text) > MAX_SEARCH_CHARACTERS:
        raise ValueError(f"Must have at most {MAX_SEARCH_CHARACTERS} characters.")
    parse_value({"type": "string"}, text)  # raises ValueError if it contains NUL
    return text


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a parser that accepts only these texts."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"Must be one of: {', '.join(choices)}.")
        return text

    return parse


def parse_sort(model: type[SchemaModel], text: str) -> Sort:
    """Parse a sort parameter, as `-created_at,name`, or raise ValueError.

    Ties are ordered by `id`, in the direction of the last field, so that one index serves
    both directions.
    """
    pairs: list[tuple[str, bool]] = []
    for part in text.split(","):
        name = part.removeprefix("-")
        if name not in model.sortable:
            raise ValueError(f"Must name sortable fields: {', '.join(model.sortable)}.")
        if name not in (known for known, _ in pairs):
            pairs.append((name, part != name))
    if "id" not in (name for name, _ in pairs):
        pairs.append(("id", pairs[-1][1]))
    return tuple(pairs)


def format_sort(pairs: Iterable[tuple[str, bool]]) -> str:
    """Return the sort parameter that `parse_sort` parses to these pairs."""
    return ",".join(("-" if descends else "") + name for name, descends in pairs)


def query_parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """Return the OpenAPI object of a query parameter."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def filter_parameters(model: type[SchemaModel]) -> list[dict[str, Any]]:
    """Return the OpenAPI objects of the parameters that `parse_selection` reads."""
    names = ", ".join(model.sortable)
    field = f"-?({'|'.join(model.sortable)})"
    filters = [
        query_parameter(
            name,
            f"Return only items with exactly this {name}.",
            **filter_schema(schema),
        )
        for name, schema in model.filters.items()
    ]
    return [
        query_parameter(
            "sort",
            f"Comma-separated fields; a minus before one sorts it descending: {names}.",
            type="string",
            pattern=f"^{field}(,{field})*$",
            examples=[f"-{model.sortable[-1]}"],
        ),
        query_parameter(
            "q",
            "Return only items with this text in any text field, ignoring case.",
            type="string",
            maxLength=MAX_SEARCH_CHARACTERS,
            pattern=NO_NUL_PATTERN,
        ),
        *filters,
    ]


def filter_schema(schema: Schema) -> Schema:
    """Return the schema of a filter on a property, as `parse_value` accepts it.

    It allows any value of the property's type, except null.
    """
    kind = next(kind for kind in json_types(schema) if kind != "null")
    if kind == "integer":
        return {"type": kind, "minimum": -MAX_INT64, "maximum": MAX_INT64}
    if schema.get("format") in TIME_PARSERS:
        return {"type": kind, "format": schema["format"]}
    return (
        {"type": kind, "pattern": NO_NUL_PATTERN}
        if kind == "string"
        else {"type": kind}
    )
