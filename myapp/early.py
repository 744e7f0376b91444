"""Imported first: what is imported stays, so nobody looks for garbage until all is there.

Then it is frozen, where that is turned on again: a third off the start of every process.
"""

import gc

gc.disable()
