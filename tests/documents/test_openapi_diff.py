"""The comparison of OpenAPI documents: it finds each breaking change, and no other.

Each edit of our own document is judged both ways: forth, and as if it were taken back.
"""

import json
import os
import subprocess
import sys
from copy import deepcopy
from typing import Callable, NamedTuple

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myapp.ops.openapi_diff.verdict import (
    breaking_changes,
    judge,
    may_break,
    read_document,
)
from support import ROOT
from support.openapi_baseline import main

FILE = ROOT / "openapi.json"
WRITTEN = FILE.read_bytes()
TODAY = json.loads(WRITTEN)  # read only

SCHEMAS = "components", "schemas"
HEADERS = "components", "headers"
WRITE = *SCHEMAS, "DeviceWrite"
READ = *SCHEMAS, "Device"
NAME_SENT = *WRITE, "properties", "name"
NAME_GOT = *READ, "properties", "name"
API = "/api/v1"
DEVICES = "paths", f"{API}/devices"
ONE = "paths", f"{API}/devices/{{id}}"
LIST, POST = (*DEVICES, "get"), (*DEVICES, "post")
GET, PATCH = (*ONE, "get"), (*ONE, "patch")
CREATED = *POST, "responses", "201"
Q = {"type": "string", "maxLength": 250, "pattern": "^[^\\u0000]*$"}  # of the search
SENT_JSON = *POST, "requestBody", "content", "application/json"
GOT_JSON = *CREATED, "content", "application/json"


# Edits: each changes a document in place


def at(document, path):
    for step in path:
        document = document[step]
    return document


def put(*path):
    """Put the last of these where the others lead; a copy, so that it stays as it is."""
    *path, name, value = path
    return lambda document: at(document, path).__setitem__(name, deepcopy(value))


def drop(*path):
    *path, name = path
    return lambda document: at(document, path).pop(name)


def move(path, name):
    """Rename a member of an object."""
    *above, old = path

    def edit(document):
        parent = at(document, above)
        parent[name] = parent.pop(old)

    return edit


def append(*path):
    *path, value = path
    return lambda document: at(document, path).append(deepcopy(value))


def remove(*path):
    *path, value = path
    return lambda document: at(document, path).remove(value)


def parameter(path, name, /, **parts):
    """Change parts of a parameter of an operation; `where`: its `in`."""

    def edit(document):
        every = at(document, path)["parameters"]
        result = next(each for each in every if each["name"] == name)
        for part, value in parts.items():
            result["in" if part == "where" else part] = value

    return edit


def without(path, name):
    def edit(document):
        every = at(document, path)["parameters"]
        every[:] = [each for each in every if each["name"] != name]

    return edit


def both(*edits):
    def edit(document):
        for each in edits:
            each(document)

    return edit


def edit_document(edit, document=TODAY):
    changed = deepcopy(document)
    edit(changed)
    return changed


class Case(NamedTuple):
    """An edit, and the changes that it breaks forth and back.

    Both are words of which each is in a sentence, and every sentence has one. None if
    nothing breaks.
    """

    name: str
    edit: Callable
    forth: tuple | None
    back: tuple | None

    def __str__(self):
        return self.name


def case(name, edit, forth=None, back=None):
    forth, back = ((x,) if isinstance(x, str) else x for x in (forth, back))
    return Case(name, edit, forth, back)


TEXT = {"type": "string", "maxLength": 64}
ALL = {"200": {"description": "All of them."}}
ROOMS = {"get": {"operationId": "getRooms", "responses": ALL}}
PAGE_NUMBER = {"name": "floor", "in": "query", "schema": {"type": "integer"}}
ERROR = {"$ref": "#/components/responses/Conflict"}
BASIC, BEARER = {"basic": []}, {"bearer": []}
REFUSED = "what was taken may be refused"
UNHEARD = "what comes may be unheard of"

