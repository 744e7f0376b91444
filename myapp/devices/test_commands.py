"""`flask export-devices` and `flask import-devices`."""

import pytest

from conftest import THERMOSTAT, as_account, close_stores, signed_in_client

from .models import Device

DEVICES = "/api/v1/devices/"
NASTY = [
    '"',
    '""quoted"", and not',
    "a, b; c\td",
    "two\nlines",
    "two\r\nlines",
    "\n",
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "＝1",
    "'",
    "''twice",
    "'=1",
    " ",
    " around ",
    "null",
    "true",
    "007",
    "1e5",
    "\\n",
    "#",
    "😀 é e\u0301",
    "\u2028",
    "\ufeff",
    "\x1f\x7f",
]
WRITTEN = tuple(Device.write_schema["properties"])


def flask(app, *words):
    """Run a `flask` command and return its output."""
    result = app.test_cli_runner().invoke(args=[str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def written_properties(client):
    """Return the written properties of each device of an account, oldest first."""
    items = client.get(f"{DEVICES}?per_page=100&sort=id").json["items"]
    return [{name: item[name] for name in WRITTEN} for item in items]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_an_export_can_be_imported_without_loss(app, client, engineer, tmp_path, form):
    app.config["IMPORTS_FOLDER"] = str(tmp_path / "imports")
    engineer.post(DEVICES, json=THERMOSTAT)  # which must not be exported
    for number, text in enumerate(NASTY):
        body = {**THERMOSTAT, WRITTEN[number % len(WRITTEN)]: text}
        assert client.post(DEVICES, json=body).status_code == 201, text
    everything = dict(zip(WRITTEN, NASTY[::5]))
    assert client.post(DEVICES, json=everything).status_code == 201
    file, heir = tmp_path / f"devices.{form}", signed_in_client(app, "heir")

    output = flask(app, "export-devices", "--owner", "pythonista", file)
    assert output.endswith(f"{len(NASTY) + 1} devices exported.\n")
    output = flask(app, "import-devices", "--owner", "heir", file)
    assert output.endswith(f"{len(NASTY) + 1} registered, 0 rejected.\n")
    assert written_properties(heir) == written_properties(client)
    assert list((tmp_path / "imports").iterdir()) == []


def test_the_first_account_gets_the_demo_devices(make_app, empty_uri):
    app = make_app(SQLALCHEMY_DATABASE_URI=empty_uri)
    assert "2 users\n4516 devices\n" in flask(app, "init-db")
    listed = as_account(app, "pythonista").get(DEVICES).json
    assert listed["meta"]["total"] == 4516
    close_stores(app)
