"""The periodic task of sample signals."""

from myapp.core import periodic_task

from .models import SampleSignal


@periodic_task(minutes=1)
def count():
    """Count the signals."""
    number = SampleSignal.count()
    return f"{number} signals" if number else None
