"""Every schema is valid, closed and described, and the service enforces it."""

from math import inf, nextafter

import jsonschema
import orjson
import pytest
from jsonschema_specifications import REGISTRY
from sqlalchemy import JSON, BigInteger, Boolean, Date, DateTime, Double, String, Text

from myapp.core.data.models.columns import MAX_INDEXED_CHARACTERS, NullsLastTimestamp
from myapp.core.data.models.sql_model import SqlModel
from myapp.core.data.redis import redis_store
from myapp.core.data.session import sql
from myapp.core.schema.fields import (
    MAX_INT64,
    NO_NUL_PATTERN,
    X_REFERENCES,
    is_optional,
    json_types,
)
from myapp.core.schema.parsing import TIME_PARSERS
from myapp.core.schema.serialization import dumps
from support import discovery
from support.assertions import assert_problem
from support.discovery import BODIES, VERBS, fits_schema, kind_of, parametrize

MODELS = list(discovery.MODELS.values())
SQL_MODELS = [model for model in MODELS if issubclass(model, SqlModel)]
WORDS = {
    word
    for uri in REGISTRY
    if "2020-12/meta/" in uri
    for word in REGISTRY.contents(uri)["properties"]
}
FORMATS = {"date-time", "date", "uri", "uri-reference", "ipv4", "ipv6", "binary"}
CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER
LONGEST_ADDRESS = "0000:0000:0000:0000:0000:ffff:192.168.100.228"


PYTHONS = {"integer": int, "number": float}


def schemas_of(part):
    """Every whole schema in part of an operation."""
    if isinstance(part, dict):
        for key, value in part.items():
            yield from [value] if key == "schema" else schemas_of(value)
    elif isinstance(part, list):
        for each in part:
            yield from schemas_of(each)


def parts_of(schema, place="/"):
    """Yield a schema and every schema inside it, each with its path."""
    yield place, schema
    for name, part in schema.get("properties", {}).items():
        yield from parts_of(part, f"{place}{name}/")
    for part in (*schema.get("anyOf", ()), *filter(None, [schema.get("items")])):
        yield from parts_of(part, place)


def all_schemas():
    """Every schema of a model or a verb, by its title or where it stands."""
    result = {}
    for model in MODELS:
        for schema in (model.write_schema, model.read_schema):
            result[schema["title"]] = schema
    for verb in VERBS:
        for number, schema in enumerate(schemas_of(verb.operation)):
            if schema not in result.values():
                result[schema.get("title") or f"{verb} {number}"] = schema
    return result


SCHEMAS = all_schemas()
# A problem may have more members than we know of (RFC 9457 §3.2).
CLOSED = [name for name in SCHEMAS if name != "Problem"]


@pytest.fixture
def app(populated):
    return populated.app


@pytest.fixture
def client(populated):
    """Return a client with every permission: these tests are not about permissions."""
    return populated.client


# The text of a schema


