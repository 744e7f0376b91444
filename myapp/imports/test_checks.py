"""The check of imports in `flask doctor`."""

import os

import pytest

from myapp.core.observability import checks
from support.doctor import finding, findings


def test_the_doctor_reports_the_folder_of_files(app):
    folder = app.config["IMPORTS_FOLDER"]
    message = f"files of up to 268,435,456 bytes, in {folder}"
    assert finding(app, "imports") == ("ok", message, "", "")


@pytest.mark.parametrize(
    "size, id, message, hint",
    [
        (2**31, "E102", "2,147,483,648 bytes, but uWSGI accepts", "raise limit-post"),
        (2**29, "W103", "536,870,912 bytes, but nginx accepts only 257 MiB", "raise c"),
        (0, "E101", " is 0, so every body is refused", "unset MYAPP_MAX_IMPORT_BYTES"),
    ],
)
def test_a_limit_that_differs_from_nginx_or_uwsgi_is_reported(
    app, size, id, message, hint
):
    app.config["MAX_IMPORT_BYTES"] = size
    reported = finding(app, "imports")
    assert reported[0] == ("wrong" if id[0] == "E" else "advice")
    assert reported[3] == f"imports.{id}"
    assert reported[1].startswith("MAX_IMPORT_BYTES ") and message in reported[1]
    assert reported[2].startswith(hint)


def test_the_hint_names_the_configuration_of_the_feature(app):
    app.config["MAX_IMPORT_BYTES"] = 2**29
    _, _, hint, _ = finding(app, "imports")
    assert "in myapp/imports/nginx.conf; then run deploy/setup" in hint


def test_too_little_disk_space_is_reported(app):
    app.config["MAX_IMPORT_BYTES"] = 2**60
    *_, disk = findings(app, "imports")
    assert disk[0] == "advice" and disk[1].endswith("; an import can be larger")
    hint = "free disk space, or lower MYAPP_MAX_IMPORT_BYTES"
    assert disk[2:] == (hint, "imports.W001")


def test_a_nearly_full_disk_is_an_error(app, monkeypatch):
    monkeypatch.setattr(checks, "LOW_DISK_BYTES", 2**60)
    reported = finding(app, "imports")
    assert reported[::2] == ("wrong", "free some disk space")
    assert reported[3] == "imports.E105"
    assert reported[1].endswith(f"on the disk of {app.config['IMPORTS_FOLDER']}")


def test_a_folder_that_is_not_writable_is_an_error(app, tmp_path):
    (tmp_path / "file").touch(mode=0o777)
    app.config["IMPORTS_FOLDER"] = folder = os.path.join(tmp_path, "file", "imports")
    level, message, hint, id = finding(app, "imports")
    assert (level, id) == ("wrong", "imports.E104")
    assert message == f"{folder} cannot be written to"
    assert hint.endswith("set another folder: MYAPP_IMPORTS_FOLDER")
