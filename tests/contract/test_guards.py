"""`make guards` takes away one guard after another; here: that it still finds them."""

from mutate_guards import find

from support.discovery import VERBS


def test_every_guard_is_found():
    guards = find()
    decorators = [guard for guard in guards if guard.what == "decorator"]
    guarded = {verb.function for verb in VERBS if verb.guarded is not None}
    assert len(decorators) == len(guarded), "of each guarded verb, one"
