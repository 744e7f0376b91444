"""Hooks for Schemathesis: the knowledge about the service that no schema contains.

schemathesis.toml loads this. FUZZ_AS names the account that a run is signed in as.
"""

import os
import secrets
from types import SimpleNamespace
from uuid import uuid4

import requests
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import (
    EnsureResourceAvailability,
    ObjectLevelAuthorizationViolation,
)
from schemathesis.specs.openapi._auth_retry import INVALID_AUTH_HEADERS

from conftest import PASSWORDS, SHARED_PASSWORD, basic
from support.discovery import (
    API,
    COLLECTION_OF_MODEL,
    CRUD_COLLECTIONS,
    UNOWNED_PATHS,
    VARIABLE,
    ResourceFactory,
    distinct_value,
    parent_of,
    references_of,
    unique_in,
)

ME = os.environ["FUZZ_AS"]
ADMIN = ME == "chief"
ADMINISTERED = {"users", "roles", "audit"}  # tags of operations with permissions
HEADER = "name,location,type,model,serial_number\n"
FORM, NDJSON = "multipart/form-data", "application/x-ndjson"
NOWHERE = 2**62  # no id
# The service runs without the sample features.
COLLECTIONS = [c for c in CRUD_COLLECTIONS if "/sample_" not in c.path]

# The addresses that no call may change, because the rest of a run needs them: those of
# accounts, of roles, and of `things` that others refer to or are below.
kept = set()
things = ResourceFactory(None)


def anywhere():
    """Return a random IP address, so that no address collects many failed logins."""
    return ".".join(["10", *(str(byte) for byte in secrets.token_bytes(3))])


def call(schema, verb, path, body=None, **headers):
    """Send a request of our own and return the response."""
    url = schema.get_base_url().rstrip("/") + path
    headers["X-Forwarded-For"] = anywhere()
    answer = requests.request(verb, url, json=body, headers=headers, timeout=30)
    answer.raise_for_status()
    return answer


class Client:
    """The client that creates the records of Things."""

    def __init__(self, schema):
        self.schema = schema
        self.signed = {"Authorization": Password().get(None, None)}

    def get(self, path):
        return self.answered(call(self.schema, "GET", path, **self.signed))

    def post(self, path, json):
        return self.answered(call(self.schema, "POST", path, json, **self.signed))

    @staticmethod
    def answered(answer):
        return SimpleNamespace(status_code=answer.status_code, json=answer.json())


# Credentials other than those of accounts.json


class Password:
    """The account's own password, for addresses that accept no token."""

    def get(self, case, context):
        return basic(ME, PASSWORDS.get(ME, SHARED_PASSWORD))

    def set(self, case, data, context):
        case.headers["Authorization"] = data


class Newcomer(Password):
    """A new account for each request that may delete or lock it."""

    def get(self, case, context):
        name = f"n-{secrets.token_hex(8)}"
        body = {"username": name, "password": SHARED_PASSWORD}
        call(context.operation.schema, "POST", f"{API}/auth/register", body)
        return basic(name, SHARED_PASSWORD)


class RefreshToken(Password):
    """A refresh token, which is valid for one call."""

    def get(self, case, context):
        body = {"username": "pythonista", "password": PASSWORDS["pythonista"]}
        pair = call(context.operation.schema, "POST", f"{API}/auth/login", body)
        return f"Bearer {pair.json()['refresh_token']}"


@schemathesis.hook
def after_load_schema(context, schema):
    others = list(schema.auth.providers)
    schema.auth.unregister()
    writes = ["PUT", "PATCH", "DELETE"]
    schema.auth().apply_to(path=f"{API}/account", method=writes)(Newcomer)
    each = schema.auth(refresh_interval=None)
    each.apply_to(path=f"{API}/auth/refresh")(RefreshToken)
    schema.auth().apply_to(path=f"{API}/auth/request-token")(Password)
    schema.auth.providers += others
    keep(schema)


