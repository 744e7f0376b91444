"""`flask reference`: write the pages that follow from the code.

docs/settings.md and .env.example come from default_config.py and the settings.py of each
feature, with their comments; docs/commands.md from the help of each command.
"""

import inspect
import io
import tokenize
from pathlib import Path
from typing import NamedTuple

import click
from flask import current_app
from flask.cli import with_appcontext

import default_config
import myapp
from myapp.core.settings import PREFIX, UNPREFIXED_VARIABLES
from myapp.ops.doctor.command import registered_checks

from . import repository

PACKAGE = myapp.__name__
WIDE = 10_000  # characters; click then wraps no line
DEFAULT_TITLE = "For operators"
TITLES = {
    DEFAULT_TITLE: PACKAGE,
    "Migrations": "flask_migrate",
    "For developers": "tools",
}
SETTINGS = f"""# Settings

`flask reference` writes this page from `default_config.py` and the `settings.py` of each
feature. To add a setting, add a line there: a name, a default and a comment. A setting of
one feature belongs into the `settings.py` of that feature.

`default_config.py` has a class for development, testing and production. `FLASK_CONFIG`
selects it; without it, `flask` runs in development, and every other server in production. A
value is taken from the first of these that has it:

1. a variable `{PREFIX}<NAME>` of the environment;
2. the same in `.env`, which `flask` and `wsgi.py` read; start from `.env.example`;
3. `instance/config.py`, with the names as below;
4. the default.

The type of a setting is the type of its default. A list is JSON, or has commas between its
values. Production starts only with a `SECRET_KEY` and a `JWT_SECRET_KEY` of its own, each
of at least 32 bytes. Development has known secrets and two demo accounts.
"""
OTHERS = """
## Variables of the environment without a prefix

| Variable | Meaning |
|---|---|
| `FLASK_CONFIG` | `development`, `testing` or `production` |
| `INSTANCE_PATH` | absolute path of the instance folder; by default `instance/` |
| `PROMETHEUS_MULTIPROC_DIR` | folder for the metrics that a host's processes share |
| `FLASK_SKIP_DOTENV` | `1`: `flask` does not read `.env` |
"""
EXAMPLE = """# The settings with their defaults. Copy this file to .env. To change a
# setting, remove the # before it. docs/settings.md explains them.
"""
COMMANDS = """# Commands

`flask reference` writes this page from the help of each command. The commands are in the
environment: `. .venv/bin/activate` first. On a server, `myapp` is `flask`.
`flask routes` and `flask shell` are Flask's own. `make` alone lists its targets.
"""
CHECKS = """
## Checks of flask doctor

| Check | Purpose |
|---|---|
"""


class Setting(NamedTuple):
    """A setting: its name, its default and its comment."""

    name: str
    default: object
    comment: str


@click.command()
@with_appcontext
def reference():
    """Write docs/settings.md, docs/commands.md and .env.example.

    Run it after a change of a setting or of a command's help.
    """
    for path, text in pages().items():
        file = repository.ROOT / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        click.echo(path)


def pages():
    """Return the text of each page, by its path."""
    features = current_app.extensions["features"]
    groups = setting_groups(features)
    return {
        "docs/settings.md": settings_page(groups),
        "docs/commands.md": commands_page(current_app.cli),
        ".env.example": example_page(groups),
    }


def setting_groups(features):
    """Return the settings as {title: [Setting, …]}: the general ones, then by feature."""
    groups = settings_in(default_config, vars(default_config.Config))
    for feature in features:
        if module := feature.module("settings"):
            for settings in settings_in(module, vars(module)).values():
                groups[f"Feature `{feature.name}`"] = settings
    return groups


def settings_in(module, defaults):
    """Return the settings that a module assigns, as {title: [Setting, …]}.

    A title is a comment in a line of its own; a setting has its comment in its own line.
    Raise ValueError if it has none.
    """
    source = Path(module.__file__).read_text(encoding="utf-8")
    title, groups, seen = "", {}, set()
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for token in tokens:
        if token.type != tokenize.COMMENT:
            continue
        text, line = token.string.removeprefix("#").strip(), token.line.strip()
        name = line.partition(" = ")[0]
        if line.startswith("#"):
            title = text
        elif name.isupper() and name in defaults and name not in seen:
            seen.add(name)
            groups.setdefault(title, []).append(Setting(name, defaults[name], text))
    if missing := {name for name in defaults if name.isupper()} - seen:
        raise ValueError(f"{module.__name__}: no comment at {', '.join(missing)}")
    return groups


def settings_page(groups):
    """Return docs/settings.md."""
    text, others = SETTINGS, OTHERS
    for title, settings in groups.items():
        text += f"\n## {title}\n\n| Setting | Default | Meaning |\n|---|---|---|\n"
        for setting in settings:
            default = written(setting.default)
            default = f"`{default}`" if default else "–"
            text += f"| `{setting.name}` | {default} | {setting.comment} |\n"
    for variable, name in UNPREFIXED_VARIABLES.items():
        others += f"| `{variable}` | the setting `{name}` |\n"
    return text + others


def example_page(groups):
    """Return .env.example."""
    variables = {name: variable for variable, name in UNPREFIXED_VARIABLES.items()}
    text = EXAMPLE
    for title, settings in groups.items():
        text += f"\n## {title.replace('`', '')}\n\n"
        for setting in settings:
            variable = variables.get(setting.name, PREFIX + setting.name)
            comment, default = setting.comment.replace("`", ""), written(
                setting.default
            )
            value = f'"{default}"' if " " in default else default
            text += f"# {comment}\n#{variable}={value}\n"
    return text


def written(value):
    """Return a default as it is written in .env."""
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def commands_page(group):
    """Return docs/commands.md."""
    by_title = {title: [] for title in TITLES}
    for name, command in sorted(group.commands.items()):
        module = inspect.unwrap(command.callback).__module__
        package = module.partition(".")[0]
        titles = [title for title, known in TITLES.items() if known == package]
        by_title[titles[0] if titles else DEFAULT_TITLE].append((name, command))
    text = COMMANDS
    for title, commands in by_title.items():
        text += f"\n## {title}\n"
        for name, command in commands:
            text += described(f"flask {name}", command)
    text += CHECKS
    for check in registered_checks():
        purpose, *_ = inspect.getdoc(check.function).splitlines()
        text += f"| `{check.name}` | {purpose} |\n"
    return text


def described(name, command):
    """Return the section about a command: its usage, its help and its options."""
    context = click.Context(command, info_name=name, terminal_width=WIDE)
    usage = command.get_usage(context).removeprefix("Usage: ")
    text = f"\n### {name}\n\n`{usage}`\n\n{inspect.cleandoc(command.help)}\n"
    if isinstance(command, click.Group):  # a library's: its own help has the rest
        lines = [
            f"- `{name} {each}`: {command.commands[each].get_short_help_str(WIDE)}\n"
            for each in sorted(command.commands)
        ]
    else:
        lines = [
            "- `{}`: {}".format(*option.get_help_record(context)).rstrip(": ") + "\n"
            for option in command.params
            if isinstance(option, click.Option)
        ]
    return f"{text}\n{''.join(lines)}" if lines else text