CASES = [
    case("identity: nothing", lambda document: None),
    # Addresses and verbs
    case(
        "a new path is harmless, and stays",
        put("paths", "/rooms", ROOMS),
        None,
        "GET /rooms: is gone",
    ),
    case(
        "a path cannot go",
        drop(*ONE),
        tuple(
            f"{verb} {API}/devices/{{id}}: is gone" for verb in ("GET", "PUT", "PATCH")
        )
        + (f"DELETE {API}/devices/{{id}}: is gone",),
        None,
    ),
    case("a verb cannot go", drop(*PATCH), f"PATCH {API}/devices/{{id}}: is gone"),
    case(
        "a path keeps its slash",
        move(DEVICES, f"{API}/devices/"),
        (f"GET {API}/devices: is gone", f"POST {API}/devices: is gone"),
        (f"GET {API}/devices/: is gone", f"POST {API}/devices/: is gone"),
    ),
    case(
        "a parameter in a path keeps its name",
        both(
            move(GET[:2], f"{API}/devices/{{device}}"),
            *(
                parameter(
                    ("paths", f"{API}/devices/{{device}}", verb), "id", name="device"
                )
                for verb in ("get", "put", "patch", "delete")
            ),
        ),
        "path parameter id: is called device",
        "path parameter device: is called id",
    ),
    case(
        "an operation keeps its id",
        put(*GET, "operationId", "readDevice"),
        "its operationId was getDevicesById and is readDevice",
        "its operationId was readDevice and is getDevicesById",
    ),
    case(
        "an operation may get an id, and keeps it",
        drop(*GET, "operationId"),
        "its operationId was getDevicesById",
        None,
    ),
    case("another tag is harmless", put(*GET, "tags", ["things"])),
    case("a tag may go", lambda document: document["tags"].pop()),
    case(
        "other words are harmless",
        both(
            put(*GET, "summary", "Look."),
            put(*GET, "description", "Look at one."),
            put(*NAME_SENT, "description", "Its name."),
            put(*NAME_SENT, "title", "Name"),
            put(*NAME_SENT, "examples", ["Lamp"]),
            put(*READ, "title", "Thing"),
            put("info", "title", "Things"),
            put(*NAME_GOT, "$comment", "Short."),
        ),
    ),
    case(
        "to be deprecated is harmless",
        both(put(*GET, "deprecated", True), put(*NAME_GOT, "deprecated", True)),
    ),
    case(
        "an extension is harmless", both(put(*GET, "x-a", 1), put(*NAME_GOT, "x-b", 2))
    ),
    case("links are hints", drop(*LIST, "responses", "200", "links")),
    case(
        "another address of the server breaks",
        put("servers", [{"url": "/v2"}]),
        'is no longer served at "/"',
        'is no longer served at "/v2"',
    ),
    case(
        "one more address of the server is harmless",
        append("servers", {"url": "/v2"}),
        None,
        'is no longer served at "/v2"',
    ),
    case(
        "an operation stays at its server",
        put(*GET, "servers", [{"url": "/x"}]),
        f'GET {API}/devices/{{id}}: is no longer served at "/"',
        f'GET {API}/devices/{{id}}: is no longer served at "/x"',
    ),
    case(
        "a callback is not judged",
        put(*POST, "callbacks", {"done": {"/x": {}}}),
        "`callbacks` has changed",
        "`callbacks` has changed",
    ),
    case(
        "a webhook is not judged",
        put("webhooks", {"done": {}}),
        "the document: `webhooks` has changed",
        "`webhooks` has changed",
    ),
    # Signing in
    case(
        "a way to sign in cannot go",
        put(*GET, "security", [BASIC]),
        "signing in with bearer is not enough any more",
    ),
    case(
        "both at once are more than either",
        put(*GET, "security", [BASIC | BEARER]),
        ("signing in with basic is not", "signing in with bearer is not"),
        None,
    ),
    case(
        "what was open stays open",
        put(*GET, "security", []),
        None,
        "wants a sign-in, and was open to all",
    ),
    case(
        "an empty way is open, too",
        put(*GET, "security", [BASIC, BEARER, {}]),
        None,
        "wants a sign-in, and was open to all",
    ),
    case(
        "what says nothing is as open as the document",
        drop(*GET, "security"),
        None,
        "wants a sign-in, and was open to all",
    ),
    case(
        "a scope is one more thing to ask for",
        put(*GET, "security", [BASIC, {"bearer": ["read"]}]),
        "signing in with bearer is not enough",
        None,
    ),
    case(
        "a way to sign in stays what it is",
        put(
            "components",
            "securitySchemes",
            "basic",
            {"type": "apiKey", "in": "header", "name": "X-Key"},
        ),
        "signing in with basic is not enough any more",
        "signing in with basic is not enough any more",
    ),
    case(
        "what a way is described as is harmless",
        put("components", "securitySchemes", "basic", "description", "Name and word."),
    ),
    # Parameters
    case(
        "a parameter that may be left out is harmless, and stays",
        append(*LIST, "parameters", PAGE_NUMBER),
        None,
        "query parameter floor: is gone, and clients send it",
    ),
    case(
        "a parameter that is required breaks",
        append(*LIST, "parameters", {**PAGE_NUMBER, "required": True}),
        "query parameter floor: is new, and required",
        "query parameter floor: is gone",
    ),
    case(
        "a parameter of all verbs counts for each",
        put(*DEVICES, "parameters", [{**PAGE_NUMBER, "required": True}]),
        (
            f"GET {API}/devices, query parameter floor: is new",
            f"POST {API}/devices, query parameter floor: is new",
        ),
        "floor: is gone",
    ),
    case("a parameter cannot go", without(LIST, "q"), "query parameter q: is gone"),
    case(
        "a parameter keeps its place",
        parameter(LIST, "q", where="header"),
        "query parameter q: is gone",
        "header parameter q: is gone",
    ),
    case(
        "a query's parameter keeps its name in small letters",
        parameter(LIST, "q", name="Q"),
        "query parameter q: is gone",
        "query parameter Q: is gone",
    ),
    case(
        "a header's letters are large or small",
        parameter(LIST, "If-Match", name="if-match"),
    ),
    case(
        "a parameter becomes required",
        parameter(LIST, "q", required=True),
        "query parameter q: is required, and could be left out",
        None,
    ),
    case(
        "a parameter becomes shorter",
        parameter(LIST, "q", schema={**Q, "maxLength": 25}),
        f"query parameter q: maxLength was 250 and is 25: {REFUSED}",
        None,
    ),
    case(
        "a parameter gets other values",
        parameter(LIST, "view", schema={"enum": ["items"], "default": "items"}),
        "query parameter view: enum was",
        None,
    ),
    case(
        "a parameter gets another default",
        parameter(
            LIST,
            "per_page",
            schema={
                "type": "integer",
                "minimum": 1,
                "maximum": 2147483647,
                "default": 50,
            },
        ),
        "query parameter per_page: another default",
        "per_page: another default",
    ),
    case(
        "a parameter is written in another style",
        parameter(LIST, "q", explode=False),
        "`explode` has changed",
        "`explode` has changed",
    ),
    case(
        "a parameter may stand elsewhere",
        both(
            put("components", "parameters", {"Floor": PAGE_NUMBER}),
            append(*LIST, "parameters", {"$ref": "#/components/parameters/Floor"}),
        ),
        None,
        "query parameter floor: is gone",
    ),
    # Bodies
    case(
        "a body is wanted where there was none",
        put(*GET, "requestBody", {"required": True, "content": {}}),
        f"GET {API}/devices/{{id}}, body: is required",
        "body: is gone",
    ),
    case(
        "a body may be sent where there was none",
        put(*GET, "requestBody", {"content": {"text/plain": {}}}),
        None,
        "body: is gone",
    ),
    case(
        "a body becomes required",
        drop(*POST, "requestBody", "required"),
        None,
        f"POST {API}/devices, body: is required, and could be left out",
    ),
    case(
        "a kind of body cannot go",
        drop(*PATCH, "requestBody", "content", "application/json"),
        f"PATCH {API}/devices/{{id}}, body (application/json): is gone",
        None,
    ),
    case(
        "a required property breaks",
        both(
            put(*WRITE, "properties", "room", TEXT), append(*WRITE, "required", "room")
        ),
        "/room: is required",
        "/room: is gone, and clients send it",
    ),
    case(
        "a property that may be left out is harmless, and stays",
        put(*WRITE, "properties", "room", TEXT),
        None,
        "body (application/json), /room: is gone, and clients send it",
    ),
    case(
        "a property becomes required",
        remove(*WRITE, "required", "model"),
        None,
        "/model: is required, and could be left out",
    ),
    case(
        "what may be left out needs no default to be harmless",
        both(
            remove(*WRITE, "required", "model"),
            put(*WRITE, "properties", "model", "default", "unknown"),
        ),
        None,
        ("/model: is required", "/model: another default"),
    ),
    case(
        "another default is another thing that happens",
        put(*SCHEMAS, "TodoWrite", "properties", "done", "default", True),
        "/done: another default",
        "/done: another default",
    ),
    case(
        "a text becomes shorter",
        put(*NAME_SENT, "maxLength", 32),
        f"/name: maxLength was 64 and is 32: {REFUSED}",
        None,
    ),
    case(
        "a text becomes longer",
        put(*NAME_SENT, "minLength", 2),
        f"/name: minLength was 1 and is 2: {REFUSED}",
        None,
    ),
    case(
        "a text gets another pattern",
        put(*NAME_SENT, "pattern", "^[a-z]+$"),
        "/name: pattern was",
        "/name: pattern was",
    ),
    case(
        "a text loses its pattern",
        drop(*NAME_SENT, "pattern"),
        None,
        f'/name: pattern was open and is "^[^\\\\u0000]*$": {REFUSED}',
    ),
    case(
        "a text gets a format",
        put(*NAME_SENT, "format", "uuid"),
        f'/name: format was open and is "uuid": {REFUSED}',
        None,
    ),
    case(
        "a property gets another type",
        put(*NAME_SENT, "type", "integer"),
        '/name: type was "string" and is "integer"',
        '/name: type was "integer"',
    ),
    case(
        "null is taken no longer",
        put(*NAME_SENT, "type", ["string", "null"]),
        None,
        f'/name: type was ["string", "null"] and is "string": {REFUSED}',
    ),
    case(
        "a number becomes smaller",
        put(*SCHEMAS, "Heartbeat", "properties", "battery", "maximum", 50),
        "/battery: maximum was 100 and is 50",
        None,
    ),
    case(
        "a number becomes larger",
        put(*SCHEMAS, "Heartbeat", "properties", "battery", "minimum", 1),
        "/battery: minimum was 0 and is 1",
        None,
    ),
    case(
        "a word is taken no longer",
        put(
            *SCHEMAS,
            "RoleWrite",
            "properties",
            "permissions",
            "items",
            {"type": "string", "enum": ["devices:read_all"]},
        ),
        "/permissions/*: enum was",
        None,
    ),
    case(
        "a list may hold one thing twice",
        drop(*SCHEMAS, "RoleWrite", "properties", "permissions", "uniqueItems"),
        None,
        f"/permissions: uniqueItems was open and is true: {REFUSED}",
    ),
    case(
        "a condition is not judged, in a body",
        put(*WRITE, "not", {"required": ["x"]}),
        "`not` has changed, which is not judged",
        "`not` has changed",
    ),
    case(
        "the same body may stand elsewhere",
        both(
            put(*SCHEMAS, "Thing", TODAY["components"]["schemas"]["DeviceWrite"]),
            put(*SENT_JSON, "schema", {"$ref": "#/components/schemas/Thing"}),
        ),
    ),
    case(
        "another body stands in its place",
        put(*SENT_JSON, "schema", {"$ref": "#/components/schemas/DevicePatch"}),
        None,
        tuple(
            f"/{name}: is required"
            for name in ("name", "location", "type", "model", "serial_number")
        ),
    ),
    case(
        "a body is open to anything",
        put(*WRITE, "additionalProperties", True),
        None,
        "/*: nothing is allowed any more",
    ),
    # Responses
    case(
        "a new property of an answer is harmless, and stays",
        put(*READ, "properties", "room", TEXT),
        None,
        "/room: is gone, and clients read it",
    ),
    case(
        "a new property that always comes stays so",
        both(put(*READ, "properties", "room", TEXT), append(*READ, "required", "room")),
        None,
        "/room: is gone, and clients read it",
    ),
    case("an answer may be open to more", drop(*READ, "additionalProperties")),
    case(
        "a property may be missing",
        remove(*READ, "required", "model"),
        "/model: may be missing, and was always there",
        None,
    ),
    case(
        "null comes",
        put(*NAME_GOT, "type", ["string", "null"]),
        f'/name: type was "string" and is ["string", "null"]: {UNHEARD}',
        None,
    ),
    case(
        "a longer text comes",
        put(*NAME_GOT, "maxLength", 128),
        f"/name: maxLength was 64 and is 128: {UNHEARD}",
        None,
    ),
    case(
        "a text without a limit comes",
        drop(*NAME_GOT, "maxLength"),
        f"/name: maxLength was 64 and is open: {UNHEARD}",
        None,
    ),
    case(
        "a time becomes any text",
        drop(*READ, "properties", "created_at", "format"),
        f'/created_at: format was "date-time" and is open: {UNHEARD}',
        None,
    ),
    case(
        "a new word comes",
        append(*SCHEMAS, "User", "properties", "status", "enum", "asleep"),
        "/status: enum was",
        None,
    ),
    case("a default of an answer says nothing", put(*NAME_GOT, "default", "Lamp")),
    case(
        "a condition is not judged, in an answer",
        put(*READ, "if", {"required": ["x"]}),
        "`if` has changed",
        "`if` has changed",
    ),
    case(
        "an error gets one more property",
        put(*SCHEMAS, "Problem", "properties", "help", {"anyOf": [TEXT]}),
        None,
        "/help: is gone, and clients read it",
    ),
    case(
        "an error is harmless where it is new, and is waited for",
        put(*GET, "responses", "409", ERROR),
        None,
        "answer 409: is gone",
    ),
    case(
        "another success is no success to a client",
        put(*POST, "responses", "202", {"description": "Later."}),
        "answer 202: is new, and no error",
        "answer 202: is gone",
    ),
    case(
        "a success of any kind is none, either",
        put(*POST, "responses", "default", {"description": "Whatever."}),
        "answer default: is new",
        "answer default: is gone",
    ),
    case(
        "a redirect is no error",
        put(*GET, "responses", "307", {"description": "There."}),
        "answer 307: is new, and no error",
        "answer 307: is gone",
    ),
    case(
        "304 comes to those who ask for it",
        drop(*GET, "responses", "304"),
        "answer 304: is gone",
        None,
    ),
    case(
        "an answer cannot become another one",
        move(CREATED, "200"),
        ("answer 201: is gone", "answer 200: is new"),
        ("answer 200: is gone", "answer 201: is new"),
    ),
    case(
        "an answer comes as another media type",
        move(GOT_JSON, "application/hal+json"),
        ("(application/json): is gone", "(application/hal+json): is new"),
        ("(application/hal+json): is gone", "(application/json): is new"),
    ),
    case(
        "a body of an answer cannot go",
        drop(*CREATED, "content"),
        "answer 201 (application/json): is gone",
        "answer 201 (application/json): is new",
    ),
    case(
        "a header that always came cannot go",
        drop(*CREATED, "headers", "Location"),
        f"POST {API}/devices, answer 201, header location: may be missing",
        None,
    ),
    case(
        "a header that may come may go",
        drop(*CREATED, "headers", "Idempotent-Replayed"),
    ),
    case(
        "a header may be missing",
        put(*HEADERS, "ETag", "required", False),
        "header etag: may be missing",
        None,
    ),
    case(
        "a header holds something else",
        put(*HEADERS, "Retry-After", "schema", {"type": "string"}),
        'header retry-after: type was "integer" and is "string"',
        ('header retry-after: type was "string" and is "integer"'),
    ),
    case(
        "a header's letters may change",
        both(
            put(*CREATED, "headers", "etag", {"$ref": "#/components/headers/ETag"}),
            drop(*CREATED, "headers", "ETag"),
        ),
    ),
    case(
        "a shared problem loses a header",
        drop("components", "responses", "TooManyRequests", "headers", "Retry-After"),
        "answer 429, header retry-after: may be missing",
        None,
    ),
    case(
        "a shared problem may stand with its operation",
        put(
            *GET,
            "responses",
            "429",
            TODAY["components"]["responses"]["TooManyRequests"],
        ),
    ),
]

