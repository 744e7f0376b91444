"""Settings of sample files."""

import os

SAMPLE_FILES_BYTES = 16 * 1024 * 1024  # of one file
SAMPLE_FILES_FOLDER = None  # None: the folder `sample_files` in the instance folder


def complete(app):
    """Make SAMPLE_FILES_FOLDER absolute."""
    default = os.path.join(app.instance_path, "sample_files")
    folder = app.config["SAMPLE_FILES_FOLDER"] or default
    app.config["SAMPLE_FILES_FOLDER"] = os.path.abspath(folder)
