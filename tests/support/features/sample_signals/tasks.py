"""The periodic task of sample signals."""

from myapp.core import every

from .models import SampleSignal


@every(minutes=1)
def count():
    """Count the signals."""
    number = SampleSignal.count()
    return f"{number} signals" if number else None
