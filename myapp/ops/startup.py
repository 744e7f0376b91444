"""Postpone garbage collection until all modules are imported; import this one first.

Imported modules stay, so scanning them is wasted work: a third of the start of a process.
If a package is missing, `flask doctor` reports it from here.
"""

import gc

from .doctor.packages import require_packages

gc.disable()
require_packages()


def finish():
    """Exclude what has been imported from garbage collection, and enable it again."""
    gc.freeze()
    gc.enable()
