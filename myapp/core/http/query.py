"""Query parameters: parse them, report every fault, document them."""

import re
from contextlib import contextmanager
from functools import partial, wraps

from flask import request

from ..data.models.pages import Page
from ..errors import Malformed, fault
from ..schema.fields import BIGGEST, NO_NUL, kinds
from ..schema.operation import describes, problem_response
from ..schema.parsing import TIMES, parsed

DEEPEST = 2**31 - 1
LONGEST_SEARCH = 250  # characters


@contextmanager
def checked():
    """What reads a parameter of the query; at its end 400 is raised with every fault."""
    errors = []
    sent = request.args

    def check(name, parse, default):
        if name not in sent:
            return default
        values = sent.getlist(name)
        try:
            if len(values) > 1:
                raise ValueError("is given more than once")
            return parse(values[0])
        except ValueError as error:
            errors.append(fault(f"/{name}", str(error)))
            return default

    yield check
    if errors:
        raise Malformed("The query makes no sense.", errors)


def queried(**schemas):
    """Take parameters from the query, each as its schema says, or that schema's default
    where it is left out; the verb gets them by their names."""

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            with checked() as check:
                told = {
                    name: check(name, partial(parsed, schema), schema.get("default"))
                    for name, schema in schemas.items()
                }
            return verb(*args, **told, **kwargs)

        return describes(
            wrapper,
            parameters=[query(name, **schema) for name, schema in schemas.items()],
            responses={"400": problem_response("A query parameter makes no sense.")},
        )

    return decorator


def chosen(model, check):
    """The Page of all that the query chooses, in its order; `check` reads the query."""
    sent = request.args
    return Page(
        number=1,
        size=0,
        sort=check("sort", lambda text: parse_sort(model, text), (("id", False),)),
        filters={
            name: check(name, lambda text, schema=schema: parsed(schema, text), None)
            for name, schema in model.filters.items()
            if name in sent
        },
        words=check("q", parse_words, ""),
        count="none",
        place=None,
    )


def positive(text):
    if not re.fullmatch("[0-9]{1,10}", text) or not 1 <= int(text) <= DEEPEST:
        raise ValueError(f"must be a whole number from 1 to {DEEPEST}")
    return int(text)


def parse_words(text):
    if len(text) > LONGEST_SEARCH:
        raise ValueError(f"must have at most {LONGEST_SEARCH} characters")
    return parsed({"type": "string"}, text)


def one_of(*choices):
    def parse(text):
        if text not in choices:
            raise ValueError(f"must be one of: {', '.join(choices)}")
        return text

    return parse


def parse_sort(model, text):
    """`-created_at,name` as pairs. Ties go by `id`, in the direction of the last field,
    so that one index serves both ways."""
    pairs = []
    for part in text.split(","):
        name = part.removeprefix("-")
        if name not in model.sortable:
            raise ValueError(f"must name some of: {', '.join(model.sortable)}")
        if name not in (known for known, _ in pairs):
            pairs.append((name, part != name))
    if "id" not in (name for name, _ in pairs):
        pairs.append(("id", pairs[-1][1]))
    return tuple(pairs)


def sort_text(pairs):
    return ",".join(("-" if descends else "") + name for name, descends in pairs)


def query(name, description, **schema):
    """A parameter in the query, as the documents tell it."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def filter_parameters(model):
    """What `chosen` reads."""
    names = ", ".join(model.sortable)
    one = f"-?({'|'.join(model.sortable)})"
    return [
        query(
            "sort",
            f"Fields with commas between, a minus before one that descends: {names}.",
            type="string",
            pattern=f"^{one}(,{one})*$",
            examples=[f"-{model.sortable[-1]}"],
        ),
        query(
            "q",
            "Text anywhere in the text fields, in any case.",
            type="string",
            maxLength=LONGEST_SEARCH,
            pattern=NO_NUL,
        ),
        *(
            query(
                name, f"Only those with exactly this {name}.", **filter_schema(schema)
            )
            for name, schema in model.filters.items()
        ),
    ]


def filter_schema(schema):
    """What a filter on a property takes, as `parsed` has it: any value of its type, and
    no null."""
    kind = next(kind for kind in kinds(schema) if kind != "null")
    if kind == "integer":
        return {"type": kind, "minimum": -BIGGEST, "maximum": BIGGEST}
    if schema.get("format") in TIMES:
        return {"type": kind, "format": schema["format"]}
    return {"type": kind, "pattern": NO_NUL} if kind == "string" else {"type": kind}