cases = pytest.mark.parametrize("case", CASES, ids=str)


def assert_sentences(sentences, words):
    """Every sentence is expected, and everything expected is there."""
    assert bool(sentences) == bool(words)
    for sentence in sentences:
        assert any(word in sentence for word in words), sentence
    for word in words or ():
        assert any(word in sentence for sentence in sentences), word


@cases
def test_an_edit_of_our_document_is_judged_rightly(case):
    assert_sentences(breaking_changes(TODAY, edit_document(case.edit)), case.forth)


@cases
def test_an_edit_that_is_taken_back_is_judged_rightly(case):
    assert_sentences(breaking_changes(edit_document(case.edit), TODAY), case.back)


def test_a_message_names_the_place_and_the_effect_on_clients():
    assert breaking_changes(TODAY, edit_document(put(*NAME_SENT, "maxLength", 32)))[
        0
    ] == (
        f"POST {API}/devices, body (application/json), /name: maxLength was 64 and is 32: "
        "what was taken may be refused."
    )
    assert breaking_changes(TODAY, edit_document(put(*NAME_GOT, "maxLength", 128)))[
        0
    ] == (
        f"GET {API}/devices, answer 200 (application/json), /items/*/name: "
        "maxLength was 64 and is 128: what comes may be unheard of."
    )


