"""`make guards` removes one guard after another; this tests that it still finds them."""

import inspect

from mutate_guards import find

from support import ROOT
from support.discovery import VERBS

CRUD = "myapp/core/http/crud.py"  # its verbs are those of every feature that uses it


def place_of(verb):
    """Return the file and the line of a verb's first decorator."""
    code = inspect.unwrap(verb.function).__code__
    return code.co_filename.removeprefix(f"{ROOT}/"), code.co_firstlineno


def test_every_guarded_verb_has_one_guard():
    decorators = [guard for guard in find() if guard.what == "decorator"]
    found = {(guard.file, guard.line) for guard in decorators}
    guarded = {place_of(verb) for verb in VERBS if verb.guarded is not None}
    assert len(decorators) == len(found)
    assert found >= guarded
    assert {file for file, _line in found - guarded} <= {CRUD}
