"""Sample features: tests use them, so that no test depends on the example features.

Test applications mount them beside the features of the project. All their names begin with
`sample_`, which leaves every other name to the project.
"""

from myapp import FEATURES

from .sample_chores import chores
from .sample_files import files
from .sample_gadgets import gadgets
from .sample_labels import labels
from .sample_marks import marks
from .sample_notes import notes
from .sample_signals import signals

SAMPLES = (gadgets, chores, signals, files, labels, notes, marks)
SERVED = (*FEATURES, *SAMPLES)
