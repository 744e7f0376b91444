"""`make guards` takes away one guard after another; here: that it still finds them."""

from mutate_guards import find

from myapp import __name__ as PACKAGE
from support.discovery import VERBS


def test_every_guard_is_found():
    guards = find()
    decorators = [guard for guard in guards if guard.what == "decorator"]
    ours = [verb.function for verb in VERBS if verb.guarded is not None]
    guarded = {function for function in ours if function.__module__.startswith(PACKAGE)}
    assert len(decorators) == len(guarded), "of each guarded verb, one"
