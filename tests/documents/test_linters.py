"""Common linters report nothing on the documents, neither errors nor hints."""

import json
import os
import subprocess

import pytest

from myapp import FEATURES
from myapp.core.openapi import document
from support.workers import ROOT

TOOLS = ROOT / "clients" / "node_modules" / ".bin"
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
PARSE = """
import parser from "@apidevtools/swagger-parser";
for (const file of process.argv.slice(1)) await parser.validate(file);
"""


def run(*command):
    """Run a command and return its exit code and output."""
    done = subprocess.run(
        command,
        cwd=ROOT / "clients",  # where node finds what it imports
        env=os.environ | QUIET,
        capture_output=True,
        text=True,
    )
    print(done.stdout, done.stderr)  # pytest shows it where a test has failed
    return done.returncode, done.stdout


def spectral(*files):
    """Return True if Spectral's rules for OpenAPI report nothing on these files."""
    rules = ["--ruleset", ROOT / "tests" / "documents" / "spectral.yml"]
    code, _ = run(TOOLS / "spectral", "lint", *rules, "--fail-severity", "hint", *files)
    return code == 0


def redocly(*files):
    """Return True if Redocly's recommended rules report nothing on these files."""
    rules = ["--extends", "recommended", "--format", "json"]
    _, result = run(TOOLS / "redocly", "lint", *rules, *files)
    return set(json.loads(result)["totals"].values()) == {0}


def parser(*files):
    """Return True if Swagger Parser accepts these files and all their references."""
    code, _ = run("node", "--input-type=module", "--eval", PARSE, *files)
    return code == 0


@pytest.fixture
def write_document(tmp_path):
    """Return a function that writes a document into a file and returns its path."""

    def write(name, document):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(document))
        return path

    return write


@pytest.mark.parametrize("linter", [spectral, redocly, parser])
def test_the_document_of_the_service_passes_the_linters(app, write_document, linter):
    assert linter(write_document("openapi", document.openapi(app)))


@pytest.mark.parametrize("linter", [spectral, parser])
def test_the_document_of_a_feature_passes_the_linters(app, write_document, linter):
    assert linter(
        *(write_document(each.name, document.swagger(app, each)) for each in FEATURES)
    )


# Each linter reports an error.


def take(document, *path):
    """Take away what stands at a path of names in a document."""
    *path, last = path
    for name in path:
        document = document[name]
    del document[last]


DEVICES = "paths", "/api/v1/devices"
ANSWER = *DEVICES, "get", "responses", "200"


@pytest.mark.parametrize(
    "linter, fault",
    [
        (spectral, [*DEVICES, "post", "description"]),
        (spectral, ["components", "schemas", "Problem"]),
        (redocly, [*DEVICES, "get", "operationId"]),
        (redocly, [*DEVICES, "get", "security"]),
        (parser, ["info", "title"]),
        (parser, [*ANSWER, "description"]),
        (parser, ["components", "schemas", "Problem"]),
    ],
    ids=lambda each: each.__name__ if callable(each) else each[-1],
)
def test_a_linter_finds_a_missing_part(app, write_document, linter, fault):
    whole = json.loads(json.dumps(document.openapi(app)))
    take(whole, *fault)
    assert not linter(write_document("openapi", whole))