def test_a_shared_schema_is_reported_at_each_place_that_breaks():
    result = breaking_changes(TODAY, edit_document(put(*NAME_SENT, "maxLength", 32)))
    assert [each.partition(",")[0] for each in result] == [
        f"POST {API}/devices",
        f"PUT {API}/devices/{{id}}",
    ]


# Schemas on their own: in requests and in responses


def holding(schema, **components):
    """Return a document with a request and a response that both have this schema."""
    content = {"application/json": {"schema": schema}}
    answer = {"description": "It.", "content": content}
    operation = {
        "requestBody": {"required": True, "content": content},
        "responses": {"200": answer},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "It", "version": "1.0.0"},
        "paths": {"/it": {"post": operation}},
        "components": {"schemas": components},
    }


def directions(old, new):
    """Where it breaks: in what is sent, and in what is got."""
    result = breaking_changes(old, new)
    assert all(
        each.startswith(("POST /it, body", "POST /it, answer")) for each in result
    )
    return {"sent" if ", body" in each else "got" for each in result}


def thing(*required, more=None, **properties):
    schema = {"type": "object", "properties": properties, "required": [*required]}
    return schema if more is None else {**schema, "additionalProperties": more}


NOTHING, SENT, GOT, EVERY = set(), {"sent"}, {"got"}, {"sent", "got"}
A, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
LISTS = {"type": "array", "items": A}
REF = {"$ref": "#/components/schemas/A"}
# The right schema is narrower: forth it breaks requests, back it breaks responses.
NARROWER = [
    ("a whole number is a number", NUMBER, INTEGER),
    ("anything is more than a text", {}, A),
    ("true is more than a text", True, A),
    (
        "anything is more than all kinds but fractions",
        {},
        {"type": ["null", "boolean", "object", "array", "integer", "string"]},
    ),
    ("null is one more", {"type": ["string", "null"]}, A),
    ("an enum is fewer texts", A, {"type": "string", "enum": ["a"]}),
    ("one of two", {"enum": ["a", "b"]}, {"enum": ["a"]}),
    ("null is a word, too", {"enum": ["a", None]}, {"enum": ["a"]}),
    ("a text of any length", A, {**A, "maxLength": 9}),
    ("a text that may be empty", A, {**A, "minLength": 1}),
    ("a number without an end", NUMBER, {**NUMBER, "maximum": 9}),
    ("a number without a beginning", NUMBER, {**NUMBER, "minimum": 0}),
    ("a number short of an end", NUMBER, {**NUMBER, "exclusiveMaximum": 9}),
    ("a number above a beginning", NUMBER, {**NUMBER, "exclusiveMinimum": 0}),
    ("a limit of any whole number", INTEGER, {**INTEGER, "maximum": 9}),
    ("steps", NUMBER, {**NUMBER, "multipleOf": 2}),
    ("larger steps", {**NUMBER, "multipleOf": 2}, {**NUMBER, "multipleOf": 4}),
    ("a list of any length", LISTS, {**LISTS, "maxItems": 9}),
    ("a list that may be empty", LISTS, {**LISTS, "minItems": 1}),
    ("a list with repetitions", LISTS, {**LISTS, "uniqueItems": True}),
    ("a list of shorter texts", LISTS, {**LISTS, "items": {**A, "maxLength": 9}}),
    ("a list of anything", {"type": "array"}, LISTS),
    ("an object of any size", thing(), {**thing(), "maxProperties": 9}),
    ("an object without anything", thing(), {**thing(), "minProperties": 1}),
    ("a required property", thing(a=A), thing("a", a=A)),
    ("a required property without a schema", thing(), thing("a")),
    (
        "a property far below",
        thing(a=thing(b=A)),
        thing(a=thing(b={**A, "maxLength": 9})),
    ),
    ("other properties of a kind", thing(more={}), thing(more=A)),
    (
        "other properties of a shorter kind",
        thing(more=A),
        thing(more={**A, "maxLength": 9}),
    ),
    ("a pattern", A, {**A, "pattern": "a"}),
    ("a format", A, {**A, "format": "date"}),
    ("a format of a number", INTEGER, {**INTEGER, "format": "int32"}),
]
OTHERS = [
    ("another kind", A, INTEGER, EVERY),
    ("another pattern", {**A, "pattern": "a"}, {**A, "pattern": "b"}, EVERY),
    ("another format", {**A, "format": "date"}, {**A, "format": "uuid"}, EVERY),
    ("other words", {"enum": ["a"]}, {"enum": ["b"]}, EVERY),
    ("1 is not true", {"enum": [1]}, {"enum": [True]}, EVERY),
    ("words in another order", {"enum": ["a", 1]}, {"enum": [1, "a"]}, NOTHING),
    (
        "kinds in another order",
        {"type": ["string", "null"]},
        {"type": ["null", "string"]},
        NOTHING,
    ),
    ("a kind in a list", A, {"type": ["string"]}, NOTHING),
    (
        "a kind that the words have already",
        {"enum": ["a"]},
        {**A, "enum": ["a"]},
        NOTHING,
    ),
    (
        "no limit is as good as none",
        A,
        {**A, "minLength": 0, "uniqueItems": False},
        NOTHING,
    ),
    (
        "a limit of what is no text",
        INTEGER,
        {"type": ["integer", "string"], "maxLength": 9},
        GOT,
    ),
    (
        "a limit of what is no number",
        A,
        {"type": ["integer", "string"], "maximum": 9},
        GOT,
    ),
    (
        "steps of what is no number",
        A,
        {"type": ["integer", "string"], "multipleOf": 2},
        GOT,
    ),
    (
        "a list without repetitions where none was",
        A,
        {"type": ["array", "string"], "uniqueItems": True},
        GOT,
    ),
    (
        "a pattern of what is no text",
        INTEGER,
        {"type": ["integer", "string"], "pattern": "a"},
        GOT,
    ),
    (
        "a limit that both lower and raise",
        {**A, "minLength": 2, "maxLength": 5},
        {**A, "minLength": 1, "maxLength": 4},
        EVERY,
    ),
    ("a property goes that others may replace", thing(a=A), thing(), GOT),
    (
        "a property goes that nothing may replace",
        thing(a=A, more=False),
        thing(more=False),
        EVERY,
    ),
    ("a property comes where any could", thing(), thing(a=A), SENT),
    (
        "a property comes where none could",
        thing(more=False),
        thing(a=A, more=False),
        NOTHING,
    ),
    (
        "a property comes as others had to be",
        thing(more=A),
        thing(a=A, more=A),
        NOTHING,
    ),
    (
        "a property comes as others could not be",
        thing(more=A),
        thing(a=INTEGER, more=A),
        EVERY,
    ),
    ("others come where none could", thing(more=False), thing(), NOTHING),
    ("others go", thing(), thing(more=False), SENT),
    (
        "a property called *",
        thing(**{"*": A}, more=False),
        thing(**{"*": {**A, "maxLength": 9}}, more=False),
        SENT,
    ),
    ("a property called title", thing(title=A, more=False), thing(more=False), EVERY),
    ("a required property goes", thing("a", a=A, more=False), thing(more=False), EVERY),
    (
        "a pattern of names is not judged",
        thing(),
        {**thing(), "patternProperties": {"a": A}},
        EVERY,
    ),
    (
        "a property beside a pattern of names is not judged",
        {**thing(more=False), "patternProperties": {"a": A}},
        {**thing(a=INTEGER, more=False), "patternProperties": {"a": A}},
        EVERY,
    ),
    ("false takes nothing, and true anything", False, True, GOT),
    ("anyOf is not judged", {"anyOf": [A]}, {"anyOf": [A, INTEGER]}, EVERY),
    ("oneOf comes", {}, {"oneOf": [A]}, EVERY),
    ("const comes", A, {**A, "const": "a"}, EVERY),
    ("const is another", {"const": 1}, {"const": True}, EVERY),
    (
        "const holds what looks like words",
        {"const": {"title": "a"}},
        {"const": {"title": "b"}},
        EVERY,
    ),
    ("nullable is of 3.0", A, {**A, "nullable": True}, EVERY),
    ("an unknown keyword", A, {**A, "shiny": True}, EVERY),
    ("only words in anyOf", {"anyOf": [A]}, {"anyOf": [{**A, "title": "A"}]}, NOTHING),
    (
        "a property called title in anyOf",
        {"anyOf": [thing(title=A)]},
        {"anyOf": [thing(title=INTEGER)]},
        EVERY,
    ),
    ("definitions by themselves", A, {**A, "$defs": {"a": A}}, NOTHING),
    ("words beside a $ref", REF, {**REF, "description": "It."}, NOTHING),
    ("a limit beside a $ref is not judged", REF, {**REF, "maxLength": 2}, EVERY),
]
names = lambda value: value if isinstance(value, str) else ""  # noqa: E731


