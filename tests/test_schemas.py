"""Every schema is valid, closed and described, and what it says is what holds."""

import jsonschema
import orjson
import pytest
from sqlalchemy import BigInteger, Boolean, DateTime, Float, String
from test_house import BODIES, VERBS, example, furnish, parametrize
from test_problems import assert_problem

from myapp.db import redis_store, sql
from myapp.etags import dumps
from myapp.model import RedisModel
from myapp.schema import NO_NUL, is_optional, kinds

SQL_MODELS = [mapper.class_ for mapper in sql.Model.registry.mappers]
MODELS = [*SQL_MODELS, *RedisModel.__subclasses__()]
LONGEST_ADDRESS = "0000:0000:0000:0000:0000:ffff:192.168.100.228"
COLUMNS = {
    "string": String,
    "integer": BigInteger,
    "number": Float,
    "boolean": Boolean,
}


def schemas_of(part):
    """Every whole schema in part of an operation."""
    if isinstance(part, dict):
        for key, value in part.items():
            yield from [value] if key == "schema" else schemas_of(value)
    elif isinstance(part, list):
        for each in part:
            yield from schemas_of(each)


def parts_of(schema, name=""):
    """Yield a schema and all that stand inside it, each with its name."""
    yield name, schema
    for key, part in schema.get("properties", {}).items():
        yield from parts_of(part, f"{name}/{key}")
    if "items" in schema:
        yield from parts_of(schema["items"], f"{name}/items")
    for part in schema.get("anyOf", ()):
        yield from parts_of(part, f"{name}/anyOf")


def all_schemas():
    found = {
        f"{model.__name__}.{kind}": getattr(model, kind)
        for model in MODELS
        for kind in ("write_schema", "read_schema")
    }
    for verb in VERBS:
        for number, schema in enumerate(schemas_of(verb.operation)):
            found[schema.get("title", f"{verb} {number}")] = schema
    return found


SCHEMAS = all_schemas()
# RFC 9457 §3.2 lets a problem have more members than we know of.
CLOSED = {name: schema for name, schema in SCHEMAS.items() if name != "Problem"}


def with_property(schema, test):
    return [name for name, part in schema["properties"].items() if test(part)]


def is_text(part):
    return "string" in kinds(part) and "maxLength" in part


LIMITED = [
    pytest.param(verb, name, id=f"{verb} {name}")
    for verb in BODIES
    for name in with_property(verb.schema, is_text)
]


# What a schema says


@parametrize("name", SCHEMAS)
def test_a_schema_is_valid(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


@parametrize("name", SCHEMAS)
def test_a_schema_uses_only_words_that_there_are(name):
    metaschemas = jsonschema.Draft202012Validator.META_SCHEMA["allOf"]
    ...


@parametrize("name", CLOSED)
def test_a_schema_knows_no_other_properties(name):
    for where, part in parts_of(CLOSED[name]):
        if "object" in kinds(part):
            assert part["additionalProperties"] is False, where


@parametrize("name", SCHEMAS)
def test_a_schema_describes_each_property(name):
    properties = {
        f"{where}/{key}": part
        for where, schema in parts_of(SCHEMAS[name])
        for key, part in schema.get("properties", {}).items()
    }
    assert [
        where for where in properties if not properties[where].get("description")
    ] == []
