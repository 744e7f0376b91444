"""What a client would miss or not expect: two OpenAPI 3.1 documents compared.

What a client sends (parameters, bodies) must still be taken: it may become more, not less.
What it gets (bodies, headers, statuses) must still fit: it may become less, not more. So a
schema of one is compared in one direction, a schema of the other in the other. Clients
ignore properties, headers and errors that they do not know: new ones break nothing.
What cannot be judged counts as a break where it changes: a false alarm costs a look.
"""

import json
import re
from math import inf
from urllib.parse import unquote

import orjson

VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
VARIABLE = re.compile(r"{([^{}]*)}")
VERSION = re.compile(r"(\d+)\.(\d+)\.\d+([-+].*)?")

ANNOTATIONS = {
    *("title", "description", "summary", "example", "examples", "default"),
    *("deprecated", "externalDocs", "$comment", "$defs"),
}
KINDS = {"null", "boolean", "object", "array", "integer", "number", "string"}
NUMBERS = {"integer", "number"}
KIND_OF = {str: "string", bool: "boolean", int: "integer", float: "number"}
KIND_OF |= {type(None): "null", dict: "object", list: "array"}
# By keyword: the kinds of values that it is about, and what it is where it is not there.
AT_MOST = {
    "maxLength": ({"string"}, inf),
    "maximum": (NUMBERS, inf),
    "exclusiveMaximum": (NUMBERS, inf),
    "maxItems": ({"array"}, inf),
    "maxProperties": ({"object"}, inf),
}
AT_LEAST = {
    "minLength": ({"string"}, 0),
    "minimum": (NUMBERS, -inf),
    "exclusiveMinimum": (NUMBERS, -inf),
    "minItems": ({"array"}, 0),
    "minProperties": ({"object"}, 0),
}
JUDGED = {
    *("type", "enum", "multipleOf", "uniqueItems", "pattern", "format", "items"),
    *("properties", "required", "additionalProperties", *AT_MOST, *AT_LEAST),
}
# Under these stand names, and no keywords; and under those, a value of a client's.
NAMES = {"properties", "patternProperties", "dependentSchemas"}
NAMES |= {"headers", "content", "responses", "callbacks"}
VALUES = {"const", "enum"}

# What comes of a document whose parts are not what they should be.
UNSOUND = (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


# Whether a version may break


def read(data):
    """A document from its bytes. Raises ValueError, whose message goes on after a name."""
    if not data.strip():
        raise ValueError("is empty: a shell empties the file that `>` names at once.")
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error}.") from None
    if not isinstance(document, dict) or not re.match(
        r"3\.1\.", str(document.get("openapi"))
    ):
        raise ValueError("is no OpenAPI 3.1 document.")
    info = document.get("info")
    version = info.get("version") if isinstance(info, dict) else None
    if not VERSION.fullmatch(str(version)):
        raise ValueError(f"has no version like 1.2.3, but {as_json(version)}.")
    return document


def verdict(old, new):
    """What there is to say of a document and its successor, as lines, and whether the
    successor will do. Raises ValueError as `breaking` does."""
    found = breaking(old, new)
    was, now = old["info"]["version"], new["info"]["version"]
    if not found:
        return [f"Nothing that a client of {was} relies on has changed."], True
    if may_break(old, new):
        return [*found, f"The step from {was} to {now} allows that."], True
    major, minor = promise(was)
    least = f"0.{minor + 1}.0" if not major else f"{major + 1}.0.0"
    return [*found, f"Version {now} may not break {was}: it must be {least}."], False


def may_break(old, new):
    """Whether the version of a document has moved so far that it may break the old one.

    The major number must have moved on. While it is 0, the minor number counts in its
    place: anything may change then (semver.org §4), and who builds on 0.3 wants to know
    that 0.3.1 is safe, which is how Cargo reads it.
    """
    return promise(new["info"]["version"]) > promise(old["info"]["version"])


def promise(version):
    """(major, minor) as far as they may not stand still where something breaks."""
    major, minor, _ = VERSION.fullmatch(version).groups()
    return int(major), 0 if int(major) else int(minor)


# What breaks


def breaking(old, new):
    """What breaks clients of the document `old` where `new` takes its place: sentences,
    each with its place; none where nothing does.

    Raises ValueError where one of them is no sound document: a `$ref` that leads nowhere
    or out of it, a list where an object should be.
    """
    try:
        found = list(Comparison(old, new).documents())
    except UNSOUND as error:
        raise ValueError(f"is not sound: {type(error).__name__}: {error}.") from error
    return list(dict.fromkeys(f"{place}: {what}." for place, what in found))


