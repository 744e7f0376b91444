"""Move repeated schemas and responses into `components`."""

import re
from collections import defaultdict

from ..errors import TITLES
from ..schema.examples import example_of
from .swagger2 import inside


def shared(paths):
    """Of each kind of problem the response that most slices give, and of those the one that
    most operations do, by its title; in their place, these refer to it.

    What one slice alone says would be the usual until the next slice comes, and then be
    written out in each of its operations.
    """
    given = defaultdict(lambda: defaultdict(list))
    for verbs in paths.values():
        for operation in verbs.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    alike = given[status][response["description"]]
                    alike.append((response, operation))

    def spread(pairs):
        return len({operation["tags"][0] for _, operation in pairs}), len(pairs)

    found = {}
    for status, by_words in sorted(given.items()):
        pairs = max(by_words.values(), key=spread)
        usual, _ = pairs[0]
        name = re.sub(r"\W", "", TITLES[int(status)])
        found[name] = usual
        for response, operation in pairs:
            if response == usual:
                operation["responses"][status] = {
                    "$ref": f"#/components/responses/{name}"
                }
    return found


def with_references(part, schemas, copies):
    """A copy of part of an operation, its titled schemas moved to `schemas`.

    `copies`: by id, each whole schema so far with its copy, since many operations share it.
    """
    if isinstance(part, list):
        return [with_references(each, schemas, copies) for each in part]
    if not isinstance(part, dict) or "$ref" in part:
        return part
    copy = {}
    for key, value in part.items():
        if key == "schema":
            if id(value) not in copies:
                copies[id(value)] = value, reference(value, schemas)
            copy[key] = copies[id(value)][1]
        else:
            copy[key] = with_references(value, schemas, copies)
    return copy


def reference(schema, schemas):
    """A schema, or the $ref to it if it has a title; the same for those inside it."""
    if "properties" in schema and "title" in schema:
        schema = {"examples": [example_of(schema)]} | schema
    schema = inside(schema, lambda part: reference(part, schemas))
    if "title" not in schema:
        return schema
    name = re.sub(r"[^\w.-]", "", schema["title"])
    if schemas.setdefault(name, schema) != schema:
        raise ValueError(f"two schemas are called {name}")
    return {"$ref": f"#/components/schemas/{name}"}
