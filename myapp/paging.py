"""Collections in pages: filters, sort, search, links.

Links carry a cursor, the place where a page begins or ends, so that a page costs the same
however deep it lies. `page=N` works too, and counts its way there.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from contextlib import contextmanager
from functools import lru_cache, partial, wraps
from math import ceil
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson
from flask import request
from werkzeug.sansio.utils import get_current_url

from .openapi import carrying, describes, example_of, problem_response
from .etags import answer, conditional, dumps
from .problems import Problem, fault
from .schema import BIGGEST, NO_NUL, TIMES, kinds, parsed, reading

PER_PAGE = 20
MOST_PER_PAGE = 100
MOST_COUNTED = 10_000  # a total is counted so far, for its price to have a ceiling
DEEPEST = 2**31 - 1
LONGEST_SEARCH = 250  # characters
AN_ADDRESS = "https://api.example.com/api/v1/devices"
OWN = ("page", "per_page", "sort", "q", "view", "total", "cursor", "format")


class Place(NamedTuple):
    """Where a page begins; a cursor says it in a link.

    `values`: those of the sort fields next to the page, or None for the very end.
    `backward`: whether the page lies before them. `size`: of the last page, else 0.
    """

    sort: str
    values: list | None
    backward: bool
    page: int
    size: int = 0

    def as_cursor(self):
        return urlsafe_b64encode(dumps(list(self))).rstrip(b"=").decode()


class Page(NamedTuple):
    """What a client asked for.

    `sort`: pairs of field name and whether it descends; the last one is unique.
    """

    number: int
    size: int
    sort: tuple[tuple[str, bool], ...]
    filters: dict[str, Any]
    words: str
    count: str
    place: Place | None

    @property
    def backward(self):
        return bool(self.place and self.place.backward)

    @property
    def limit(self):
        """How many items the page holds at most."""
        return self.place and self.place.size or self.size

    @property
    def offset(self):
        """How many items to count past; none where a cursor leads there."""
        return 0 if self.place else (self.number - 1) * self.size


EVERYTHING = Page(1, 0, (("id", False),), {}, "", "none", None)


class Found(NamedTuple):
    """What a model answers with: records in order, and whether more lie beyond them (in
    the direction of reading). `total` is None where nobody asked."""

    records: list
    more: bool
    total: int | None
    exact: bool


def paged(model):
    """Answer with a page of `model`; the verb gets a Page as `page`, returns a Found."""
    schema = collection_schema(model)

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            page = asked_for(model)
            found = verb(*args, page=page, **kwargs)
            meta = meta_of(page, found)
            items = [model.as_json(record) for record in found.records]
            if request.args.get("view") == "urls":
                body = {"urls": [item["url"] for item in items], "meta": meta}
            else:
                body = {"items": items, "meta": meta}
            response = answer(body, codable=True)
            links = [
                f'<{meta[rel]}>; rel="{rel}"'
                for rel in ("first", "prev", "next", "last")
                if meta[rel]
            ]
            response.headers["Link"] = ", ".join(links)
            return response

        return conditional(
            describes(
                wrapper,
                parameters=parameters_of(model),
                responses={
                    "200": {
                        "description": "A page.",
                        "headers": carrying("ETag", "Link"),
                        "content": {"application/json": {"schema": schema}},
                    },
                    "304": {
                        "description": "You have it already.",
                        "headers": carrying("Link"),
                    },
                    "400": problem_response("A query parameter makes no sense."),
                },
            )
        )

    return decorator


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
        raise Problem(400, "The query makes no sense.", errors)


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


def asked_for(model):
    """The Page that the query describes. Raises 400 with every fault."""
    with checked() as check:
        choice = chosen(model, check)
        size = min(check("per_page", positive, PER_PAGE), MOST_PER_PAGE)
        count = check("total", one_of("capped", "exact", "none"), "capped")
        place = check(
            "cursor", lambda text: parse_cursor(model, choice.sort, text), None
        )
        number = check("page", positive, 1)
        check("view", one_of("items", "urls"), "items")
        return choice._replace(
            number=place.page if place else number, size=size, count=count, place=place
        )


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


def parse_cursor(model, sort, text):
    """The Place that a link of ours led to; it comes from outside, so nothing is taken
    on trust."""
    try:
        padded = text + "=" * (-len(text) % 4)
        place = Place(*orjson.loads(urlsafe_b64decode(padded)))
        fits = (
            place.sort == sort_text(sort)
            and type(place.backward) is bool
            and type(place.page) is int
            and type(place.size) is int
            and 1 <= place.page <= DEEPEST
            and 0 <= place.size <= MOST_PER_PAGE
            and (place.backward if place.values is None else True)
        )
        if fits and place.values is not None:
            fields = model.read_schema["properties"]
            if len(place.values) != len(sort):
                raise ValueError
            values = [
                from_cursor(fields[name], value)
                for (name, _), value in zip(sort, place.values)
            ]
            place = place._replace(values=values)
    except (Base64Error, ValueError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise ValueError("is not a cursor of this collection, sorted like this")
    return place


def from_cursor(schema, value):
    """A value out of a cursor, as the store compares it."""
    if value is None and "null" in kinds(schema):
        return None
    if "string" in kinds(schema) and type(value) is not str:
        raise ValueError
    return parsed(schema, value if type(value) is str else dumps(value).decode())


def meta_of(page, found):
    """What stands beside the items: where we are, how much there is, and the links."""
    pages = ceil(found.total / page.size) if found.exact else None
    sort = sort_text(page.sort)
    link = linked()

    def beside(record, backward, number):
        values = [getattr(record, name) for name, _ in page.sort]
        return link(Place(sort, values, backward, number).as_cursor())

    at_end = page.backward and page.place.values is None
    has_next = bool(found.records) and ((not at_end) if page.backward else found.more)
    has_prev = bool(found.records) and (
        found.more if page.backward else page.number > 1
    )
    last = None
    if pages:
        size = found.total - (pages - 1) * page.size
        last = link(Place(sort, None, True, pages, size).as_cursor())
    prev = None
    if has_prev:
        prev = beside(found.records[0], True, max(page.number - 1, 1))
    elif not found.records and page.number > 1:
        prev = last
    return {
        "page": page.number,
        "per_page": page.size,
        "pages": pages,
        "total": found.total,
        "total_exact": found.exact,
        "first": link(None),
        "prev": prev,
        "next": beside(found.records[-1], False, page.number + 1) if has_next else None,
        "last": last,
    }


def here(path):
    """The absolute address of a path below where we are mounted."""
    asked = request._get_current_object()
    return address(asked.scheme, asked.host, asked.root_path, path)


address = lru_cache(1000)(get_current_url)


def linked():
    """What makes a link of a cursor: this collection, asked for in the same way."""
    others = [
        (name, value)
        for name, value in request.args.items(multi=True)
        if name not in ("page", "cursor")
    ]
    base = here(request.path)

    def link(cursor):
        query = urlencode(others + [("cursor", cursor)] if cursor else others)
        return f"{base}?{query}" if query else base

    return link


def query(name, description, **schema):
    """A parameter in the query, as the documents tell it."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def parameters_of(model):
    """What `asked_for` reads for a page."""
    return [
        query("page", "Which page.", type="integer", minimum=1, maximum=DEEPEST),
        query(
            "per_page",
            f"Items on a page; more than {MOST_PER_PAGE} is clamped to that.",
            type="integer",
            minimum=1,
            maximum=DEEPEST,
            default=PER_PAGE,
        ),
        query(
            "view",
            "`urls`: only where the items are.",
            type="string",
            enum=["items", "urls"],
            default="items",
        ),
        query(
            "total",
            f"How to count: up to {MOST_COUNTED:,}, wholly, or not at all.",
            type="string",
            enum=["capped", "exact", "none"],
            default="capped",
        ),
        query(
            "cursor",
            "Stands in links; follow them.",
            type="string",
            pattern="^[A-Za-z0-9_-]+$",
        ),
        *filter_parameters(model),
    ]


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


