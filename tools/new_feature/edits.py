"""Edit the files that name the features, for a new one."""

import re

import click
from flask import current_app

from .project import PACKAGE


def add_to_package(text, feature):
    """Add the import, in alphabetical order, and the line in FEATURES."""
    name = feature.name
    line = r"^from \.(\w+) import \1\n(?:from \.\1\..*\n)*"
    imports = list(re.finditer(line, text, re.M))
    features = re.search(r"^FEATURES = \(\n(?:    .*\n)*(?=\))", text, re.M)
    if not imports or not features:
        message = f"{PACKAGE}/__init__.py has no FEATURES with a line for each feature."
        raise click.ClickException(message)
    before = [match for match in imports if match[1] < name]
    place = before[-1].end() if before else imports[0].start()
    head, tail = text[: features.end()], text[features.end() :]
    head = f"{head[:place]}from .{name} import {name}\n{head[place:]}"
    return f"{head}    {name},\n{tail}"


def add_to_contracts(text, feature):
    """Declare in .importlinter which features' models this one imports."""
    edge = rf"    {PACKAGE}\.\w+\.\* -> {PACKAGE}\.\w+\.models\n"
    declared = re.search(rf"(?<=ignore_imports =\n)(?:{edge})+", text)
    if not declared or not feature.others:
        return text
    name = f"{PACKAGE}.{feature.name}.*"
    new = [f"    {name} -> {PACKAGE}.{other}.models\n" for other in feature.others]
    edges = sorted([*declared[0].splitlines(keepends=True), *new])
    return text.replace(declared[0], "".join(edges))


def add_to_readme(text, feature):
    """Add a line to the project's tree, after the last line of one feature; nothing, if
    there is no such line."""
    names = "|".join(each.name for each in current_app.extensions["features"])
    lines = list(re.finditer(rf"^( +)(?:{names})/ {{2,}}(?=\S)", text, re.M))
    if not lines:
        return text
    last = lines[-1]
    line = f"{last[1]}{feature.name}/  ".ljust(len(last[0])) + feature.summary
    end = text.index("\n", last.end()) + 1
    return f"{text[:end]}{line}\n{text[end:]}"