@pytest.mark.parametrize("name, wide, narrow", NARROWER, ids=names)
def test_a_narrower_schema_breaks_requests_and_a_wider_one_responses(
    name, wide, narrow
):
    assert directions(holding(wide), holding(narrow)) == SENT
    assert directions(holding(narrow), holding(wide)) == GOT


@pytest.mark.parametrize("name, old, new, where", OTHERS, ids=names)
def test_a_schema_is_judged_in_both_directions(name, old, new, where):
    assert directions(holding(old, A=A), holding(new, A=A)) == where


def test_a_ref_in_anyof_is_followed():
    old, new = ({"anyOf": [REF]}, {"A": A}), ({"anyOf": [REF]}, {"A": INTEGER})
    assert (
        directions(*(holding(schema, **parts) for schema, parts in (old, new))) == EVERY
    )
    assert directions(holding({"anyOf": [A]}), holding(old[0], A=A)) == NOTHING


@pytest.mark.parametrize(
    "path",
    [
        ("responses", "default"),
        ("responses", "200", "headers", "title"),
        ("responses", "200", "content", "example"),
    ],
    ids=lambda path: path[-1],
)
def test_a_name_in_a_webhook_is_not_taken_for_a_description(path):
    was = {"200": {"headers": {"title": {}}, "content": {"example": {}}}, "default": {}}
    old = holding(A) | {"webhooks": {"done": {"post": {"responses": was}}}}
    new = edit_document(put("webhooks", "done", "post", *path, {"required": True}), old)
    assert breaking_changes(old, new) == [
        "the document: `webhooks` has changed, which is not judged."
    ]


