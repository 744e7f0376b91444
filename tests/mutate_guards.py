"""Mutation tests of the guards: remove one after another, and report the test that fails.

    .venv/bin/python tests/mutate_guards.py [test files]

Works on copies of the project; the sample features of the tests have records of each
kind to guard. Prints the test that caught each removal; a guard that no test misses has
SURVIVED, and the exit code is 1.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROOF = "tests/contract/test_authorization.py"
TESTS = [
    PROOF,
    "tests/core/security/test_tokens.py",
    "tests/contract/test_conformance.py",
    "tests/core/http/test_idempotency.py",
    "myapp",
]
LEFT_OUT = (".venv", ".git", "instance", "__pycache__", ".pytest_cache", ".hypothesis")
AT_A_TIME = 2
TIMEOUT_SECONDS = 600  # of the tests of one mutant
FEWEST = 135  # guards, in a project that has only accounts

# Guards that no pattern finds, by file: their code, and the code that replaces it.
LINES = {
    "core/security/authentication.py": [
        (" and sent.token and not basic_only", " and sent.token"),
        ('basic_only or not current_app.config["USE_TOKEN_AUTH"]', "True"),
        (
            "not verify_password(password_hash, password) or account is None",
            "account is None",
        ),
        ("        proof.update(password_hash.encode())\n", ""),
        ("self.login_throttle.check(username, request.remote_addr)", "pass"),
        ("self.login_throttle.record_failure(username, request.remote_addr)", "pass"),
        ("self.login_throttle.check(account.username, request.remote_addr)", "pass"),
        (
            "self.login_throttle.record_failure(account.username, request.remote_addr)",
            "pass",
        ),
        (" and now - cached[0] < ACCOUNT_CACHE_SECONDS", ""),
        (" if time.time() < expires else None", ""),
    ],
    "core/security/permissions.py": [
        (
            "authenticator().tokens.read(REFRESH_TOKEN_TYPE, ",
            "authenticator().tokens.read('at+jwt', ",
        ),
    ],
    "core/security/tokens.py": [
        ("algorithms=[ALGORITHM]", 'algorithms=["HS256", "HS512"]'),
        ('iss={"essential": True, "value": issuer},', ""),
        ('aud={"essential": True, "value": issuer},', ""),
        ('exp={"essential": True},', ""),
        ("            self._claims.validate(token.claims)\n", ""),
        ('token.header.get("typ") == kind and ', ""),
    ],
    "core/data/models/owned.py": [
        ('return {} if everything else {"owner_id": g.caller.id}', "return {}"),
        ('cls._scope("read_all")', 'cls._scope("write_all")'),
        ('cls._scope("write_all")', 'cls._scope("read_all")'),
    ],
    "core/data/models/sql_model.py": [
        (' == bindparam("id"), *conditions', ' == bindparam("id")'),
        (
            "select(cls).where(cls.id == id, *cls.scope_conditions(scope))",
            "select(cls).where(cls.id == id)",
        ),
        (
            "select(cls.id).where(cls.id == id, *cls.scope_conditions(scope))",
            "select(cls.id).where(cls.id == id)",
        ),
        ('scope = {"owner_id": owner_id} if', "scope = {} if"),
    ],
    "core/data/models/page_queries.py": [
        (
            "cls.scope_conditions(scope) + cls.scope_conditions(filters)",
            "cls.scope_conditions(filters)",
        ),
        ('*cls.scope_conditions(bind_params("scope_", scope))', ""),
    ],
    "core/data/models/redis_model.py": [
        ("ids = cls._live_ids(scope)", "ids = cls._live_ids({})"),
        ("return record if fits else None", "return record"),
    ],
    "core/data/models/child.py": [
        ("cls.parent.get_or_404(id, **scope).id", "id"),
        ("not cls.parent.lock_exists(id, **scope)", "False"),
    ],
    "core/http/idempotency.py": [
        ("caller.id if caller else ANONYMOUS_ID", "ANONYMOUS_ID"),
    ],
    "devices/commands.py": [
        ("(ALL_RECORDS, owner_id=account.id)", "(ALL_RECORDS)"),
    ],
    "presence/models.py": [
        ("return Presence.count(**scope)", "return Presence.count()"),
    ],
    "users/models.py": [
        ("deleted_at=now(), name_key=None", "deleted_at=now()"),
        ("deleted_at=now(), name_key=None", "name_key=None"),
        (", User.password_hash == before", ""),
        ("not username.isascii() or ", ""),
    ],
    "roles/models.py": [
        ("before and not has_admin()", "False"),
        ("set(permissions) >= set(PERMISSIONS)", "True"),
        (
            "sql.session.execute(sql.select(Role.id).order_by(Role.id).with_for_update())",
            "pass",
        ),
    ],
    "auth/models.py": [
        ("session is None or account_by_session(session.id) is None", "not session"),
        ('claims.get("serial") != session.serial', "False"),
        ("        session.end()\n        return None", "        return None"),
    ],
    "account/models.py": [
        ("password and not authenticator().confirm_password(", "False and ("),
    ],
}
LINE_GUARDS = {"require_own_permissions", "_check_references"}  # each a line of its own
BLOCKS = {"last_admin_guard", "_conflict_as_409"}  # each around what it guards
SCOPES = {"readable", "writable", "own_scope"}  # the records that a caller may use
NAMES = LINE_GUARDS | BLOCKS | SCOPES | {"requires", "not_deleted"}
RULES = {"references", "unique"}  # of a model
# Functions whose every condition, and scopes whose every property is a guard.
CONDITIONS = [
    ("users/models.py", "not_deleted"),
    ("users/models.py", "active_accounts"),
    ("users/models.py", "accounts_named"),
    ("auth/models.py", "own_scope"),
    ("auth/models.py", "accounts_in_session"),
    ("auth/models.py", "sign_out"),
    ("roles/models.py", "has_admin"),
]


class Guard(NamedTuple):
    """A guard: `start` to `end` in the file's text; `left` is its replacement."""

    file: str
    start: int
    end: int
    left: str
    text: str
    what: str

    def __str__(self):
        return (
            f"{self.file}:{self.line}: {self.what}: {' '.join(self.cut.split())[:70]}"
        )

    @property
    def line(self):
        return self.text.count("\n", 0, self.start) + 1

    @property
    def cut(self):
        """The text that is removed."""
        return self.text[self.start : self.end]


