"""The commands in README.md, docs/tour.md and docs/features.md, run on a new service.

`make tour` writes their output into the pages; tests/documents and tests/template
compare it with the pages.
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).parents[2]
README, TOUR, GUIDE = (
    ROOT / path for path in ("README.md", "docs/tour.md", "docs/features.md")
)
ADDRESS = "127.0.0.1:5000"
FIRST_FEATURE = re.compile(r"^## Your first feature\n.*?(?=^## )", re.DOTALL | re.M)
CODE = re.compile(r"(?<=```python\n).*?(?=```)", re.DOTALL)
SHOWN_MODULES = ("endpoints", "models")  # modules of the first feature, as on the page
BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
COMMAND = re.compile(r"^\$ .*(?:\n(?:    |  done).*)*", re.MULTILINE)
MARK = "-- end of answer --"

# Parts of the output that differ between runs.
VARYING = (
    (r'(?<!"due_at":")\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', "2026-11-21T07:40:00Z"),
    (r'("expires_at":)"[^"]*"', r'\1"2026-11-21T07:45:00Z"'),
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "Sat, 21 Nov 2026 07:40:00 GMT"),
    (r'(?i)(etag: )"[0-9a-f]+"', r'\1"5c4f2d9a7f3b1e60c8d2a914"'),
    (r'(?i)("request_id": ?"|x-request-id: )[0-9a-f]+', r"\g<1>9f86d081884c7d65"),
    (r"Server: .*", "Server: Werkzeug"),
    (r"curl/[\d.]+", "curl/8.5.0"),
    (r"(?i)(retry-after: )\d+", r"\g<1>42"),
    (r"(cursor=)[\w-]+", r"\1WyItbmFtZS"),
)


def commands(block):
    """Return the commands in a block, without the prompt."""
    return [command[2:] for command in COMMAND.findall(block)]


@contextmanager
def run_service(root, instance):
    """Run `flask dev` in the project at `root`, on demo data of its own; yield the URL."""
    port = free_port()
    environment = {**os.environ, "INSTANCE_PATH": instance, "PORT": str(port)}
    environment["FLASK_APP"] = "myapp"
    environment.pop("REDIS_URL", None)
    environment.pop("DATABASE_URL", None)
    flask = Path(sys.executable).parent / "flask"
    process = subprocess.Popen(
        [flask, "dev"], cwd=root, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/status/ready")
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def free_port():
    """Return a free port of four digits, so that the output is as long as on the page."""
    while True:
        port = random.SystemRandom().randrange(5001, 9999)
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port


def wait_until_ready(url):
    for _ in range(300):
        try:
            with urlopen(url) as answer:
                if b'"worker":"ok"' in answer.read():
                    return
        except URLError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{url} does not answer")


def run_blocks(blocks, root, address):
    """Run the commands of the blocks in one shell; return the blocks with the output."""
    script = "".join(
        f"{command}\necho\necho '{MARK}'\n".replace(ADDRESS, address)
        for block in blocks
        for command in commands(block)
    )
    done = subprocess.run(
        ["bash"],
        input=script,
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    answers = iter(done.stdout.replace(address, ADDRESS).split(f"\n{MARK}\n"))
    return [
        "".join(format_answer(c, next(answers)) for c in commands(b)) for b in blocks
    ]


def format_answer(command, answer):
    answer = answer.replace("\r", "").rstrip("\n")
    for pattern, replacement in VARYING:
        answer = re.sub(pattern, replacement, answer)
    return f"$ {command}\n" + (f"{answer}\n" if answer else "")


def rewrite_tour(texts):
    """Return the texts of pages with today's output of their commands.

    One service runs for all pages, one after the other. Each page has a shell of its
    own.
    """
    with tempfile.TemporaryDirectory(prefix="tour-") as instance:
        with run_service(ROOT, instance) as address:
            return [with_answers(text, address) for text in texts]


def with_answers(text, address):
    """Return the text of a page with today's output of its commands."""
    answers = iter(run_blocks(BLOCK.findall(text), ROOT, address))
    return BLOCK.sub(lambda _: next(answers), text)


def rewrite_first_feature(page):
    """Create the first feature, and return the page with its code and its output."""
    first = FIRST_FEATURE.search(page)[0]
    ignored = (
        ".git",
        ".venv*",
        "instance",
        "node_modules",
        "__pycache__",
        ".hypothesis",
    )
    with tempfile.TemporaryDirectory(prefix="tour-") as folder:
        root = Path(folder, "project")
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*ignored))
        (root / ".venv").symlink_to(sys.prefix)
        with run_service(root, str(root / "instance")) as address:
            answered = iter(run_blocks(BLOCK.findall(first), root, address))
        (folder,) = root.glob("*/books")
        files = iter([(folder / f"{name}.py").read_text() for name in SHOWN_MODULES])
    written = CODE.sub(lambda _: next(files), first)
    written = BLOCK.sub(lambda _: next(answered), written)
    return page.replace(first, written)


if __name__ == "__main__":
    pages = README, TOUR
    for page, text in zip(pages, rewrite_tour([page.read_text() for page in pages])):
        page.write_text(text)
    GUIDE.write_text(rewrite_first_feature(GUIDE.read_text()))