def test_an_impossible_schema_is_reported_by_direction():
    assert breaking_changes(holding(False), holding(True)) == [
        "POST /it, answer 200 (application/json): comes, and never did."
    ]
    assert breaking_changes(holding(True), holding(False)) == [
        "POST /it, body (application/json): nothing is allowed any more."
    ]


def test_a_chain_of_refs_is_followed():
    chain = {"B": REF, "C~/D": {"$ref": "#/components/schemas/B"}}
    first = {"$ref": "#/components/schemas/C~0~1D"}
    assert directions(holding(first, A=A, **chain), holding(A)) == NOTHING
    assert directions(holding(first, A=A, **chain), holding(INTEGER)) == EVERY


@pytest.mark.parametrize("keyword", ["properties", "anyOf"])
def test_a_recursive_schema_is_compared_completely(keyword):
    def tree(name):
        tree = thing("name", name=name, parts={"type": "array", "items": REF})
        return tree if keyword == "properties" else {"anyOf": [tree, {"not": REF}]}

    once = thing("name", name=A, parts={"type": "array", "items": tree(A)})
    shorter = {**A, "maxLength": 9}
    where = SENT if keyword == "properties" else EVERY
    assert directions(holding(REF, A=tree(A)), holding(REF, A=tree(A))) == NOTHING
    assert directions(holding(REF, A=tree(A)), holding(REF, A=tree(shorter))) == where
    if keyword == "properties":  # the same, unrolled once
        assert directions(holding(REF, A=tree(A)), holding(once, A=tree(A))) == NOTHING
        assert (
            directions(holding(REF, A=tree(A)), holding(once, A=tree(shorter))) == SENT
        )


@pytest.mark.parametrize(
    "reference, words",
    [
        ("#/components/schemas/B", "leads nowhere"),
        ("#/paths/0/x", "leads nowhere"),
        ("other.json#/A", "leads out of it"),
        ("#/components/schemas/A", "leads to itself"),
    ],
)
def test_a_dangling_ref_is_an_error(reference, words):
    looped = holding(REF, A={"$ref": reference})
    for pair in ((looped, holding(A)), (holding(A), looped)):
        with pytest.raises(ValueError, match=words):
            breaking_changes(*pair)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_invalid_document_is_compared_or_refused(data):
    """Any malformed part of a document raises ValueError and nothing else."""
    tree = thing("name", name=A, parts={"type": "array", "items": REF})
    sound, document = holding(REF, A=tree), deepcopy(holding(REF, A=tree))
    part, nonsense = document, st.sampled_from([None, 0, "x", [], {}, [1], {"$ref": 1}])
    while isinstance(part, (dict, list)) and part:
        keys = part.keys() if isinstance(part, dict) else range(len(part))
        above, key = part, data.draw(st.sampled_from(sorted(keys)))
        part = above[key]
        if data.draw(st.booleans()):
            break
    above[key] = data.draw(nonsense)
    for pair in ((document, sound), (sound, document)):
        try:
            breaking_changes(*pair)
        except ValueError as error:
            assert str(error).startswith("is not sound: ")


# Additions never break

labels = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1)
plain = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "null", "boolean"])},
    optional={
        "maxLength": st.integers(0),
        "minimum": st.integers(),
        "enum": st.lists(st.text(), min_size=1),
        "format": labels,
        "default": st.none() | st.text(),
    },
)
shapes = st.recursive(
    plain,
    lambda inner: st.builds(lambda items: {"type": "array", "items": items}, inner)
    | st.builds(
        lambda properties: thing(*properties, **properties, more=False),
        st.dictionaries(labels, inner, max_size=3),
    ),
    max_leaves=4,
)
objects = [n for n, s in at(TODAY, SCHEMAS).items() if "properties" in s]
components = st.sampled_from(sorted(objects))


@settings(max_examples=20, deadline=None)
@given(components, labels, shapes)
def test_a_new_property_that_may_be_left_out_never_breaks(component, name, schema):
    path = *SCHEMAS, component, "properties"
    if name not in at(TODAY, path):  # else it would be another edit
        assert breaking_changes(TODAY, edit_document(put(*path, name, schema))) == []


@settings(max_examples=15, deadline=None)
@given(labels, st.sampled_from(["get", "post", "delete"]), shapes, shapes)
def test_a_new_operation_never_breaks(name, verb, sent, got):
    operation = holding(sent)["paths"]["/it"]["post"]
    operation["responses"]["200"]["content"]["application/json"]["schema"] = got
    edit = put("paths", f"/new/{name}", {verb: operation})
    assert breaking_changes(TODAY, edit_document(edit)) == []
    assert breaking_changes(edit_document(edit), TODAY) == [
        f"{verb.upper()} /new/{name}: is gone."
    ]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
small = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "object", "array"])
        | st.lists(
            st.sampled_from(["string", "null", "number"]), min_size=1, unique=True
        ),
        "maxLength": st.integers(0, 2),
        "minLength": st.integers(0, 2),
        "maximum": st.integers(-2, 2),
        "exclusiveMinimum": st.integers(-2, 2),
        "multipleOf": st.integers(1, 2),
        "minItems": st.integers(0, 2),
        "maxProperties": st.integers(0, 2),
        "uniqueItems": st.booleans(),
        "pattern": st.sampled_from(["a", "b"]),
        "enum": st.lists(values, min_size=1, max_size=2),
        "required": st.lists(st.sampled_from("ab"), unique=True),
    },
)
any_shapes = st.recursive(
    small | st.booleans(),
    lambda inner: st.builds(
        lambda schema, parts: schema | parts,
        small,
        st.fixed_dictionaries(
            {},
            optional={
                "items": inner,
                "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
                "additionalProperties": inner,
                "patternProperties": st.dictionaries(st.just("a"), inner, max_size=1),
            },
        ),
    ),
    max_leaves=3,
)


@settings(max_examples=200, deadline=None)
@given(any_shapes, any_shapes, st.lists(values, min_size=1))
def test_a_change_without_a_finding_accepts_every_former_value(old, new, sent):
    taken, takes = (jsonschema_rs.Draft202012Validator(schema) for schema in (old, new))
    if "sent" not in directions(holding(old), holding(new)):
        assert not [
            each for each in sent if taken.is_valid(each) > takes.is_valid(each)
        ]


# Versions


def with_version(version, document=TODAY):
    return edit_document(put("info", "version", version), document)


@pytest.mark.parametrize(
    "was, now, may",
    [
        ("0.1.0", "0.1.0", False),
        ("0.1.0", "0.1.9", False),
        ("0.1.9", "0.2.0", True),
        ("0.9.0", "0.10.0", True),
        ("0.10.0", "0.9.0", False),
        ("0.9.0", "1.0.0", True),
        ("1.0.0", "1.9.0", False),
        ("1.9.9", "2.0.0", True),
        ("9.0.0", "10.0.0-rc.1", True),
        ("2.0.0", "1.0.0", False),
        ("1.0.0", "0.9.0", False),
        ("1.2.0", "1.2.0+build.7", False),
    ],
)
def test_a_version_may_break_where_its_first_number_that_is_not_0_moves_on(
    was, now, may
):
    old, new = holding(A), holding(INTEGER)
    old["info"]["version"], new["info"]["version"] = was, now
    assert may_break(old, new) is may
    lines, fine = judge(old, new)
    assert fine is may
    assert len(lines) == 3  # both directions, and what the version says to it


def test_the_verdict_names_the_required_version():
    old, new = holding(A), holding(INTEGER)
    assert (
        judge(old, new)[0][-1] == "Version 1.0.0 may not break 1.0.0: it must be 2.0.0."
    )
    old["info"]["version"] = new["info"]["version"] = "0.3.2"
    assert (
        judge(old, new)[0][-1] == "Version 0.3.2 may not break 0.3.2: it must be 0.4.0."
    )
    new["info"]["version"] = "0.4.0"
    assert judge(old, new)[0][-1] == "The step from 0.3.2 to 0.4.0 allows that."
    assert judge(old, old) == (
        ["Nothing that a client of 0.3.2 relies on has changed."],
        True,
    )


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 5000, "is not JSON"),
        (b"[]", "is no OpenAPI 3.1 document"),
        (b"{}", "is no OpenAPI 3.1 document"),
        (b'{"swagger": "2.0"}', "is no OpenAPI 3.1 document"),
        (b'{"openapi": "3.0.3"}', "is no OpenAPI 3.1 document"),
        (b'{"openapi": "3.1.0"}', "has no version like 1.2.3, but null"),
        (b'{"openapi": "3.1.0", "info": []}', "has no version"),
        (b'{"openapi": "3.1.0", "info": {"version": "two"}}', 'but "two"'),
    ],
)
def test_an_invalid_document_is_an_error_of_one_line(data, words):
    with pytest.raises(ValueError, match=words) as error:
        read_document(data)
    assert "\n" not in str(error.value)


# The command


@pytest.fixture
def flask(project_app):
    """Run `flask openapi` with these arguments."""
    runner = project_app.test_cli_runner()
    return lambda *args, **options: runner.invoke(args=["openapi", *args], **options)


def test_the_document_is_the_same_whatever_this_machine_is_set_to():
    """But for API_PREFIX, which is part of each address."""
    hashing = {"PYTHONHASHSEED": "7", "PYTHONUTF8": "0", "LC_ALL": "C"}
    settings = {"MYAPP_USE_RATE_LIMITS": "1", "MYAPP_REQUIRE_IF_MATCH": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "flask", "openapi"],
        cwd=FILE.parent,
        env={**os.environ, **hashing, **settings, "DATABASE_URL": "postgresql://h/d"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == WRITTEN


def test_the_document_of_today_does_not_break_itself(flask):
    done = flask("--against", str(FILE))
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "Nothing that a client of 0.1.0 relies on has changed.\n"


def test_a_breaking_change_is_reported_and_fails(flask):
    former = edit_document(append(*LIST, "parameters", PAGE_NUMBER))
    done = flask("--against", "-", input=json.dumps(former))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"GET {API}/devices, query parameter floor: is gone, and clients send it.",
        "Version 0.1.0 may not break 0.1.0: it must be 0.2.0.",
    ]


def test_a_change_that_the_version_allows_is_reported_and_passes(flask, tmp_path):
    former = edit_document(
        append(*LIST, "parameters", PAGE_NUMBER), with_version("0.0.9")
    )
    file = tmp_path / "former.json"
    file.write_text(json.dumps(former))
    done = flask("--against", str(file))
    assert (done.exit_code, done.stdout) == (0, "")
    assert "is gone" in done.stderr
    assert "The step from 0.0.9 to 0.1.0 allows that.\n" in done.stderr


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "is empty"),
        ("{", "is not JSON"),
        ("[]", "is no OpenAPI 3.1 document"),
        (json.dumps(holding(A) | {"paths": []}), "is not sound: AttributeError"),
    ],
)
def test_a_file_that_is_no_document_is_an_error_of_one_line(flask, text, words):
    done = flask("--against", "-", input=text)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: The former document {words}")
    assert done.stderr.count("\n") == 1