def collection_schema(model):
    """The read schema of a page of `model`."""

    def count(description, example, *kinds):
        kind = ["integer", *kinds] if kinds else "integer"
        told = {"description": description, "examples": [example]}
        return {"type": kind, "minimum": 0, **told}

    def uri(description, example, *kinds):
        kind = ["string", *kinds] if kinds else "string"
        told = {"description": description, "examples": [example]}
        return {"type": kind, "format": "uri", **told}

    meta = reading(
        "PageMeta",
        page=count("Which page this is.", 1),
        per_page=count("How many items a page holds.", PER_PAGE),
        pages=count("How many pages there are; null where nobody counted.", 1, "null"),
        total=count(f"How many items, counted to {MOST_COUNTED:,}.", 1, "null"),
        total_exact={"type": "boolean", "description": "Whether there are no more."},
        first=uri("The first page.", AN_ADDRESS),
        prev=uri("The page before.", None, "null"),
        next=uri("The page after.", None, "null"),
        last=uri(
            "The last page; null where nobody counted the pages.", AN_ADDRESS, "null"
        ),
    )
    items = model.read_schema
    return {
        "title": f"{model.__name__}Page",
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "items": items,
                "description": "The items; with `view=urls` there are `urls` instead.",
            },
            "urls": {
                "type": "array",
                "items": items["properties"]["url"],
                "description": "Where the items are.",
            },
            "meta": {**meta, "description": "Where this page stands."},
        },
        "required": ["meta"],
        "additionalProperties": False,
        "examples": [{"items": [example_of(items)], "meta": example_of(meta)}],
    }
