"""Imported before everything else: garbage collection waits until all imports are done.

Imported modules stay, so scanning them is wasted work: a third of the start of a process.
Where a package is missing, `flask doctor` reports it here.
"""

import gc

from .doctor.packages import require_packages

gc.disable()
require_packages()


def finish():
    """Exclude what has been imported from garbage collection, and enable it again."""
    gc.freeze()
    gc.enable()