class Source:
    """A file of the project, and the guards in it."""

    def __init__(self, path):
        self.file = str(path.relative_to(ROOT))
        self.name = str(path.relative_to(ROOT / "myapp"))
        self.text = path.read_text()
        self.tree = ast.parse(self.text)
        self.starts = [0]
        for line in self.text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def offset(self, line, column):
        start = self.starts[line - 1]
        before = self.text[start:].encode()[:column]
        return start + len(before.decode())

    def guard(self, node, left, what):
        start = self.offset(node.lineno, node.col_offset)
        end = self.offset(node.end_lineno, node.end_col_offset)
        return Guard(self.file, start, end, left, self.text, what)

    def part(self, node, what):
        """Return the guard that is one of several parts; remove its comma, too."""
        guard = self.guard(node, "", what)
        comma = re.match(r"\s*,", self.text[guard.end :])
        return guard._replace(end=guard.end + (comma.end() if comma else 0))

    def guards(self):
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef):
                yield from self.decorators(node)
            if isinstance(node, ast.ClassDef):
                yield from self.rules(node)
            if (
                called_name(node) in SCOPES
                or getattr(node, "attr", None) == "not_deleted"
            ):
                yield self.guard(node, "{}", "scope")
            if isinstance(node, ast.keyword) and node.arg == "owner_id":
                if self.name.endswith(("endpoints.py", "crud.py")):
                    yield self.part(node, "owner")
            if isinstance(node, ast.Expr) and called_name(node.value) in LINE_GUARDS:
                yield self.guard(node, "pass", "line")
                if len(node.value.args) > 2:
                    yield from (self.part(a, "part") for a in node.value.args[1:])
            if isinstance(node, ast.With):
                for item in node.items:
                    if called_name(item.context_expr) in BLOCKS:
                        yield self.guard(item.context_expr, "noguard()", "block")
            if isinstance(node, ast.AugAssign) and self.name == "users/models.py":
                yield self.guard(node, "pass", "line")
            if isinstance(node, ast.If) and refuses(node.body[0]):
                yield self.guard(node.test, "False", "if")
        for name, function in CONDITIONS:
            if name == self.name:
                conditions = list(self.conditions(self.only(function)))
                assert conditions, f"{name} has no condition in {function}"
                yield from conditions
        for there, left in LINES.get(self.name, ()):
            assert self.text.count(there) == 1, f"{self.name} has not one {there!r}"
            start = self.text.index(there)
            end = start + len(there)
            yield Guard(self.file, start, end, left, self.text, "part")

    def only(self, name):
        """Return the function or the assignment of this name."""
        for node in ast.walk(self.tree):
            target = node.targets[0] if isinstance(node, ast.Assign) else node
            if getattr(target, "name", getattr(target, "id", None)) == name:
                return node
        raise AssertionError(f"{self.name} has no {name}")

    def decorators(self, function):
        for node in function.decorator_list:
            if called_name(node) == "requires":
                yield from (self.part(a, "permission") for a in node.args)
                yield from (self.part(k, "keyword") for k in node.keywords)
            if (
                called_name(node) == "requires"
                or last_name(node) == "requires_refresh_token"
            ):
                guard = self.guard(node, "", "decorator")
                yield guard._replace(start=guard.start - 1)  # its @, too

    def rules(self, model):
        """Yield the rules of a model for its records."""
        for node in model.body:
            if isinstance(node, ast.Assign) and last_name(node.targets[0]) in RULES:
                if ast.unparse(node.value) not in ("{}", "()"):
                    yield self.guard(node.value, "{}", "rule")

    def conditions(self, function):
        """Each condition of a statement, each property of a scope."""
        for node in ast.walk(function):
            if called_name(node) == "where":
                yield from (self.part(a, "condition") for a in node.args)
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values):
                    guard = self.part(value, "condition")
                    start = self.offset(key.lineno, key.col_offset)
                    yield guard._replace(start=start)


