"""Small git repositories."""

import os
import subprocess

SHORT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.com")


def git(folder, *words):
    environment = {**os.environ, **SHORT}
    return subprocess.check_output(
        ["git", *AUTHOR, *words], cwd=folder, env=environment, text=True
    )


def write_file(folder, file, text):
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def commit_all(folder):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "All of it")


def repository_state(folder):
    """Return the status of a git repository and the contents of its files."""
    files = sorted(path for path in folder.rglob("*") if ".git" not in path.parts)
    return git(folder, "status", "--porcelain"), [
        (path, path.is_file() and path.read_bytes()) for path in files
    ]
