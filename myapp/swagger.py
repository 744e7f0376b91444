"""From OpenAPI 3.1 to Swagger 2.0, for tools that read nothing newer.

What 2.0 has a word for is said with it. What it has none for is kept under a name with
`x-`, which tools pass over: so the old document may be laxer than the new, never
stricter.
"""

# The keywords of JSON Schema that hold schemas: by name, in a list, alone.
NAMED = {"properties", "patternProperties", "dependentSchemas", "$defs"}
LISTED = {"allOf", "anyOf", "oneOf", "prefixItems"}
ALONE = {"items", "additionalProperties", "unevaluatedProperties", "unevaluatedItems"}
ALONE |= {"contains", "propertyNames", "not", "if", "then", "else"}

# What 2.0 knows of a parameter's value, what it knows of a body, and what says nothing.
PLAIN = {"type", "format", "items", "default", "enum", "multipleOf", "pattern"}
PLAIN |= {"maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"}
PLAIN |= {"maxLength", "minLength", "maxItems", "minItems", "uniqueItems"}
RICH = {"$ref", "title", "description", "properties", "required", "allOf", "example"}
RICH |= {"additionalProperties", "maxProperties", "minProperties", "readOnly"} | PLAIN
SILENT = {"$schema", "$id", "$comment"}

NULL = {"x-nullable": True}  # what `{"type": "null"}` becomes


def downgrade(document):
    """The Swagger 2.0 document that says what an OpenAPI 3.1 document says."""
    components = document["components"]
    return {
        "swagger": "2.0",
        "info": document["info"],
        "tags": document["tags"],
        "paths": {
            path: {verb: _operation(operation) for verb, operation in verbs.items()}
            for path, verbs in document["paths"].items()
        },
        "definitions": {
            name: _schema(schema) for name, schema in components["schemas"].items()
        },
        "securityDefinitions": {
            name: _security(scheme)
            for name, scheme in components["securitySchemes"].items()
        },
    }


def inside(schema, change):
    """A copy of a JSON Schema, with `change` applied to each schema right inside it."""
    copy = dict(schema)
    for key, value in schema.items():
        if key in NAMED:
            copy[key] = {name: change(part) for name, part in value.items()}
        elif key in LISTED:
            copy[key] = [change(part) for part in value]
        elif key in ALONE and isinstance(value, dict):
            copy[key] = change(value)
    return copy


# Operations


def _operation(operation):
    body = operation.get("requestBody")
    parameters = [_parameter(parameter) for parameter in operation["parameters"]]
    if body:
        required, schema = body.get("required", False), _first_schema(body)
        parameters.append(
            {"name": "body", "in": "body", "required": required, "schema": schema}
        )
    responses = operation["responses"]
    produced = {mime for each in responses.values() for mime in each.get("content", ())}
    translated = {
        **operation,
        # 2.0 has another kind of parameter for forms, beside which no body may stand.
        "consumes": [m for m in body["content"] if "form" not in m] if body else [],
        "produces": sorted(produced),
        "parameters": parameters,
        "responses": {status: _response(each) for status, each in responses.items()},
    }
    translated.pop("requestBody", None)
    return translated


def _parameter(parameter):
    value = _value(parameter)
    if value["type"] == "array" and parameter.get("explode", True):
        value["collectionFormat"] = "multi"
    return {
        "name": parameter["name"],
        "in": parameter["in"],
        "required": parameter.get("required", False),
        **value,
    }


def _response(response):
    translated = {"description": response["description"]}
    if "headers" in response:
        headers = response["headers"]
        translated["headers"] = {name: _value(headers[name]) for name in headers}
    if "content" in response:
        translated["schema"] = _first_schema(response)
    return translated


def _first_schema(body):
    """2.0 has room for one schema: that of the first media type."""
    media = next(iter(body["content"].values()))
    return _schema(media.get("schema", {}))


def _value(described):
    """A parameter or header: its schema stands right in it, and knows few words."""
    schema = _schema(described["schema"])
    value = _plain(schema)
    if "example" in schema:
        value["x-example"] = schema["example"]
    description = described.get("description") or schema.get("description")
    return {**value, "description": description} if description else value


def _plain(schema):
    plain = {key: schema[key] for key in schema if key in PLAIN or key[:2] == "x-"}
    if "items" in plain:
        plain["items"] = _plain(plain["items"])
    return {"type": "string", **plain}


def _security(scheme):
    if scheme["scheme"] == "basic":
        return {"type": "basic", "description": scheme["description"]}
    return {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": f"{scheme['description']} Write the word Bearer before it.",
    }


# Schemas


def _schema(schema):
    """A JSON Schema of 2020-12 as a Schema Object of Swagger 2.0."""
    if schema is True or schema is False:
        return {}
    schema = inside(schema, _schema)
    for rule in (_type, _choice, _bounds, _wording, _reference):
        rule(schema)
    return {
        key if key in RICH or key.startswith("x-") else f"x-{key}": value
        for key, value in schema.items()
        if key not in SILENT
    }


def _type(schema):
    """One type, and whether it may be null."""
    types = schema.pop("type", [])
    types = [types] if isinstance(types, str) else list(types)
    if "null" in types:
        types.remove("null")
        schema.update(NULL)
    if len(types) == 1:
        schema["type"] = types[0]
    elif types:
        schema["x-type"] = types
    if types == ["array"]:
        schema.setdefault("items", {})


def _choice(schema):
    """Of `anyOf` and `oneOf` the one branch beside null, or the type that all share."""
    for keyword in ("anyOf", "oneOf"):
        branches = schema.pop(keyword, [])
        if NULL in branches:
            branches.remove(NULL)
            schema.update(NULL)
        types = {branch.get("type") for branch in branches}
        if len(branches) == 1 and "$ref" in branches[0]:
            schema.setdefault("allOf", []).extend(branches)
        elif len(branches) == 1:
            schema.update({**branches[0], **schema})
        elif branches:
            schema[f"x-{keyword}"] = branches
            if len(types) == 1 and None not in types:
                schema["type"] = types.pop()


def _bounds(schema):
    """An exclusive bound is a bound and a flag."""
    for bound, exclusive in (
        ("minimum", "exclusiveMinimum"),
        ("maximum", "exclusiveMaximum"),
    ):
        if exclusive in schema:
            schema[bound], schema[exclusive] = schema[exclusive], True


def _wording(schema):
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if schema.get("examples"):
        schema["example"] = schema.pop("examples")[0]
    if schema.get("required") == []:
        del schema["required"]


def _reference(schema):
    """A reference stands alone."""
    if "$ref" in schema:
        name = schema.pop("$ref").rpartition("/")[2]
        reference = {"$ref": f"#/definitions/{name}"}
        if schema:
            schema.setdefault("allOf", []).append(reference)
        else:
            schema.update(reference)
