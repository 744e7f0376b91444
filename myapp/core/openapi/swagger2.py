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
            path: {
                verb: _operation(operation, components)
                for verb, operation in verbs.items()
            }
            for path, verbs in document["paths"].items()
        },
        "responses": {
            name: _response(response, components)
            for name, response in components["responses"].items()
        },
        "definitions": {
            name: _schema(schema) for name, schema in components["schemas"].items()
        },
        "securityDefinitions": {
            name: _security(**scheme)
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


def _operation(operation, components):
    body = operation.get("requestBody")
    parameters = [_parameter(each, components) for each in operation["parameters"]]
    if body:
        parameters.append(_body(body))
    responses = operation["responses"]
    produced = {
        mime
        for response in responses.values()
        for mime in _resolved(response, components).get("content", ())
    }
    translated = {
        **operation,
        # 2.0 has another kind of parameter for forms, beside which no body may stand.
        "consumes": [m for m in body["content"] if "form" not in m] if body else [],
        "produces": sorted(produced),
        "parameters": parameters,
        "responses": {
            status: _response(response, components)
            for status, response in responses.items()
        },
    }
    translated.pop("requestBody", None)
    return translated


def _parameter(parameter, components):
    value = _value(parameter, components)
    if value["type"] == "array" and parameter.get("explode", True):
        value["collectionFormat"] = "multi"
    return {"required": False, **value}


def _body(body):
    """A body: 2.0 has room for one schema, that of the first media type."""
    content = _schemas(body)
    translated = {
        "name": "body",
        "in": "body",
        "required": False,
        **{key: body[key] for key in body if key != "content"},
        "schema": next(iter(content.values())),
        "x-content": content,
    }
    for media, described in body["content"].items():
        if "encoding" in described:
            translated.setdefault("x-encoding", {})[media] = described["encoding"]
    return translated


def _response(response, components):
    if "$ref" in response:
        return {"$ref": response["$ref"].replace("/components", "")}
    translated = {"description": response["description"]}
    if "headers" in response:
        translated["headers"] = {
            name: _header(_resolved(header, components), components)
            for name, header in response["headers"].items()
        }
    if "content" in response:
        content = translated["x-content"] = _schemas(response)
        translated["schema"] = next(iter(content.values()))
        for media, described in response["content"].items():
            if "example" in described:
                fits = content[media] == translated["schema"]
                name = "examples" if fits else "x-examples"
                translated.setdefault(name, {})[media] = described["example"]
    if "links" in response:
        translated["x-links"] = response["links"]
    return translated


def _resolved(part, components):
    """A part of a document, or what it refers to."""
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    return components[kind][name]


def _schemas(part):
    """The schemas of a body or a response, by media type."""
    return {
        media: _schema(described.get("schema", {}))
        for media, described in part["content"].items()
    }


def _header(header, components):
    value = _value(header, components)
    return {f"x-{key}" if key == "required" else key: value[key] for key in value}


def _value(described, components):
    """A parameter or header: its schema stands right in it, and knows few words."""
    value = _plain(_schema(_resolved(described["schema"], components)))
    if "x-description" in value and "description" not in described:
        value["description"] = value.pop("x-description")
    if "x-example" in value:  # which Swagger UI would send, if nobody took it out
        value.setdefault("x-examples", [value["x-example"]])
        del value["x-example"]
    return value | {
        key if key in ("name", "in", "required", "description") else f"x-{key}": word
        for key, word in described.items()
        if key != "schema"
    }


def _plain(schema):
    plain = {
        key if key in PLAIN or key[:2] == "x-" else f"x-{key}": word
        for key, word in schema.items()
    }
    if "items" in plain:
        plain["items"] = _plain(plain["items"])
    return {"type": "string", **plain}


def _security(type, scheme, description, **other):
    if scheme == "basic":
        return {"type": "basic", "description": description}
    return {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": f"{description} Write the word Bearer before it.",
        **{f"x-{key}": word for key, word in other.items()},
    }


# Schemas


def _schema(schema):
    """A JSON Schema of 2020-12 as a Schema Object of Swagger 2.0."""
    if schema is True or schema is False:
        return {} if schema else {"x-not": {}}
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
    """Of `anyOf` and `oneOf` the only branch beside null, or the type that all share."""
    for keyword in ("anyOf", "oneOf"):
        branches = schema.pop(keyword, [])
        if NULL in branches:
            branches.remove(NULL)
            schema.update(NULL)
        types = {branch.get("type") for branch in branches}
        only = branches[0] if len(branches) == 1 else {}
        if "$ref" in only or only.keys() & schema.keys() - NULL.keys():
            schema.setdefault("allOf", []).extend(branches)
        elif only:
            schema.update(only)
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
        schema["example"], *others = schema["examples"]
        if not others:
            del schema["examples"]
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
