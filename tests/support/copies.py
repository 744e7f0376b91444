"""Copies of folders with code."""

import shutil

# Temporary files of a process that compiles a module at the same moment.
BEING_WRITTEN = "*.pyc.*"


def copy_code(source, target, *left_out):
    """Copy a folder, with what Python has compiled in it, and return `target`.

    The copy keeps the times of the files. A process that starts there need not compile
    them. `left_out`: patterns of file names.
    """
    ignored = shutil.ignore_patterns(BEING_WRITTEN, *left_out)
    return shutil.copytree(source, target, ignore=ignored)
