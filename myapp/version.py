"""The version of the service (semver.org); the change log tells what it means."""

__version__ = "0.1.0"