class Comparison:
    """Of two documents. The methods yield pairs: a place, and what is wrong there."""

    def __init__(self, old, new):
        self.old, self.new = old, new
        self._known = {}

    def documents(self):
        before, after = operations(self.old), operations(self.new)
        for key, (path, item, verb) in before.items():
            place = f"{verb.upper()} {path}"
            if key in after:
                for where, what in self.operations(before[key], after[key]):
                    yield f"{place}{where}", what
            else:
                yield place, "is gone"
        known = {
            "openapi",
            "info",
            "servers",
            "tags",
            "paths",
            "components",
            "security",
        }
        for what in self.others(self.old, self.new, known):
            yield "the document", what

    def operations(self, before, after):
        (old_path, old_item, verb), (new_path, new_item, _) = before, after
        old, new = old_item[verb], new_item[verb]
        name, now = old.get("operationId"), new.get("operationId")
        if name is not None and now != name:
            yield "", f"its operationId was {name} and is {now}, as what clients call"
        reached = servers(self.new, new_item, new)
        for url in servers(self.old, old_item, old):
            if url not in reached:
                yield "", f"is no longer served at {url}"
        enough = ways(self.new, new)
        for way, names in ways(self.old, old):
            if not any(asked <= way for asked, _ in enough):
                yield "", (
                    f"signing in with {names} is not enough any more"
                    if names
                    else "wants a sign-in, and was open to all"
                )
        yield from self.parameters(
            parameters(self.old, old_path, old_item, old),
            parameters(self.new, new_path, new_item, new),
        )
        for where, what in self.request_bodies(
            resolved(self.old, old.get("requestBody", {})),
            resolved(self.new, new.get("requestBody", {})),
        ):
            yield f", body{where}", what
        yield from self.responses(old.get("responses", {}), new.get("responses", {}))
        known = {"tags", "operationId", "parameters", "requestBody", "responses"}
        for what in self.others(old, new, known | {"security", "servers", "links"}):
            yield "", what

    def parameters(self, old, new):
        for key, was in old.items():
            place = f", {was['in']} parameter {was['name']}"
            if key not in new:
                yield place, "is gone, and clients send it"
                continue
            now = new[key]
            if key[0] == "path" and now["name"] != was["name"]:
                yield place, f"is called {now['name']}, as an argument of clients"
            if now.get("required") and not was.get("required"):
                yield place, "is required, and could be left out"
            for where, what in self.described(was, now, True, was.get("required")):
                yield f"{place}{where}", what
        for key, now in new.items():
            if key not in old and now.get("required"):
                yield f", {now['in']} parameter {now['name']}", "is new, and required"

    def request_bodies(self, old, new):
        if old and not new:
            yield "", "is gone, and clients send it"
        elif new.get("required") and not old.get("required"):
            yield "", "is required, and could be left out"
        if old and new:
            yield from self.contents(old, new, True)

    def responses(self, old, new):
        for status, was in old.items():
            place = f", answer {status}"
            if status not in new:
                yield place, "is gone, and clients wait for it"
                continue
            was, now = resolved(self.old, was), resolved(self.new, new[status])
            for where, what in self.contents(was, now, False):
                yield f"{place}{where}", what
            sent = headers(self.new, now)
            for name, header in headers(self.old, was).items():
                here = f"{place}, header {name}"
                always = header.get("required", False)
                if always and not sent.get(name, {}).get("required"):
                    yield here, "may be missing, and was always there"
                if name in sent:
                    for where, what in self.described(header, sent[name], False):
                        yield f"{here}{where}", what
        for status in new:
            # 304 comes to those who ask for it with a precondition.
            if status not in old and status[0] not in "45" and status != "304":
                yield f", answer {status}", "is new, and no error"

    def contents(self, old, new, sent):
        """Of a body: by media type."""
        was, now = old.get("content", {}), new.get("content", {})
        for media in was:
            if media not in now:
                yield f" ({media})", "is gone"
                continue
            for where, what in self.described(was[media], now[media], sent, True):
                yield f" ({media}){where}", what
        if not sent:
            for media in now:
                if media not in was:
                    yield f" ({media})", "is new, and clients may not read it"

    def described(self, old, new, sent, given=False):
        """Of what has a schema: a parameter, a header, a body of one media type."""
        found = self.schemas(
            old.get("schema", True), new.get("schema", True), sent, given
        )
        for where, what in found:
            yield where and f", {where}", what
        for what in self.others(old, new, {"schema", "name", "in", "required"}):
            yield "", what

    def schemas(self, old, new, sent, given=True):
        """[(where below, what)] of two schemas, the documents' own objects.

        `sent`: whether clients send what they describe; else they get it.
        `given`: whether they have always sent it, so that its default means nothing.
        """
        key = id(old), id(new), sent, given
        if key not in self._known:
            self._known[key] = []  # for where they come back to themselves
            self._known[key] = list(self._schemas(old, new, sent, given))
        return self._known[key]

    def _schemas(self, old, new, sent, given):
        wide, narrow = (old, new) if sent else (new, old)
        if wide is False or narrow is True:
            return
        if narrow is False:
            yield "", "nothing is allowed any more" if sent else "comes, and never did"
            return
        old, new = resolved(self.old, old), resolved(self.new, new)
        so = "what was taken may be refused" if sent else "what comes may be unheard of"
        for keyword in overstepped(*((old, new) if sent else (new, old))):
            was, now = (
                as_json(each[keyword]) if keyword in each else "open"
                for each in (old, new)
            )
            yield "", f"{keyword} was {was} and is {now}: {so}"
        if sent and not given and changed(old, new, "default"):
            yield "", "another default: who leaves it out gets something else"
        for what in self.others(old, new, JUDGED):
            yield "", what
        for where, what in self.schemas(
            old.get("items", True), new.get("items", True), sent
        ):
            yield f"/*{where}", what
        yield from self._objects(old, new, sent)

    def _objects(self, old, new, sent):
        was, now = old.get("properties", {}), new.get("properties", {})
        needed, needs = set(old.get("required", [])), set(new.get("required", []))
        rest_was = old.get("additionalProperties", True)
        rest_is = new.get("additionalProperties", True)
        gone = {
            name for name in was.keys() - now.keys() if rest_is is False or not sent
        }
        for name in was:
            if name in gone:
                yield f"/{name}", f"is gone, and clients {'send' if sent else 'read'} it"
        for name in sorted(needs - needed if sent else needed - needs - gone):
            yield f"/{name}", (
                "is required, and could be left out"
                if sent
                else "may be missing, and was always there"
            )
        both = [
            (name, was.get(name, rest_was), now.get(name, rest_is))
            for name in was | now
        ]
        for name, before, after in (*both, ("*", rest_was, rest_is)):
            # Where there could be none, a new one is harmless.
            if name not in gone and before is not False:
                for where, what in self.schemas(before, after, sent, name in needed):
                    yield f"/{name}{where}", what
        if "patternProperties" in old | new and was.keys() != now.keys():
            yield "", "other properties beside its patternProperties, which is not judged"

    def others(self, old, new, known):
        """What is to be said of everything that is not known, and has changed."""
        for name in old | new:
            if name not in known | ANNOTATIONS and not name.startswith("x-"):
                pair = [
                    as_json(whole(document, {name: part.get(name)}))
                    for document, part in ((self.old, old), (self.new, new))
                ]
                if pair[0] != pair[1]:
                    yield f"`{name}` has changed, which is not judged"


