"""Compare openapi.json with a former version, and report changes that break clients.

    .venv/bin/python tests/support/openapi_baseline.py [REVISION]

Compares the file of the checkout with that of a revision of git, by default the newest
tag `v*` below HEAD or, if there is none with that file, the version before the last
change of the file. The exit code is 1 if a change breaks clients and the version does
not allow it, or if a clone is too shallow to tell.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from myapp.ops.openapi_diff.verdict import judge, read_document  # noqa: E402

FILE = "openapi.json"


def main(folder, revision=""):
    """Tell of the checkout in that folder. An empty revision is none, and so is one of
    noughts, which GitHub passes of a new branch. Raises SystemExit where it is to fail.
    """
    if not (folder / ".git").exists():
        return print("This is no clone of git: there is no former state.")
    if git(folder, "rev-parse", "--git-dir") is None:
        sys.exit("git cannot work here: git status tells why.")
    if revision.strip("0"):
        if git(folder, "cat-file", "-e", f"{revision}^{{commit}}") is None:
            sys.exit(f"{revision} is not in this clone.{shallow(folder)}")
        former = revision
    else:
        former = newest(folder)
    if former is None and shallow(folder):
        sys.exit(f"There is no former state in this clone.{shallow(folder)}")
    data = git(folder, "show", f"{former}:{FILE}") if former else None
    if data is None:
        return print(f"There is no former {FILE}: nothing can break.")
    try:
        lines, fine = judge(
            read_document(data), read_document((folder / FILE).read_bytes())
        )
    except (OSError, ValueError) as error:
        sys.exit(f"{FILE}, beside that of {former}: {error}")
    print(f"{FILE}, beside that of {former}:", *lines, sep="\n")
    if not fine:
        sys.exit(1)


def newest(folder):
    """Return the default revision to compare with, or None if there is none."""
    by_version = "-c", "versionsort.suffix=-", "tag", "--sort=-version:refname"
    tags = git(folder, *by_version, "--merged", "HEAD", "--list", "v[0-9]*") or b""
    # What is not committed yet has the last commit before it.
    dirty = git(folder, "diff", "--quiet", "HEAD", "--", FILE) is None
    changed = git(folder, "log", "-1", "--format=%H", "--", FILE) or b""
    before = "HEAD" if dirty else f"{changed.decode().strip()}^"
    for revision in (*tags.decode().split()[:1], before):
        if git(folder, "cat-file", "-e", f"{revision}:{FILE}") is not None:
            return revision
    return None


def shallow(folder):
    """Return a hint if the clone has no history, or "" if it is complete."""
    if git(folder, "rev-parse", "--is-shallow-repository") == b"true\n":
        return " It is shallow: git fetch --unshallow --tags"
    return ""


def git(folder, *args):
    """Run git and return its output in bytes, or None if it fails."""
    done = subprocess.run(["git", "-C", folder, *args], capture_output=True)
    return None if done.returncode else done.stdout


if __name__ == "__main__":
    main(Path.cwd(), *sys.argv[1:])
