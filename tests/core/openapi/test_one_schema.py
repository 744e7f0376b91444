"""A change of a schema changes validation, columns, filters, exports and documents."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from conftest import LAMP
from support import ROOT
from support.copies import copy_code

EDITS = {
    # another length
    'location=text(1, 64, "Where it stands.", "Study")': (
        'location=text(1, 80, "Where it stands.", "Study")'
    ),
    # an optional property, and a required one
    'serial_number=text(1, 64, "The vendor\'s number.", "LUM-00017"),': (
        'serial_number=text(1, 64, "The vendor\'s number.", "LUM-00017"),\n'
        '        firmware=optional(text(1, 32, "Its firmware.", "1.4.2")),\n'
        '        floor=integer(0, 99, "On which floor.", 2),'
    ),
    "import Owned, ": "import Owned, integer, optional, ",
}
USE = """
import json, sys

from werkzeug.datastructures import Authorization

from myapp import create_app
from myapp.core.data.session import sql, unit_of_work
from myapp.roles.models import Role
from myapp.users.models import User
from support.features import SERVED
from support.features.sample_gadgets.models import SampleGadget

uri, redis_url, gadget = sys.argv[1:]
gadget = json.loads(gadget)
stores = {"SQLALCHEMY_DATABASE_URI": uri, "REDIS_URL": redis_url}
app = create_app("testing", features=SERVED, **stores)
with app.app_context():
    sql.create_all()
    with unit_of_work():
        Role.ensure_builtin_roles()
        User.create("pythonista", "I<3testing")
client = app.test_client()
account = Authorization("basic", {"username": "pythonista", "password": "I<3testing"})
client.environ_base["HTTP_AUTHORIZATION"] = account.to_header()
GADGETS = "/api/v1/sample_gadgets"


def post(**values):
    response = client.post(GADGETS, json={**gadget, **values})
    faults = response.json.get("errors", [])
    return response.status_code, [fault["pointer"] for fault in faults]


def listed(query):
    response = client.get(f"{GADGETS}?{query}")
    return len(response.json["items"]) if response.status_code == 200 else 400


document = client.get("/openapi.json").json
parameters = document["paths"][GADGETS]["get"]["parameters"]
columns = SampleGadget.__table__.columns
print(json.dumps({
    "unchanged": post(),
    "with the required one": post(floor=2),
    "with both": post(floor=3, firmware="1.4.2", location="x" * 80),
    "too much": post(floor=100, firmware="", location="x" * 81),
    "item": client.get(f"{GADGETS}/1").json,
    "filters": [listed(q) for q in ("floor=2", "firmware=1.4.2", "floor=x", "q=1.4.2")],
    "csv": client.get(f"{GADGETS}/export").text.splitlines()[:2],
    "parameters": [parameter["name"] for parameter in parameters],
    "openapi": document["components"]["schemas"],
    "swagger": client.get(f"{GADGETS}/swagger.json").json["definitions"],
    "postman": client.get("/docs/postman.json").text,
    "columns": [
        [columns[name].type.python_type.__name__, columns[name].nullable]
        for name in ("location", "firmware", "floor")
    ],
    "lengths": [columns[name].type.length for name in ("location", "firmware")],
}))
"""


@pytest.fixture(scope="module")
def observed(tmp_path_factory, redis_url):
    """Return results of a copy of the project whose gadgets have another schema."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("myapp", "tests/support"):
        copy_code(ROOT / name, folder / name)
    shutil.copy(ROOT / "default_config.py", folder)
    models = folder / "tests/support/features/sample_gadgets/models.py"
    text = models.read_text()
    for before, after in EDITS.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    models.write_text(text)
    values = f"sqlite:///{folder}/copy.sqlite3", redis_url, json.dumps(LAMP)
    done = subprocess.run(
        [sys.executable, "-c", USE, *values],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "tests")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_request_bodies_are_validated(observed):
    assert observed["unchanged"] == [422, ["/floor"]]
    assert observed["with the required one"] == observed["with both"] == [201, []]
    status, pointers = observed["too much"]
    assert (status, sorted(pointers)) == (422, ["/firmware", "/floor", "/location"])


def test_responses_have_the_new_properties(observed):
    assert (observed["item"]["floor"], observed["item"]["firmware"]) == (2, None)


def test_filters_and_search_use_them(observed):
    assert observed["filters"] == [1, 1, 400, 1]
    assert {"floor", "firmware"} <= set(observed["parameters"])


def test_an_export_has_their_columns(observed):
    names, row = (line.split(",") for line in observed["csv"])
    record = dict(zip(names, row))
    assert (record["floor"], record["firmware"]) == ("2", "")


@pytest.mark.parametrize("document", ["openapi", "swagger"])
def test_the_documents_contain_them(observed, document):
    schemas = observed[document]
    write, read = schemas["SampleGadgetWrite"], schemas["SampleGadget"]
    for schema in (write, read):
        assert schema["properties"]["location"]["maxLength"] == 80
        assert schema["properties"]["firmware"]["maxLength"] == 32
        assert schema["properties"]["floor"]["maximum"] == 99
    assert "floor" in write["required"] and "firmware" not in write["required"]
    assert {"floor", "firmware"} <= set(read["required"])
    assert "floor" in schemas["SampleGadgetPatch"]["properties"]
    assert '\\"floor\\": 2' in observed["postman"]


def test_the_database_columns_change(observed):
    assert observed["columns"] == [["str", False], ["str", True], ["int", False]]
    assert observed["lengths"] == [80, 32]
