"""Compare the operations and the schemas of two OpenAPI documents."""

from math import inf

from .dereference import (
    ANNOTATIONS,
    canonical_json,
    dereference,
    headers,
    keyword_differs,
    operations,
    parameters,
    resolve_reference,
    security_alternatives,
    servers,
)

JSON_TYPES = {"null", "boolean", "object", "array", "integer", "number", "string"}
NUMBER_TYPES = {"integer", "number"}
TYPE_NAMES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    dict: "object",
    list: "array",
}
# By keyword: the types that it applies to, and its default.
UPPER_BOUNDS = {
    "maxLength": ({"string"}, inf),
    "maximum": (NUMBER_TYPES, inf),
    "exclusiveMaximum": (NUMBER_TYPES, inf),
    "maxItems": ({"array"}, inf),
    "maxProperties": ({"object"}, inf),
}
LOWER_BOUNDS = {
    "minLength": ({"string"}, 0),
    "minimum": (NUMBER_TYPES, -inf),
    "exclusiveMinimum": (NUMBER_TYPES, -inf),
    "minItems": ({"array"}, 0),
    "minProperties": ({"object"}, 0),
}
COMPARED_KEYWORDS = {
    *("type", "enum", "multipleOf", "uniqueItems", "pattern", "format", "items"),
    *("properties", "required", "additionalProperties", *UPPER_BOUNDS, *LOWER_BOUNDS),
}


class Comparison:
    """The comparison of two documents. The methods yield pairs: a place and a break."""

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
        served = servers(self.new, new_item, new)
        for url in servers(self.old, old_item, old):
            if url not in served:
                yield "", f"is no longer served at {url}"
        enough = security_alternatives(self.new, new)
        for way, names in security_alternatives(self.old, old):
            if not any(sent <= way for sent, _ in enough):
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
            resolve_reference(self.old, old.get("requestBody", {})),
            resolve_reference(self.new, new.get("requestBody", {})),
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
            was, now = resolve_reference(self.old, was), resolve_reference(
                self.new, new[status]
            )
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
            # Only clients that send a precondition get a 304.
            if status not in old and status[0] not in "45" and status != "304":
                yield f", answer {status}", "is new, and no error"

    def contents(self, old, new, sent):
        """Compare the media types of a body."""
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
        """Compare two objects with a schema: parameters, headers, or bodies."""
        differences = self.schemas(
            old.get("schema", True), new.get("schema", True), sent, given
        )
        for where, what in differences:
            yield where and f", {where}", what
        for what in self.others(old, new, {"schema", "name", "in", "required"}):
            yield "", what

    def schemas(self, old, new, sent, given=True):
        """Return [(path inside, break)] of two schemas.

        `sent`: true if clients send the value, false if they receive it.
        `given`: true if they must send it, so that its default does not matter.
        """
        key = id(old), id(new), sent, given
        if key not in self._known:
            self._known[key] = []  # for recursive schemas
            self._known[key] = list(self._schemas(old, new, sent, given))
        return self._known[key]

    def _schemas(self, old, new, sent, given):
        wide, narrow = (old, new) if sent else (new, old)
        if wide is False or narrow is True:
            return
        if narrow is False:
            yield "", "nothing is allowed any more" if sent else "comes, and never did"
            return
        old, new = resolve_reference(self.old, old), resolve_reference(self.new, new)
        so = "what was taken may be refused" if sent else "what comes may be unheard of"
        for keyword in narrowed_keywords(*((old, new) if sent else (new, old))):
            was, now = (
                canonical_json(each[keyword]) if keyword in each else "open"
                for each in (old, new)
            )
            yield "", f"{keyword} was {was} and is {now}: {so}"
        if sent and not given and keyword_differs(old, new, "default"):
            yield "", "another default: who leaves it out gets something else"
        for what in self.others(old, new, COMPARED_KEYWORDS):
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
            # If the property was not allowed before, a new one is harmless.
            if name not in gone and before is not False:
                for where, what in self.schemas(before, after, sent, name in needed):
                    yield f"/{name}{where}", what
        if "patternProperties" in old | new and was.keys() != now.keys():
            yield "", "other properties beside its patternProperties, which is not judged"

    def others(self, old, new, known):
        """Yield a break for each changed part that the comparison does not know."""
        for name in old | new:
            if name not in known | ANNOTATIONS and not name.startswith("x-"):
                pair = [
                    canonical_json(dereference(document, {name: part.get(name)}))
                    for document, part in ((self.old, old), (self.new, new))
                ]
                if pair[0] != pair[1]:
                    yield f"`{name}` has changed, which is not judged"


def narrowed_keywords(wide, narrow):
    """Yield the keywords of `narrow` that can reject a value that `wide` accepts."""
    kinds = accepted_types(wide)
    if not kinds <= accepted_types(narrow):
        yield "type"
    if "enum" in narrow:
        allowed = set(map(canonical_json, narrow["enum"]))
        if "enum" not in wide or not set(map(canonical_json, wide["enum"])) <= allowed:
            yield "enum"
    for keyword, (about, absent) in UPPER_BOUNDS.items():
        if kinds & about and wide.get(keyword, absent) > narrow.get(keyword, absent):
            yield keyword
    for keyword, (about, absent) in LOWER_BOUNDS.items():
        if kinds & about and wide.get(keyword, absent) < narrow.get(keyword, absent):
            yield keyword
    if "multipleOf" in narrow and kinds & NUMBER_TYPES:
        if "multipleOf" not in wide or wide["multipleOf"] % narrow["multipleOf"]:
            yield "multipleOf"
    if narrow.get("uniqueItems") and not wide.get("uniqueItems") and "array" in kinds:
        yield "uniqueItems"
    if (
        keyword_differs(wide, narrow, "pattern")
        and "pattern" in narrow
        and "string" in kinds
    ):
        yield "pattern"
    if keyword_differs(wide, narrow, "format") and "format" in narrow:
        yield "format"


def accepted_types(schema):
    """Return the set of types that a schema accepts; "number" means with a fraction."""
    if "enum" in schema:
        kinds = {TYPE_NAMES[type(value)] for value in schema["enum"]}
    else:
        kinds = JSON_TYPES
    if "type" in schema:
        named = schema["type"]
        named = {named} if isinstance(named, str) else set(named)
        kinds = kinds & (named | NUMBER_TYPES if "number" in named else named)
    return kinds