@parametrize("name", SCHEMAS)
def test_a_schema_is_valid(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


@parametrize("name", SCHEMAS)
def test_a_schema_has_no_unknown_keyword(name):
    for place, part in parts_of(SCHEMAS[name]):
        assert part.keys() <= WORDS | {X_REFERENCES}, place
        assert part.get("format") in {None, *FORMATS}, place


@parametrize("name", CLOSED)
def test_a_schema_refuses_additional_properties(name):
    for place, part in parts_of(SCHEMAS[name]):
        if "object" in json_types(part):
            others = part["additionalProperties"]
            is_map = "properties" not in part and json_types(others)
            assert others is False or is_map, place


@parametrize("name", SCHEMAS)
def test_a_schema_describes_each_property(name):
    parts = parts_of(SCHEMAS[name])
    silent = [
        f"{place}{name}"
        for place, part in parts
        for name, schema in part.get("properties", {}).items()
        if not schema.get("description")
    ]
    assert silent == []


@parametrize("name", SCHEMAS)
def test_the_examples_of_a_schema_are_valid(name):
    for place, part in parts_of(SCHEMAS[name]):
        given = [*part.get("examples", ()), *filter(None, [part.get("default")])]
        for value in given:
            jsonschema.validate(value, part, format_checker=CHECKER)


@parametrize("model", MODELS)
def test_every_writable_property_has_limits(model):
    for name, schema in model.write_schema["properties"].items():
        kind = json_types(schema)
        if "string" in kind and schema.get("format") not in TIME_PARSERS:
            assert "maxLength" in schema or "enum" in schema, name
        if "integer" in kind or "number" in kind:
            assert {"minimum", "maximum"} <= schema.keys(), name


# Models and schemas


@parametrize("model", MODELS)
def test_a_representation_matches_the_read_schema(app, model):
    with app.test_request_context():
        shown = orjson.loads(dumps(model.as_json(any_record(model))))
    assert shown.keys() == model.read_schema["properties"].keys()
    jsonschema.validate(shown, model.read_schema, format_checker=CHECKER)
    assert set(model.read_schema["required"]) == shown.keys()


@parametrize("model", SQL_MODELS)
def test_a_row_and_an_instance_show_the_same(app, model):
    with app.test_request_context():
        row = any_record(model)
        instance = model.lock_or_404(row.id)
        assert model.as_json(instance) == model.as_json(row)


def any_record(model):
    if model in SQL_MODELS:
        return sql.session.execute(sql.select(*model.columns())).first()
    key = next(redis_store.scan_iter(f"{{{model.keyspace}}}:[0-9]*"))
    return model.get(int(key.decode().partition(":")[2]))


@parametrize("model", SQL_MODELS)
def test_a_column_matches_its_property(model):
    columns = model.__table__.columns
    for name, schema in model.write_schema["properties"].items():
        if name in model.write_only or name not in columns:  # kept in another form
            continue
        column, kind = columns[name], kind_of(schema)
        may_be_null = "null" in json_types(schema)
        # keeps its null as a time
        endless = isinstance(column.type, NullsLastTimestamp)
        assert column.nullable is (may_be_null and not endless), name
        if kind != "string":
            forms = {"integer": BigInteger, "number": Double, "boolean": Boolean}
            forms["array"] = JSON
            assert isinstance(column.type, forms[kind]), name
        elif schema.get("format") == "date-time":
            assert endless if may_be_null else isinstance(column.type, DateTime), name
        elif schema.get("format") == "date":
            assert isinstance(column.type, Date), name
        elif schema["maxLength"] > MAX_INDEXED_CHARACTERS:
            assert isinstance(column.type, Text), name
        else:
            assert isinstance(column.type, String), name
            assert column.type.length == schema["maxLength"], name


@parametrize("model", MODELS)
def test_only_optional_properties_may_be_omitted(model):
    for name, schema in model.write_schema["properties"].items():
        assert is_optional(schema) is (name not in model.write_schema["required"])


# Over HTTP


@pytest.fixture
def send(populated):
    """Return a function that sends the example of a method, with changes, to a record."""
    _, client, things = populated

    def send(verb, /, **changes):
        url, sent = things.address(verb.path), things.request_arguments(verb, **changes)
        return client.open(url, method=verb.method, **sent)

    return send


@parametrize("verb", BODIES)
def test_its_own_example_is_accepted(send, verb):
    assert fits_schema(send(verb))


@parametrize("verb", BODIES)
def test_an_unknown_property_is_refused(send, verb):
    problem = assert_problem(send(verb, nonsense=1), 422)
    assert [fault["pointer"] for fault in problem["errors"]] == ["/nonsense"]


def schema_of(verb, name):
    return verb.schema["properties"][name]


def properties(test):
    """Each property of a body that passes a test of its schema, as a parameter."""
    return [
        pytest.param(verb, name, id=f"{verb} {name}")
        for verb in BODIES
        for name, schema in verb.schema["properties"].items()
        if test(schema)
    ]


TEXTS = properties(lambda s: "maxLength" in s and "enum" not in s)
BOUNDED_BELOW = properties(lambda schema: schema.get("minLength"))
NUMBERS = properties(lambda schema: {"integer", "number"} & set(json_types(schema)))
LISTED = properties(
    lambda schema: schema.get("format") in TIME_PARSERS or "enum" in schema
)
MEASURES = properties(lambda schema: schema.get("maximum", MAX_INT64) < MAX_INT64)


@pytest.mark.parametrize("verb, name", TEXTS)
def test_a_text_may_be_as_long_as_its_limit_and_no_longer(send, verb, name):
    schema = schema_of(verb, name)
    for text in texts_at_the_limit(schema):
        response = send(verb, **{name: text + text[-1]})
        problem = assert_problem(response, 422)
        assert {fault["pointer"] for fault in problem["errors"]} == {f"/{name}"}
    for text in texts_at_the_limit(schema):
        assert len(text) == schema["maxLength"]
        response = send(verb, **{name: text})
        assert fits_schema(response)
        assert response.json.get(name, text) == text


def texts_at_the_limit(schema):
    if "anyOf" in schema:
        return [LONGEST_ADDRESS]
    # A length counts characters, not bytes.
    letters = "xéक𝄞" if schema.get("pattern") == NO_NUL_PATTERN else "x"
    return [letter * schema["maxLength"] for letter in letters]


@pytest.mark.parametrize("verb, name", BOUNDED_BELOW)
def test_a_text_may_be_as_short_as_its_limit_and_no_shorter(send, verb, name):
    shortest = schema_of(verb, name)["minLength"]
    response = send(verb, **{name: "x" * (shortest - 1)})
    problem = assert_problem(response, 422)
    assert {fault["pointer"] for fault in problem["errors"]} == {f"/{name}"}
    assert fits_schema(send(verb, **{name: "x" * shortest}))


@pytest.mark.parametrize("verb, name", MEASURES)
def test_a_number_may_be_as_small_and_as_large_as_its_limits(send, verb, name):
    schema = schema_of(verb, name)
    lowest, highest = schema["minimum"], schema["maximum"]
    for number in (lowest, highest, float(highest)):
        response = send(verb, **{name: number})
        assert fits_schema(response)
        if response.status_code != 409:  # a unique value may be taken
            assert type(response.json[name]) is PYTHONS[kind_of(schema)]
            assert response.json[name] == number


@pytest.mark.parametrize("verb, name", NUMBERS)
def test_a_number_beyond_its_limits_or_broken_is_refused(send, verb, name):
    schema = schema_of(verb, name)
    lowest, highest = schema["minimum"], schema["maximum"]
    broken = [lowest - 1, highest + 1, lowest + 0.5, 2**64, -(2**63) - 1]
    if kind_of(schema) == "number":
        broken = [nextafter(lowest, -inf), nextafter(highest, inf)]
    for number in broken:
        response = send(verb, **{name: number})
        problem = assert_problem(response, 422)
        assert [fault["pointer"] for fault in problem["errors"]] == [f"/{name}"]


@pytest.mark.parametrize("verb, name", LISTED)
def test_an_invalid_date_or_choice_is_refused(send, verb, name):
    for value in ("2026-02-30", "2026-02-30T07:40:00Z", "2026-02-3", "", "nonsense"):
        problem = assert_problem(send(verb, **{name: value}), 422)
        assert {fault["pointer"] for fault in problem["errors"]} == {f"/{name}"}
