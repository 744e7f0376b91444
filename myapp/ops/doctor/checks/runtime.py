"""Checks of what a process runs on: Python, the packages, open files."""

import platform
import sys

from ....core.observability.checks import check, error, project_folder, warning
from ..packages import check_packages
from .common import MIN_VERSIONS, version_text

MIN_OPEN_FILES = 256  # the default on macOS


@check(after=None)
def python(_config):
    """Check the version of Python."""
    version, oldest = platform.python_version(), MIN_VERSIONS["Python"]
    if sys.version_info < oldest:
        message = f"{version} is older than {version_text(oldest)}"
        yield error(message, "make clean; make PYTHON=python3.12 run")
    return version


@check(after=None)
def packages(_config):
    """Compare the installed packages with the locked ones."""
    return (yield from check_packages(project_folder()))


@check(after=None)
def open_files(_config):
    """Check how many files a process may have open."""
    try:
        import resource
    except ImportError:  # on Windows
        return
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= most < MIN_OPEN_FILES:  # -1: any number
        message = f"a process may open {most} files, and each connection is one"
        hint = f"ulimit -n {4 * MIN_OPEN_FILES}, or LimitNOFILE= in its unit"
        yield warning(message, hint)
    return "any number" if most < 0 else f"{most:,} at once"
