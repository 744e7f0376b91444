"""Imported first: what is imported stays, so nobody looks for garbage until all is there.

Then it is frozen, where that is turned on again: a third off the start of every process.
And where something is missing that will be imported, `flask doctor` says so here.
"""

import gc

from . import findings

gc.disable()
findings.require_packages()
