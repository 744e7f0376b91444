"""Settings of imports."""

import os

MAX_IMPORT_BYTES = 256 * 1024 * 1024  # bytes of a file of devices
IMPORTS_FOLDER = None  # holds files until they are imported; every host must reach it;
# None: the folder `imports` in the instance folder


def complete(app):
    """Make IMPORTS_FOLDER absolute."""
    folder = app.config["IMPORTS_FOLDER"] or os.path.join(app.instance_path, "imports")
    app.config["IMPORTS_FOLDER"] = os.path.abspath(folder)
