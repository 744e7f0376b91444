"""What `flask doctor` checks of imports."""

from ..core import check, check_body_limit, check_folder, warning


@check()
def imports(config):
    """Check that the servers in front, and the disk, take the largest file."""
    most, folder = config["MAX_IMPORT_BYTES"], config["IMPORTS_FOLDER"]
    yield from check_body_limit(config, "MAX_IMPORT_BYTES", "myapp/imports/nginx.conf")
    left = yield from check_folder(folder, "MYAPP_IMPORTS_FOLDER")
    if left is not None and left < most:
        message = (
            f"{left:,} bytes are left on the disk of {folder}; an import may be more"
        )
        yield warning(message, "make room there, or lower MYAPP_MAX_IMPORT_BYTES")
    return f"files of up to {most:,} bytes, in {folder}"
