"""`make guards` removes one guard after another; this tests that it still finds them."""

import inspect

from mutate_guards import find

from myapp import __name__ as PACKAGE
from support import ROOT
from support.discovery import VERBS


def place_of(verb):
    """Return the file and the line of a verb's first decorator."""
    code = inspect.unwrap(verb.function).__code__
    return code.co_filename.removeprefix(f"{ROOT}/"), code.co_firstlineno


def test_every_guarded_verb_has_one_guard():
    results = [(g.file, g.line) for g in find() if g.what == "decorator"]
    guarded = {
        place_of(verb) for verb in VERBS if verb.required_permissions is not None
    }
    ours = {place for place in guarded if place[0].startswith(f"{PACKAGE}/")}
    assert sorted(results) == sorted(ours)