def last_name(node):
    """Return the last name of an expression like `a.b`, or None."""
    return getattr(node, "attr", getattr(node, "id", None))


def called_name(node):
    """Return the last name of the function that a call calls, or None."""
    return last_name(node.func) if isinstance(node, ast.Call) else None


def refuses(statement):
    """Return True if this statement raises 401 or 403."""
    raised = getattr(statement, "exc", None)
    return (called_name(raised) or last_name(raised)) in ("unauthorized", "Forbidden")


def find():
    """All guards. Raises AssertionError where this file has lost sight of some."""
    files = sorted((ROOT / "myapp").rglob("*.py"))
    sources = [Source(path) for path in files if not path.name.startswith("test_")]
    known = {source.name for source in sources}
    for name in (*LINES, *(name for name, _function in CONDITIONS)):
        package = str(Path(name).with_name("__init__.py"))
        assert name in known or package not in known, f"there is no {name}"
    guards = [guard for source in sources for guard in source.guards()]
    for name in NAMES:
        assert any(name in guard.cut for guard in guards), f"found no {name}"
    assert len(guards) >= FEWEST, f"found only {len(guards)} guards"
    return guards


def first_failure(project, tests, *options):
    """Return the first test that fails in this copy, or None."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("TEST_DATABASE_URL", None)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no"]
    command += ["-p", "no:randomly", "-p", "no:cacheprovider", *options, *tests]
    try:
        done = subprocess.run(
            command,
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return "(the tests hang)"
    if done.returncode in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (.*?)(?: - |$)", done.stdout, re.MULTILINE)
    return failed[1] if failed else (done.stdout + done.stderr).strip()[-200:]


def without(guard, projects, tests):
    """Who notices that a guard is gone."""
    project = projects.get()
    file = Path(project) / guard.file
    mutant = guard.text[: guard.start] + guard.left + guard.text[guard.end :]
    if guard.what == "block":
        mutant += "\n\nfrom contextlib import nullcontext as noguard  # noqa\n"
    try:
        compile(mutant, guard.file, "exec")
        file.write_text(mutant)
        # The rows of its own feature first, which most likely fail.
        own = f"{Path(guard.file).parent.name}/"
        return first_failure(project, [PROOF], "-k", own) or first_failure(
            project, tests
        )
    finally:
        file.write_text(guard.text)
        projects.put(project)


def main(tests):
    guards = find()
    survived = []
    with tempfile.TemporaryDirectory(prefix="guards-") as folder:
        projects = Queue()
        for number in range(AT_A_TIME):
            ignored = shutil.ignore_patterns(*LEFT_OUT)
            projects.put(shutil.copytree(ROOT, f"{folder}/{number}", ignore=ignored))
        failed = first_failure(projects.queue[0], tests)
        if failed:
            sys.exit(f"With every guard in place, this fails: {failed}")
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            tries = pool.map(lambda guard: without(guard, projects, tests), guards)
            for guard, caught in zip(guards, tries):
                if not caught:
                    survived.append(guard)
                print(f"{guard}\n    {caught or 'SURVIVED'}", flush=True)
    for guard in survived:
        print("SURVIVED", guard)
    print(f"{len(guards)} guards removed, {len(guards) - len(survived)} caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or TESTS))
