"""`flask rename-project`: give the project another name and title."""

import builtins
import importlib.util
import os
import re
import shutil
from functools import partial
from keyword import kwlist, softkwlist
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.dialects.mysql.reserved_words import RESERVED_WORDS_MYSQL
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

import myapp
from myapp.core.data.embedded_redis import ping, socket_path
from myapp.core.openapi.document import TITLE

from . import repository
from .repository import all_or_nothing, edit, forget, git, read, report, tidy

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
MAX_LETTERS = 16  # with more, lines would grow longer than .flake8 allows
# Python, JSON, Markdown and systemd take these without escaping.
TITLE_PATTERN = re.compile(r"\w[\w .,'&-]{0,39}")
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
PREFIXES = frozenset(
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
    in deploy/. With the present name, only the title changes. The git tree must be clean,
    and the service must not run. Files that git does not track stay as they are.
    """
    old, root = myapp.__name__, repository.ROOT
    title_only = name == old and title not in (None, TITLE)
    title = name.replace("_", " ").capitalize() if title is None else title
    if not NAME.fullmatch(name):
        rule = "use lower-case letters, digits and single _ between them"
        raise click.ClickException(f"{name!r} cannot be the name: {rule}.")
    if not TITLE_PATTERN.fullmatch(title):
        rule = "letters, digits, blanks and .,'&- only"
        raise click.ClickException(f"A title has up to 40 characters: {rule}.")
    if ping(socket_path(current_app.instance_path)) is not None:
        raise click.ClickException("The service runs. Stop it first: Ctrl-C.")
    before, after = (TITLE, title) if title_only else (old, name)
    words = {TITLE: title, old: name, old.upper(): name.upper()}
    notes = []
    with all_or_nothing(root) as files:
        if not title_only:
            forget(root / name)
            if problem := name_problem(root, files, name, old):
                raise click.ClickException(f"{name} cannot be the name: {problem}.")
            notes += leftovers(root, Path(current_app.instance_path), old, name)
        lines = [line for file in files for line in read(root / file).splitlines()]
        if already := sum(replace_words(line, {after: ""}) != line for line in lines):
            note = f"{already} lines contained {after} before; the next rename would change"
            notes.insert(0, f"{note} them, too.")
        for file in files:
            edit(root / file, partial(replace_words, words=words))
            if (moved := replace_words(file, words)) != file:
                (root / moved).parent.mkdir(parents=True, exist_ok=True)
                git(root, "mv", file, moved)
        forget(root / old)
        tidy(root)
    notes += ["README.md still describes the project as it was; edit its first lines."]
    report(root, f"{before} is renamed to {after}", notes)


def name_problem(root, files, name, old):
    """Return why `name` cannot be the name of the project in `root`, or None if it can.

    `files`: the files that git tracks. `old`: the present name.
    """
    prefix = name.upper() + "_"
    parts = {part.partition(".")[0] for file in files for part in file.split("/")}
    sql_words = {word.upper() for word in RESERVED_WORDS | RESERVED_WORDS_MYSQL}
    python_words = {*kwlist, *softkwlist, *dir(builtins)}
    in_project = name in parts or (root / name).exists()
    variables = any(key.startswith(prefix) for key in os.environ)
    binding = rf"^(?:def |class |(?:from|import) .*\b){name}\b|^{name}\b.* = "
    texts = {file: read(root / file) for file in files if file.endswith(".py")}
    users = [file for file in texts if re.search(rf"^import {old}$", texts[file], re.M)]
    clashes = [file for file in users if re.search(binding, texts[file], re.M)]
    problems = {
        f"it has more than {MAX_LETTERS} letters": len(name) > MAX_LETTERS,
        "the project has this name already": name == old,
        "it is a word of Python's": name in python_words,
        "it is a word of SQL's": name.upper() in sql_words,
        "a file or a folder of the project has this name": in_project,
        "an account, folder or database of a server has it": name in SERVER_NAMES,
        f"environment variables begin with {prefix}": name in PREFIXES or variables,
        "a Python module has this name": importlib.util.find_spec(name),
        "a program has this name": shutil.which(name),
        f"{', '.join(clashes)} uses it for something else": clashes,
    }
    return next((problem for problem, applies in problems.items() if applies), None)


def replace_words(text, words):
    """Return `text` with these words replaced: {before: after}.

    A word is delimited by anything but letters and digits, so `_` separates words.
    """
    either = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    pattern = rf"(?<![^\W_])(?:{either})(?![^\W_])"
    return re.sub(pattern, lambda match: words[match[0]], text)


def leftovers(root, instance, old, new):
    """Yield a line for each thing outside git that still has the old name."""
    before, after = old.upper() + "_", new.upper() + "_"
    files = (root / ".env", instance / "config.py")
    places = [path for path in files if before in read(path)]
    if any(key.startswith(before) for key in os.environ):
        places.append("your environment")
    for place in places:
        yield f"Yours to change: {before} to {after} in {place}"
    for path in sorted(instance.glob(f"{old}.sqlite3*")):
        yield f"Yours to move: {path} to {path.name.replace(old, new, 1)}"
