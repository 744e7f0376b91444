"""The check of imports for `flask doctor`."""

from ..core import Ok, Warning, check, check_body_limit, check_folder


@check("imports")
def check_imports(context):
    """Check that nginx, uWSGI and the disk accept the largest file."""
    nginx, folder = "myapp/imports/nginx.conf", context.config["IMPORTS_FOLDER"]
    most = context.config["MAX_IMPORT_BYTES"]
    yield from check_body_limit(context, "MAX_IMPORT_BYTES", nginx)
    free = yield from check_folder(context, folder, "MYAPP_IMPORTS_FOLDER")
    if free is not None and free < most:
        place = f"on the disk of {folder}"
        message = f"{free:,} bytes are free {place}; an import can be larger"
        hint = "free disk space, or lower MYAPP_MAX_IMPORT_BYTES"
        yield Warning(message, hint, "imports.W001")
    yield Ok(f"files of up to {most:,} bytes, in {folder}")