def overstepped(wide, narrow):
    """The keywords of `narrow` that a value which fits `wide` may not fit."""
    kinds = kinds_of(wide)
    if not kinds <= kinds_of(narrow):
        yield "type"
    if "enum" in narrow:
        allowed = set(map(as_json, narrow["enum"]))
        if "enum" not in wide or not set(map(as_json, wide["enum"])) <= allowed:
            yield "enum"
    for keyword, (about, absent) in AT_MOST.items():
        if kinds & about and wide.get(keyword, absent) > narrow.get(keyword, absent):
            yield keyword
    for keyword, (about, absent) in AT_LEAST.items():
        if kinds & about and wide.get(keyword, absent) < narrow.get(keyword, absent):
            yield keyword
    if "multipleOf" in narrow and kinds & NUMBERS:
        if "multipleOf" not in wide or wide["multipleOf"] % narrow["multipleOf"]:
            yield "multipleOf"
    if narrow.get("uniqueItems") and not wide.get("uniqueItems") and "array" in kinds:
        yield "uniqueItems"
    if changed(wide, narrow, "pattern") and "pattern" in narrow and "string" in kinds:
        yield "pattern"
    if changed(wide, narrow, "format") and "format" in narrow:
        yield "format"


def kinds_of(schema):
    """The kinds of values that fit a schema, as a set; "number": those with a fraction."""
    if "enum" in schema:
        kinds = {KIND_OF[type(value)] for value in schema["enum"]}
    else:
        kinds = KINDS
    if "type" in schema:
        named = schema["type"]
        named = {named} if isinstance(named, str) else set(named)
        kinds = kinds & (named | NUMBERS if "number" in named else named)
    return kinds