# The checkout compared with a former version


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Return a clone of the project with today's document and no user settings of git."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "author")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "author@example.com")
    return Clone(tmp_path / "ours")


class Clone:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q")

    def git(self, *args):
        result = subprocess.run(
            ["git", *args], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return result.stdout.strip()

    def write(self, document):
        (self.folder / "openapi.json").write_text(json.dumps(document))

    def commit(self, document=None, tag=None):
        """Commit a document, or something else; returns the revision."""
        if document:
            self.write(document)
            self.git("add", "openapi.json")
        self.git("commit", "-qm", "A step", "--allow-empty")
        if tag:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")


def version(version, schema=A):
    document = holding(schema)
    document["info"]["version"] = version
    return document


ONE_0, BROKEN, TWO_0 = (
    version("1.0.0"),
    version("1.1.0", INTEGER),
    version("2.0.0", INTEGER),
)
WIDER = edit_document(put("paths", "/rooms", ROOMS), ONE_0)


def fails(clone, *args):
    with pytest.raises(SystemExit) as end:
        main(clone.folder, *args)
    return end.value.code


def test_a_commit_that_breaks_fails(clone, capsys):
    clone.commit(ONE_0)
    clone.commit(BROKEN)
    clone.commit()  # a later commit makes no difference
    assert fails(clone) == 1
    assert "POST /it, body (application/json): type was" in capsys.readouterr().out


def test_a_commit_that_adds_passes(clone, capsys):
    clone.commit(ONE_0)
    clone.commit(WIDER)
    main(clone.folder)
    assert "Nothing that a client of 1.0.0 relies on" in capsys.readouterr().out


def test_a_commit_that_breaks_passes_where_it_moves_the_version(clone, capsys):
    clone.commit(ONE_0)
    clone.commit(TWO_0)
    main(clone.folder)
    assert "The step from 1.0.0 to 2.0.0 allows that." in capsys.readouterr().out


def test_the_newest_release_counts_not_the_commits_since(clone, capsys):
    clone.commit(version("0.9.0"), tag="v0.9.0")
    clone.commit(ONE_0, tag="v0.10.0")
    clone.commit(version("1.0.0", INTEGER), tag="vendored")
    clone.commit(version("1.0.0", NUMBER), tag="v0.10.0-rc.1")
    assert fails(clone) == 1
    assert "openapi.json, beside that of v0.10.0:\n" in capsys.readouterr().out


def test_a_release_elsewhere_does_not_count(clone, capsys):
    first = clone.commit(ONE_0)
    clone.commit(TWO_0, tag="v2.0.0")
    clone.git("checkout", "-q", first)
    clone.commit(WIDER)
    main(clone.folder)
    assert (
        f"beside that of {clone.git('rev-parse', 'HEAD')}^:" in capsys.readouterr().out
    )


def test_a_release_that_had_no_document_yet_does_not_count(clone):
    clone.commit(tag="v0.1.0")
    clone.commit(ONE_0)
    clone.commit(BROKEN)
    assert fails(clone) == 1


def test_uncommitted_changes_are_compared_with_the_last_commit(clone, capsys):
    clone.commit(ONE_0)
    clone.commit(TWO_0)
    clone.write(version("2.1.0", A))
    assert fails(clone) == 1
    assert "beside that of HEAD:" in capsys.readouterr().out


def test_a_revision_that_is_named_counts(clone, capsys):
    first = clone.commit(ONE_0, tag="v1.0.0")
    second = clone.commit(BROKEN, tag="v1.1.0")
    main(clone.folder)
    main(clone.folder, second)
    assert fails(clone, first) == 1
    main(clone.folder, "")
    main(clone.folder, "0" * 40)  # GitHub passes this for a new branch
    assert fails(clone, "f" * 40) == f"{'f' * 40} is not in this clone."


@pytest.mark.parametrize("given", [[], ["HEAD"]])
def test_without_a_former_version_nothing_can_break(clone, capsys, given):
    clone.commit()
    clone.write(ONE_0)
    main(clone.folder, *given)
    assert (
        capsys.readouterr().out
        == "There is no former openapi.json: nothing can break.\n"
    )


def test_the_first_commit_of_the_document_passes(clone, capsys):
    clone.commit(ONE_0)
    main(clone.folder)
    assert "There is no former openapi.json" in capsys.readouterr().out


def test_a_folder_without_git_passes(tmp_path, capsys):
    main(tmp_path)
    assert "there is no former state." in capsys.readouterr().out


def test_a_clone_that_git_cannot_read_fails(tmp_path):
    (tmp_path / ".git").mkdir()
    with pytest.raises(SystemExit, match="git cannot work here"):
        main(tmp_path)


def test_a_shallow_clone_is_not_taken_for_a_complete_one(clone, tmp_path, capsys):
    first = clone.commit(ONE_0, tag="v1.0.0")
    clone.commit(BROKEN)
    address = f"file://{clone.folder}"
    clone.git("clone", "-q", "--depth", "1", address, str(tmp_path / "shallow"))
    clone.folder = tmp_path / "shallow"
    hint = " It is shallow: git fetch --unshallow --tags"
    assert fails(clone) == f"There is no former state in this clone.{hint}"
    assert fails(clone, first) == f"{first} is not in this clone.{hint}"
    clone.git("fetch", "-q", "--unshallow", "--tags")
    assert fails(clone) == fails(clone, first) == 1
    assert "beside that of v1.0.0:" in capsys.readouterr().out


def test_a_document_that_is_none_fails(clone):
    clone.commit(ONE_0)
    (clone.folder / "openapi.json").write_text("{")
    assert "openapi.json, beside that of HEAD: is not JSON" in fails(clone)


def test_the_script_runs_by_itself():
    script = str(ROOT / "tests/support/openapi_baseline.py")
    done = subprocess.run(
        [sys.executable, script, "f" * 40],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("f" * 40 + " is not in this clone.")
