"""Prepare a process for the imports of all other modules; import this one first.

Imported modules stay, so scanning them is wasted work: a third of the start of a process.
If a package is missing, `flask doctor` reports it from here. A feature that is defined
wrongly ends the process with one sentence.
"""

import gc
import sys
from traceback import extract_tb

from .doctor.packages import require_packages

gc.disable()
require_packages()

from ..core.errors import DefinitionError  # noqa: E402  # its packages are there


def print_exception(kind, error, traceback):
    """Print an error in a definition as a sentence, any other one with its traceback."""
    if isinstance(error, DefinitionError):
        print(f"Error: {error}", file=sys.stderr)
    elif isinstance(error, NameError):  # most often a missing import
        *_, last = extract_tb(traceback)
        print(f"Error: {last.filename}, line {last.lineno}: {error}.", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = print_exception


def finish():
    """Exclude what has been imported from garbage collection, and enable it again."""
    gc.freeze()
    gc.enable()
