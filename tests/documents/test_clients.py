"""Generated clients work with the service whose document they were generated from."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC
from http import HTTPStatus
from io import BytesIO

import pytest

from conftest import PASSWORDS, THERMOSTAT
from support.workers import ROOT

ME = "pythonista", PASSWORDS["pythonista"]
ADDRESS = "http://127.0.0.1:5000"  # in the examples
CLIENTS = ROOT / "clients"
COMPILE = [CLIENTS / "node_modules" / ".bin" / "tsc", "--strict", "--target", "es2022"]
COMPILE += ["--module", "nodenext", "--types", "node", "--skipLibCheck"]
COMPILE += ["--outDir", "compiled", "typescript/round_trip.ts", "typescript/readme.ts"]


def example(language):
    """Return the example in that language from the README of the clients."""
    text = (CLIENTS / "README.md").read_text()
    return re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)[1]


@pytest.fixture(scope="module")
def clients_folder(shared_app, tmp_path_factory):
    """Return a folder with both clients, generated from the served document."""
    folder = tmp_path_factory.mktemp("clients")
    document = folder / "openapi.json"
    document.write_bytes(shared_app.test_client().get("/openapi.json").data)
    subprocess.run([CLIENTS / "generate", document, folder], check=True)
    return folder


@pytest.fixture
def importable_client(clients_folder, monkeypatch):
    """Import the Python client, and remove it from the imported modules afterwards."""
    monkeypatch.syspath_prepend(clients_folder / "python")
    yield
    for name in [name for name in sys.modules if name.startswith("myapp_client")]:
        del sys.modules[name]


@pytest.fixture
def python(importable_client, live_server):
    """Yield the Python client, signed in with a token."""
    from myapp_client import AuthenticatedClient, Client
    from myapp_client.api.auth import post_auth_login
    from myapp_client.models import Credentials

    with Client(live_server) as anybody:
        pair = post_auth_login.sync(client=anybody, body=Credentials(*ME))
    with AuthenticatedClient(live_server, token=pair.access_token) as client:
        yield client


def test_a_python_client_creates_changes_and_deletes_a_device(python):
    from myapp_client.api.devices import (
        delete_devices_by_id,
        get_devices,
        get_devices_by_id,
        patch_devices_by_id,
        post_devices,
    )
    from myapp_client.models import (
        Device,
        DevicePage,
        DevicePatch,
        DeviceWrite,
        Fault,
        Problem,
    )

    body = DeviceWrite.from_dict(THERMOSTAT)
    results = [post_devices.sync(client=python, body=body) for _ in range(3)]
    assert [type(device) for device in results] == [Device] * 3
    assert results[0].created_at.tzinfo == UTC

    page = get_devices.sync(client=python, per_page=2, type_="Thermostat")
    assert page.items == results[:2]
    response = python.get_httpx_client().get(page.meta.next_)
    assert DevicePage.from_dict(response.json()).items == results[2:]

    id = results[0].id
    tag = get_devices_by_id.sync_detailed(id, client=python).headers["ETag"]
    renamed = DevicePatch(name="Thermostat")
    changed = patch_devices_by_id.sync(id, client=python, body=renamed, if_match=tag)
    assert (changed.name, changed.location) == ("Thermostat", "Kitchen")
    refused = patch_devices_by_id.sync(id, client=python, body=renamed, if_match=tag)
    assert (type(refused), refused.status) == (Problem, 412)

    nameless = DeviceWrite.from_dict(THERMOSTAT | {"name": ""})
    problem = post_devices.sync(client=python, body=nameless)
    assert [type(fault) for fault in problem.errors] == [Fault]
    assert problem.errors[0].pointer == "/name"

    gone = delete_devices_by_id.sync_detailed(id, client=python)
    assert (gone.status_code, gone.parsed) == (HTTPStatus.NO_CONTENT, None)
    assert get_devices_by_id.sync(id, client=python).status == 404


def test_a_python_client_changes_what_it_names_and_nothing_else(python):
    from myapp_client.api.todos import patch_todos_by_id, post_todos
    from myapp_client.models import TodoPatch, TodoWrite

    body = TodoWrite(name="Kettle", task="Descale it.", done=True)
    todo = post_todos.sync(client=python, body=body)
    patch = TodoPatch(name="Old kettle")
    changed = patch_todos_by_id.sync(todo.id, client=python, body=patch)
    assert (changed.name, changed.done) == ("Old kettle", True)


@pytest.mark.parametrize("as_form", [True, False])
def test_a_python_client_sends_and_fetches_a_file(python, as_form):
    from myapp_client.api.devices import get_devices_export
    from myapp_client.api.imports import post_imports
    from myapp_client.models import FileForm
    from myapp_client.types import File

    devices = get_devices_export.sync(client=python)
    file = File(BytesIO(devices.payload.read()), "devices.csv")
    body = FileForm(file) if as_form else file
    taken = post_imports.sync(client=python, body=body, dry_run=True)
    assert (taken.media_type, taken.dry_run) == ("text/csv", True)


@pytest.fixture(scope="module")
def compiled_folder(clients_folder):
    """Return a folder with the compiled program that uses the TypeScript client."""
    (clients_folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    shutil.copy(CLIENTS / "package.json", clients_folder)
    shutil.copy(CLIENTS / "typescript" / "client.ts", clients_folder / "typescript")
    shutil.copy(
        ROOT / "tests" / "documents" / "round_trip.ts", clients_folder / "typescript"
    )
    (clients_folder / "typescript" / "readme.ts").write_text(example("ts"))
    subprocess.run(COMPILE, cwd=clients_folder, check=True)
    return clients_folder / "compiled"


def test_a_typescript_client_creates_changes_and_deletes_a_device(
    live_server, compiled_folder
):
    trip = ["node", compiled_folder / "round_trip.js", live_server, *ME]
    subprocess.run(trip, check=True)


@pytest.fixture
def locks(importable_client, live_server):
    """Three devices of the type that the examples look for, made with HTTP Basic."""
    from myapp_client import Client
    from myapp_client.api.devices import post_devices
    from myapp_client.models import DeviceWrite

    body = DeviceWrite.from_dict(THERMOSTAT | {"type": "Lock"})
    with Client(live_server, httpx_args={"auth": ME}) as client:
        return [post_devices.sync(client=client, body=body) for _ in range(3)]


def output(*command, **options):
    """Run a command and return the lines of its output."""
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, **options
    )
    return done.stdout.splitlines()


def test_the_example_in_python_does_what_it_shows(live_server, clients_folder, locks):
    program = example("python").replace(ADDRESS, live_server)
    path = os.environ | {"PYTHONPATH": str(clients_folder / "python")}
    first, second, rest, taken = output(sys.executable, "-c", program, env=path)
    assert first.split(maxsplit=1)[0] == str(locks[0].id)
    assert second.split(maxsplit=1)[0] == str(locks[1].id)
    assert rest.count("Device(") == 1
    assert taken == "queued"


def test_the_example_in_typescript_does_what_it_shows(
    live_server, compiled_folder, locks
):
    program = (compiled_folder / "readme.js").read_text().replace(ADDRESS, live_server)
    (compiled_folder / "here.js").write_text(program)
    assert output("node", compiled_folder / "here.js") == [
        "Front door undefined undefined",
        "queued",
    ]


def test_unsupported_operations_are_reported(shared_app, tmp_path):
    document = shared_app.test_client().get("/openapi.json").json
    body = document["paths"]["/api/v1/devices"]["post"]["requestBody"]
    body["content"]["application/xml"] = {"schema": {"type": "string"}}
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    command = [CLIENTS / "generate", tmp_path / "openapi.json", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Unsupported content type application/xml" in done.stdout + done.stderr


def test_the_lock_of_the_tools_names_no_registry():
    assert '"resolved"' not in (CLIENTS / "package-lock.json").read_text()