def keep(schema):
    """Fill `kept`, and create `things`."""
    things.client = Client(schema)
    for collection in COLLECTIONS:
        others = [
            parent_of(collection.model),
            *references_of(collection.model).values(),
        ]
        for other in filter(None, others):
            path = COLLECTION_OF_MODEL[other].path
            kept.add(f"{path}{things.id_in(path)}")
    if ADMIN:
        for path in (f"{API}/users", f"{API}/roles"):
            items = things.client.get(path).json["items"]
            kept.update(f"{path}/{item['id']}" for item in items)


# Calls


@schemathesis.hook
def before_call(context, case, kwargs):
    case.headers["X-Forwarded-For"] = anywhere()
    # Each wrong password is for another name; one name would be throttled.
    INVALID_AUTH_HEADERS["_basic_auth"] = basic(secrets.token_hex(8), "wrong")
    if case.method != "GET" and case.formatted_path in kept:
        case.path_parameters["id"] = NOWHERE
    if case.meta is None or case.meta.generation.mode.is_positive:
        make_sense(case)


def make_sense(case):
    """Make a generated request consistent with the records, so that it must be accepted."""
    if "cursor" in (case.query or ()):  # only the links contain valid cursors
        del case.query["cursor"]
    if "If-Match" in case.headers:  # a generated ETag never matches
        case.headers["If-Match"] = "*"
        if case.method == "PUT" and case.path.startswith(f"{API}/presence/"):
            del case.headers["If-Match"]  # a first heartbeat has nothing to match
    if "Idempotency-Key" in case.headers:  # it may have been used with another body
        case.headers["Idempotency-Key"] = str(uuid4())
    for collection in COLLECTIONS:
        if case.path in (collection.path.rstrip("/"), collection.item):
            make_usual(case, collection)
    body = case.body
    if case.media_type == "text/csv" and isinstance(body, str):
        case.body = HEADER + body
    if not isinstance(body, dict):
        return
    if case.media_type == FORM:
        if isinstance(body["file"], str):  # an example
            body["file"] = HEADER + body["file"]
        else:
            body["file"].data = HEADER.encode() + body["file"].data
    if body.get("role") is not None:
        body["role"] = "user"
    if case.path == f"{API}/account" and body.get("password") is not None:
        body["current_password"] = SHARED_PASSWORD


def make_usual(case, collection):
    """Make a request to a conventional feature consistent with the records.

    Its parent and its references exist, and its unique values are new.
    """
    model = collection.model
    for variable in VARIABLE.findall(collection.path):
        case.path_parameters[variable] = things.ids[collection.parent.path]
    if not isinstance(case.body, dict):
        return
    for name, other in references_of(model).items():
        if case.body.get(name) is not None:
            case.body[name] = things.ids[COLLECTION_OF_MODEL[other].path]
    for name in unique_in(model):
        if case.body.get(name) is not None:
            schema = model.write_schema["properties"][name]
            case.body[name] = distinct_value(schema, secrets.randbelow(10**6))


@schemathesis.serializer("text/csv", NDJSON)
def as_text(context, value):
    return str(value).encode(errors="replace")


# Responses


@schemathesis.check
def permissions(context, response, case):
    """Check that permissions are required, and that an admin has them all."""
    if response.request.method != case.operation.method.upper():
        return
    if ADMINISTERED & set(case.operation.tags):
        if ADMIN:
            assert response.status_code != 403, "An admin has all permissions."
        else:
            assert response.status_code >= 400, "That takes a permission."


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Return True if a failure that Schemathesis reports is one."""
    if isinstance(failure, ObjectLevelAuthorizationViolation):
        # The other account may see an empty page, or records without an owner.
        shared = f"{case.path}/".startswith(UNOWNED_PATHS)
        return not shared and response.json().get("items") != []
    if isinstance(failure, EnsureResourceAvailability):
        # `before_call` may have replaced the id by one that does not exist.
        return NOWHERE not in case.path_parameters.values()
    if isinstance(failure, AcceptedNegativeData) and case.media_type == NDJSON:
        # Lines are validated one by one, and later.
        return isinstance(case.body, str)
    if isinstance(failure, AcceptedNegativeData) and case.media_type == FORM:
        # Schemathesis takes bytes as invalid, even those of `make_sense`.
        return not hasattr(case.body.get("file"), "data")
    return True
