"""Sample features: tests use them, so that no test depends on the example features.

Test applications mount them beside the features of the project. All their names begin with
`sample_`, which leaves every other name to the project.
"""

from myapp import FEATURES

from .chores import chores
from .files import files
from .gadgets import gadgets
from .labels import labels
from .marks import marks
from .notes import notes
from .signals import signals

SAMPLES = (gadgets, chores, signals, files, labels, notes, marks)
SERVED = (*FEATURES, *SAMPLES)
