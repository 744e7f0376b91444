"""`flask rename-project`: give the project another name and title.

The command changes files that git tracks, and only in a clean tree: `git diff HEAD` shows
the changes, `git reset --hard` undoes them.
"""

import builtins
import importlib.util
import os
import re
import shutil
from keyword import iskeyword, issoftkeyword
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.dialects.mysql.reserved_words import RESERVED_WORDS_MYSQL
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

import myapp
from myapp.core.openapi.document import TITLE

from . import repository
from .repository import (
    all_or_nothing,
    forget,
    forget_leftover,
    git,
    read,
    remove_empty,
    replace_words,
    tidy,
    tracked,
)

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
NAME_RULE = "use lower-case letters, digits and single _ between them"
MAX_LETTERS = 16  # with more, lines would grow longer than .flake8 allows
# Python, JSON, Markdown and systemd take these without escaping.
TITLE_PATTERN = re.compile(r"\w[\w .,'&-]{0,39}")
TITLE_RULE = "A title has up to 40 characters: letters, digits, blanks and .,'&- only."
# Accounts, groups, folders and databases of a server, which deploy/ would collide with.
SERVER_NAMES = frozenset(
    "adm admin apt audio backup bin cdrom certbot cron crontab daemon dbus debian deploy "
    "dialout dip disk docker dpkg fax floppy games gnats input irc journal kmem kvm list "
    "lock logrotate lp lxd mail man mariadb messagebus mysql netdev news nginx nobody "
    "nogroup operator pam plugdev polkit postgres postgresql proxy redis render root sasl "
    "shadow src sshd ssl staff sudo sync sys systemd tape tty ubuntu udev user users utmp "
    "uucp valkey video voice".split()
)
# Prefixes of common environment variables, which would be read as settings.
VARIABLE_PREFIXES = frozenset(
    "arg broker ci cookie database flask github http instance lc move npm prometheus "
    "python reload stats trailer upstream uwsgi virtual web xdg".split()
)


@click.command("rename-project")
@click.argument("name")
@click.option("--title", help="For people to read; by default the name, in words.")
@with_appcontext
def rename_project(name, title):
    """Give the project another name and title.

    NAME is for the package, the prefix of the settings, and the accounts, folders and units
    in deploy/. With the present name, only the title changes. The git tree must be clean.
    Files that git does not track stay as they are.
    """
    old = myapp.__name__
    if not NAME.fullmatch(name):
        raise click.ClickException(f"{name!r} cannot be the name: {NAME_RULE}.")
    title_only = name == old and title not in (None, TITLE)
    if title is None:
        title = name.replace("_", " ").capitalize()
    elif not TITLE_PATTERN.fullmatch(title):
        raise click.ClickException(TITLE_RULE)
    files = tracked(repository.ROOT)
    if not title_only:
        forget_leftover(repository.ROOT / name)
        if reason := name_problem(repository.ROOT, files, name, old):
            raise click.ClickException(f"{name} cannot be the name: {reason}.")
    before, after = (TITLE, title) if title_only else (old, name)
    ambiguous = sum(len(lines_with(repository.ROOT / file, after)) for file in files)
    rename(repository.ROOT, old, name, TITLE, title)
    changes = git(repository.ROOT, "diff", "--shortstat", "HEAD")
    click.echo(f"{before} is renamed to {after}:{changes}")
    click.echo("Review: git diff --stat HEAD. Undo: git reset --hard")
    if ambiguous:
        click.echo(
            f"{ambiguous} lines contained {after} before; the next rename would change "
            "them, too."
        )
    if not title_only:
        instance = Path(current_app.instance_path)
        for line in leftovers(repository.ROOT, instance, old, name):
            click.echo(line)
    click.echo("README.md still describes the project as it was; edit its first lines.")
    click.echo("Next: make test, make lint, then git commit.")


def name_problem(root, files, name, old):
    """Return why `name` cannot be the name of the project in `root`, or None if it can.

    `files`: the files that git tracks. `old`: the present name.
    """
    parts = {part.partition(".")[0] for file in files for part in file.split("/")}
    prefix = name.upper() + "_"
    if not NAME.fullmatch(name):
        return NAME_RULE
    if len(name) > MAX_LETTERS:
        return f"it has more than {MAX_LETTERS} letters"
    if name == old:
        return "the project has this name already"
    if iskeyword(name) or issoftkeyword(name) or hasattr(builtins, name):
        return "it is a word of Python's"
    if name.upper() in {word.upper() for word in RESERVED_WORDS | RESERVED_WORDS_MYSQL}:
        return "it is a word of SQL's"
    if name in parts or (root / name).exists():
        return "a file or a folder of the project has this name"
    if name in SERVER_NAMES:
        return "an account, a folder or a database of a server has this name"
    if name in VARIABLE_PREFIXES or any(key.startswith(prefix) for key in os.environ):
        return f"environment variables begin with {prefix}"
    if importlib.util.find_spec(name):
        return "a Python module has this name"
    if shutil.which(name):
        return "a program has this name"
    binding = re.compile(
        rf"^(?:def |class |(?:from|import) .*\b){name}\b|^{name}\b.* = ", re.MULTILINE
    )
    for file in files:
        text = (read(root / file) or "") if file.endswith(".py") else ""
        if re.search(rf"^import {old}$", text, re.MULTILINE) and binding.search(text):
            return f"{file} uses it for something else"
    return None


def rename(root, old, new, old_title, title):
    """Rename the project in the clone at `root`.

    Raise ClickException if that fails; then nothing has changed.
    """
    words = {old_title: title, old: new, old.upper(): new.upper()}
    with all_or_nothing(root):
        for file in tracked(root):
            path, moved = root / file, root / replace_words(file, words)
            text = read(path)
            if text is not None and (changed := replace_words(text, words)) != text:
                path.write_bytes(changed.encode())
            if moved != path:
                if moved.exists():
                    raise click.ClickException(f"{moved} already exists.")
                moved.parent.mkdir(parents=True, exist_ok=True)
                path.rename(moved)
                remove_empty(path.parent)
        forget(root / old)
        tidy(root)


def lines_with(path, name):
    """Return the lines of a file that contain the word `name`."""
    word = re.compile(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])")
    return [line for line in (read(path) or "").splitlines() if word.search(line)]


def leftovers(root, instance, old, new):
    """Yield a line for each thing outside git that still has the old name."""
    before, after = old.upper() + "_", new.upper() + "_"
    for path in (root / ".env", instance / "config.py"):
        if path.is_file() and before in (read(path) or ""):
            yield f"Yours to change: {before} to {after} in {path}"
    if any(key.startswith(before) for key in os.environ):
        yield f"Yours to change: {before} to {after} in your environment"
    for path in sorted(instance.glob(f"{old}.sqlite3*")):
        yield f"Yours to move: {path} to {path.name.replace(old, new, 1)}"
