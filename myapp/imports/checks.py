"""The check of imports for `flask doctor`."""

from ..core import check, check_body_limit, check_folder, warning


@check()
def imports(config):
    """Check that nginx, uWSGI and the disk accept the largest file."""
    most, folder = config["MAX_IMPORT_BYTES"], config["IMPORTS_FOLDER"]
    yield from check_body_limit(config, "MAX_IMPORT_BYTES", "myapp/imports/nginx.conf")
    left = yield from check_folder(folder, "MYAPP_IMPORTS_FOLDER")
    if left is not None and left < most:
        message = (
            f"{left:,} bytes are free on the disk of {folder}; an import can be larger"
        )
        yield warning(message, "free disk space, or lower MYAPP_MAX_IMPORT_BYTES")
    return f"files of up to {most:,} bytes, in {folder}"
