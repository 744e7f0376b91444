"""The pages for people: everything that they name exists, and a test runs each command."""

import re
from functools import cache
from itertools import takewhile

import pytest

import myapp
from support import ROOT
from tools.remove_examples import DATA, EXAMPLES

pytestmark = pytest.mark.no_database
PACKAGE = myapp.__name__
README, AGENTS = ROOT / "README.md", ROOT / "AGENTS.md"
README_BYTES, AGENTS_LINES, SCREEN_LINES = 8192, 30, 60
DOCS = sorted((ROOT / "docs").rglob("*.md"))
DECISIONS = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
PAGES = [README, AGENTS, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *DOCS]
# Paths on the pages that do not exist yet, or that were removed.
ABSENT = {f"{PACKAGE}/books", *(f"{PACKAGE}/{name}" for name in EXAMPLES), *DATA}

TREE = re.compile(r"^## Project structure\n+```text\n(.*?)^```", re.DOTALL | re.M)
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.M)
CODE = re.compile(r"`([^`\n]+)`")
FOLDERS = "tools|tests|deploy|docs|bench|clients|data|migrations|[.]github|[.]ci"
PATH = re.compile(
    rf"(?:{PACKAGE}|{FOLDERS})/[\w./-]*|[\w.]+\.(?:py|ini|md|toml)|Procfile(?:\.dev)?"
)
LINK = re.compile(r"\]\(([^)\s]*)\)")
HEADING = re.compile(r"^#+ (.*)", re.M)

# The console blocks of these pages run as they are: tests/support/readme_transcript.py.
PLAYED = [README, ROOT / "docs/tour.md", ROOT / "docs/features.md"]
# So does the chapter Deploy, on a server: tests/deploy/conftest.py.
DEPLOY = ROOT / "docs/deploy.md", "## Deploy\n"
# Where each other command runs: its start, a file, and a text of that file.
CI, LOCAL_CI = ".github/workflows/ci.yml", ".ci/run"
RUN_BY = {
    ". .venv/bin/activate": ("docs/features.md", "$ . .venv/bin/activate"),
    "make run": ("tests/tools/test_development.py", 'flask("dev")'),
    "make test": (CI, "run: make test"),
    "git add --all; make lint": (CI, "run: make lint"),
    "make clients": (CI, "run: make clients"),
    "make documents": (CI, "run: make documents"),
    "make fuzz": (CI, "run: make fuzz"),
    "make proof": (LOCAL_CI, "make proof"),
    "make bench": (LOCAL_CI, "make bench"),
    "CALL=page make profile": (LOCAL_CI, "CALL=page make profile"),
    "flask new-feature": ("docs/features.md", "$ flask new-feature"),
    "flask deploy": ("docs/features.md", "$ flask deploy"),
    "FLASK_CONFIG=production flask deploy": (
        "tests/core/data/test_migrations.py",
        'args=["deploy"]',
    ),
    "flask rename-project": (
        "tests/template/test_renamed_project.py",
        "rename-project",
    ),
    "flask remove-examples": ("tests/template/test_ten_features.py", "remove-examples"),
    "flask openapi": ("tests/documents/test_openapi_diff.py", '"--against"'),
    "flask backup": ("tests/ops/test_archive.py", '"backup"'),
    "flask restore": ("tests/ops/test_archive.py", '"restore"'),
    "systemctl start myapp-backup": ("docs/deploy.md", "systemctl start myapp-backup"),
    "touch /srv/myapp/restart": ("docs/deploy.md", "touch /srv/myapp/restart"),
    "journalctl": ("docs/deploy.md", "journalctl -u myapp-web"),
    "DATABASE_URL=": ("tests/ops/test_archive.py", '"restore"'),
    "python3 -m zipfile": ("tests/ops/test_archive.py", '"zipfile"'),
    "flask doctor": ("tests/ops/test_doctor.py", '"--strict"'),
    "FLASK_SKIP_DOTENV=1": ("tests/ops/test_doctor.py", '"FLASK_SKIP_DOTENV"'),
    "flask profile": ("tests/tools/test_development.py", 'flask("profile")'),
    "flask adduser": (f"{PACKAGE}/users/test_commands.py", '"adduser"'),
    "flask passwd": (f"{PACKAGE}/users/test_commands.py", '"passwd"'),
    "flask block": (f"{PACKAGE}/users/test_commands.py", '"block"'),
    "flask users": (f"{PACKAGE}/users/test_commands.py", '"users"'),
    "flask import-devices": (f"{PACKAGE}/imports/test_workers.py", '"import-devices"'),
    'curl -u "$ME"': ("docs/tour.md", "-F file=@"),
    "curl -u 'pythonista": ("README.md", '"$API/devices/7"'),
}


def name(page):
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name)


@cache
def text_of(page):
    return page.read_text("utf-8")


def prose_of(page):
    """Return the text of a page without its blocks of code."""
    return FENCE.sub("", text_of(page))


def exists(path):
    """Return whether a path exists, or is one of ABSENT or below one."""
    absent = any(f"{path.rstrip('/')}/".startswith(f"{each}/") for each in ABSENT)
    return absent or (ROOT / path).exists()


