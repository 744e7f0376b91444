"""Settings of imports."""

import os

MAX_IMPORT_BYTES = 256 * 1024 * 1024  # bytes of an uploaded file
IMPORTS_FOLDER = None  # uploads, shared by all hosts; by default in `instance/`


def complete(app):
    """Make IMPORTS_FOLDER absolute."""
    folder = app.config["IMPORTS_FOLDER"] or os.path.join(app.instance_path, "imports")
    app.config["IMPORTS_FOLDER"] = os.path.abspath(folder)