# Parts of a document


def operations(document):
    """{(path without names, verb): (path, its item, verb)} of each operation."""
    found = {}
    for path, item in document.get("paths", {}).items():
        item = resolved(document, item)
        for verb in VERBS:
            if verb in item:
                found[VARIABLE.sub("{}", path), verb] = path, item, verb
    return found


def parameters(document, path, item, operation):
    """Of an operation, by where they stand and their name; in the path, by their place."""
    places = {name: place for place, name in enumerate(VARIABLE.findall(path))}
    found = {}
    for each in (*item.get("parameters", ()), *operation.get("parameters", ())):
        each = resolved(document, each)
        name = each["name"]
        if each["in"] == "path":
            name = places.get(name, name)
        elif each["in"] == "header":
            name = name.lower()
        found[each["in"], name] = each
    return found


def headers(document, response):
    """Of a response, by their names in small letters."""
    found = response.get("headers", {}).items()
    return {name.lower(): resolved(document, header) for name, header in found}


def servers(document, item, operation):
    """The addresses below which an operation stands."""
    for part in (operation, item, document):
        if part.get("servers"):
            return [as_json(server["url"]) for server in part["servers"]]
    return ['"/"']


def ways(document, operation):
    """Each way to sign in that is enough: (what it takes, as a set; its name)."""
    schemes = document.get("components", {}).get("securitySchemes", {})
    found = []
    for way in operation.get("security", document.get("security")) or [{}]:
        taken = set()
        for name, scopes in way.items():
            scheme = whole(document, schemes.get(name))
            taken |= {as_json([name, scheme, scope]) for scope in (None, *scopes)}
        found.append((taken, " and ".join(way)))
    return found


def resolved(document, part):
    """A part of a document, or what its $ref leads to, with the annotations beside it."""
    if isinstance(part, bool):
        return {} if part else {"not": {}}
    followed = []
    while isinstance(part.get("$ref"), str):
        beside = {name: value for name, value in part.items() if name != "$ref"}
        if beside.keys() - ANNOTATIONS:
            return {"allOf": [{"$ref": part["$ref"]}, beside]}
        if part["$ref"] in followed:
            raise ValueError(f"is not sound: {part['$ref']} leads to itself.")
        followed.append(part["$ref"])
        part = {**target(document, part["$ref"]), **beside}
    return part


def target(document, reference):
    """What stands where a $ref leads: a JSON Pointer (RFC 6901) in a fragment."""
    if not reference.startswith("#/"):
        raise ValueError(f"is not sound: {reference} leads out of it.")
    try:
        for step in unquote(reference[2:]).split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            document = document[int(step) if isinstance(document, list) else step]
    except (LookupError, TypeError, ValueError):
        raise ValueError(f"is not sound: {reference} leads nowhere.") from None
    return document


def whole(document, part, above=()):
    """A part without its annotations, and with what each $ref leads to in its place; a
    number for one that leads back: how deep it began."""
    if isinstance(part, list):
        return [whole(document, each, above) for each in part]
    if not isinstance(part, dict):
        return part
    if id(part) in above:
        return {"$ref": above.index(id(part))}
    above = *above, id(part)
    found = {}
    for name, value in resolved(document, part).items():
        if name in VALUES:
            found[name] = value
        elif name in NAMES and isinstance(value, dict):
            found[name] = {
                key: whole(document, each, above) for key, each in value.items()
            }
        elif name not in ANNOTATIONS and not name.startswith("x-"):
            found[name] = whole(document, value, above)
    return found


def changed(one, other, keyword):
    """Whether a keyword stands in one schema alone, or says something else in the other."""
    return as_json(one.get(keyword, {})) != as_json(other.get(keyword, {}))


def as_json(value):
    """A value as text, by which it compares: 1 is not true, and not 1.0."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