def slug(heading):
    """Return the anchor that GitHub gives a heading."""
    plain = re.sub(r"[^\w -]", "", heading.lower())
    return plain.replace(" ", "-")


def test_the_readme_fits_on_a_screen():
    assert len(README.read_bytes()) <= README_BYTES
    assert len(text_of(AGENTS).splitlines()) <= AGENTS_LINES


def test_every_path_in_the_project_structure_exists():
    paths = list(listed_paths(TREE.search(text_of(README))[1]))
    assert f"{PACKAGE}/core/http" in paths
    assert [path for path in paths if not exists(path)] == []


def listed_paths(tree):
    """Yield the path in each line of a tree whose levels are indented by two spaces."""
    parents = []
    for line in tree.splitlines():
        level = (len(line) - len(line.lstrip())) // 2
        parents[level:] = [line.split()[0].rstrip("/")]
        yield "/".join(parents)


@every_page
def test_every_path_that_a_page_names_exists(page):
    named = [code for code in CODE.findall(prose_of(page)) if PATH.fullmatch(code)]
    # A module may be named without its folder: any feature can have it.
    paths = [path for path in named if "/" in path or (ROOT / path).suffix != ".py"]
    unknown = {path for path in paths if not exists(path)}
    assert unknown == set()


@every_page
def test_every_link_leads_somewhere(page):
    for link in LINK.findall(prose_of(page)):
        path, _, anchor = link.partition("#")
        if ":" in path:  # another site
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in map(slug, HEADING.findall(text_of(target))), link


# Commands


def commands_of(page):
    """Yield the commands that a page shows and that no test plays as they are."""
    for match in FENCE.finditer(text_of(page)):
        kind, body = match.groups()
        before = text_of(page)[: match.start()]
        if kind == "console":
            assert page in PLAYED
        elif kind in ("sh", "bash") and not is_in_deploy(page, before):
            for line in body.splitlines():
                yield re.sub(r"\s+#.*", "", line.strip())


def is_in_deploy(page, before):
    """Return whether the text before a block ends in the chapter that a server plays."""
    chapters = re.findall(r"^## .*\n", before, re.M)
    return (page, chapters[-1] if chapters else "") == DEPLOY


def test_every_command_of_a_page_runs_somewhere():
    shown = {line for page in (README, *DOCS) for line in commands_of(page)}
    assert [line for line in shown if not line.startswith(tuple(RUN_BY))] == []
    assert [
        begin for begin in RUN_BY if not any(s.startswith(begin) for s in shown)
    ] == []


@pytest.mark.parametrize("path, words", sorted(set(RUN_BY.values())))
def test_a_command_runs_where_the_list_says(path, words):
    removed = exists(path) and not (ROOT / path).exists()
    assert removed or words in text_of(ROOT / path)


def test_every_command_of_flask_and_make_that_a_page_mentions_exists(app):
    targets = re.findall(r"^(\w+):", text_of(ROOT / "Makefile"), re.M)
    known = {
        "flask": {*app.cli.commands, "routes", "shell", "run"},
        "make": {*targets, "PYTHON=python3.12"},
    }
    for code in CODE.findall("\n".join(map(prose_of, PAGES))):
        words = [word for word in code.split() if "=" not in word]
        if len(words) > 1 and words[0] in known and words[1] != "…":
            assert words[1] in known[words[0]], code


def test_the_messages_of_restore_are_as_its_page_quotes_them():
    page = text_of(ROOT / "docs/backups.md")
    table = page.partition("### Errors")[2].partition("## ")[0]
    messages = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    source = text_of(ROOT / PACKAGE / "ops/archive.py")
    assert len(messages) > 5
    assert [message for message in messages if message not in source] == []


# Decisions


@pytest.mark.parametrize("page", DECISIONS, ids=name)
def test_a_decision_has_a_title_a_status_a_date_and_one_screen(page):
    title, _, status, *_ = lines = text_of(page).splitlines()
    assert title.startswith("# ")
    assert re.fullmatch(r"Status: .+\. Date: \d{4}-\d\d-\d\d\.", status)
    assert len(lines) <= SCREEN_LINES


def test_the_index_lists_every_number_once():
    index = text_of(ROOT / "docs/adr/README.md")
    numbers = re.findall(r"^\| (\d{4}) \|", index, re.M)
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    listed = re.findall(r"\]\((\d{4}[^)]*)\)", index)
    assert listed == [page.name for page in DECISIONS]
    for page in DECISIONS:
        title = next(iter(takewhile(str.strip, text_of(page).splitlines())))
        assert f"[{title.removeprefix('# ')}]({page.name})" in index


def test_the_architecture_page_counts_the_lines_of_each_package():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|[^|]*`([\w/]+/)` \|.* ([\d,]+) \|$", page, re.M)
    assert len(rows) > 8
    for folder, number in rows:
        files = (ROOT / folder).rglob("*.py")
        actual = sum(len(file.read_text("utf-8").splitlines()) for file in files)
        assert 0.7 < actual / int(number.replace(",", "")) < 1.3, folder
