"""Accept a file as the request body, streamed to disk and never held in memory."""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from hashlib import blake2b
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from flask import current_app, g, request
from werkzeug.formparser import FormDataParser

from ..data.session import RetryTransaction
from ..errors import RETRY_HEADERS, Invalid, Malformed, Problem, fault, json_pointer
from ..schema.operation import document_operation, problem_spec

P = ParamSpec("P")
R = TypeVar("R")

FORM_MEDIA_TYPE = "multipart/form-data"
READ_CHUNK_BYTES = 64 * 1024  # bytes in memory
MAX_FORM_PARTS = 10  # of a form
FORM_OVERHEAD_BYTES = 64 * 1024  # bytes of a form besides its file


class Upload:
    """An uploaded file in `folder`.

    `media_type`: one of those that the endpoint accepts. `name`: the client's file name, or
    None. `key`: its name in the folder. `kept`: whether it outlives the request.
    """

    def __init__(self, folder: str | Path, limit: int | None = None) -> None:
        self.folder, self.limit = Path(folder), limit
        self.key = secrets.token_hex(16)
        self.media_type: str | None = None
        self.name: str | None = None
        self.kept = False
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._digest = blake2b(digest_size=32)
        self._file = open(self.path, "xb")

    @property
    def path(self) -> Path:
        """The path of the file on disk."""
        return self.folder / self.key

    @property
    def digest(self) -> bytes:
        """A hash of the content."""
        return self._digest.digest()

    def write(self, piece: bytes) -> None:
        """Append to the file. Raises 413 beyond `limit` (in bytes)."""
        if self.limit is not None and self._file.tell() + len(piece) > self.limit:
            raise Problem(413)
        self._digest.update(piece)
        self._file.write(piece)

    def seek(self, _position: int) -> None:
        """Close the file: Werkzeug's form parser seeks when it has written all of it."""
        self.close()

    def close(self) -> None:
        """Close the file and flush it to disk, so that it survives a power failure."""
        if self._file.closed:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if os.name == "nt":  # Windows cannot open a folder
            return
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def keep(self) -> str:
        """Keep the file after the request; return its `key`."""
        self.kept = True
        return self.key

    def drop(self) -> None:
        """Delete the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def accepts_upload(
    forms: dict[str, str],
    samples: Mapping[str, str],
    folder: str,
    limit: str,
    title: str = "FileForm",
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Accept a file, as the body or as the only file of a form.

    The verb gets it as an Upload, `upload`; it is deleted when the verb returns, unless the
    verb calls `keep`. Raises 400, 413, 415, 422 or 503 (the disk is full).

    `forms`: the accepted media types, each with its file extension. `samples`: a sample
    file for each extension, for the documents. `folder`, `limit`: the names of the settings
    that hold the folder and the maximum size in bytes. `title`: the title of the form's
    schema, unique among all features.
    """

    def decorator(verb: Callable[..., R]) -> Callable[..., R]:
        @wraps(verb)
        def wrapper(*args: Any, **kwargs: Any) -> R:
            # The request may be retried, but its body can be read only once.
            if "upload" not in g:
                g.upload = read_upload(forms, current_app.config[folder], limit)
                g.digest = g.upload.digest + g.upload.media_type.encode()
            upload: Upload = g.upload
            upload.kept = False
            try:
                return verb(*args, upload=upload, **kwargs)
            except RetryTransaction:
                upload.kept = True
                raise
            except Exception:
                upload.kept = False
                raise
            finally:
                if not upload.kept:
                    upload.drop()

        file = {"type": "string", "format": "binary", "description": "The file."}
        # A generated Python client sends an ambiguous file as the last media type, so the
        # first one of `forms` comes last.
        content = {
            media: {"schema": {**file, "examples": [samples[extension]]}}
            for media, extension in reversed(forms.items())
        }
        sample = next(iter(samples.values()))
        parts = {
            "title": title,
            "type": "object",
            "properties": {"file": {**file, "examples": [sample]}},
            "required": ["file"],
            "additionalProperties": False,
        }
        encoding = {"file": {"contentType": ", ".join(forms)}}
        return document_operation(
            wrapper,
            decorator="accepts_upload",
            request_body={
                "required": True,
                "content": {
                    **content,
                    FORM_MEDIA_TYPE: {"schema": parts, "encoding": encoding},
                },
            },
            responses={
                "400": problem_spec("The request body is malformed."),
                "413": problem_spec("The file is too large."),
                "415": problem_spec(
                    "The media type of the request body is not supported."
                ),
                "422": problem_spec("The file or the form is invalid."),
            },
        )

    return decorator


def read_upload(forms: Mapping[str, str], folder: str | Path, limit: str) -> Upload:
    """Store the request body and return it. Raises 400, 413, 415, 422 or 503.

    `forms`, `limit`: as for `accepts_upload`. `folder`: the folder itself.
    """
    limit_bytes: int = current_app.config[limit]
    is_form = request.mimetype == FORM_MEDIA_TYPE
    request.max_content_length = limit_bytes + (FORM_OVERHEAD_BYTES if is_form else 0)
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    supported = is_form or request.mimetype in forms
    if not supported or request.content_encoding or charset not in ("utf-8", "utf8"):
        raise unsupported_media_type(forms)
    uploads: list[Upload] = []

    def begin(
        content_type: str | None, filename: str | None = None, **_: Any
    ) -> Upload:
        upload = Upload(folder, limit_bytes)
        uploads.append(upload)
        upload.name = filename
        upload.media_type = detect_media_type(forms, content_type, filename)
        return upload

    try:
        if is_form:
            parser = FormDataParser(
                begin,  # type: ignore[arg-type]  # the parser only writes and seeks
                silent=False,
                max_form_parts=MAX_FORM_PARTS,
            )
            length, options = request.content_length, request.mimetype_params
            _, form, files = parser.parse(
                request.stream, FORM_MEDIA_TYPE, length, options
            )
            require_one_file(list(form), [name for name, _ in files.items(multi=True)])
        else:
            upload = begin(request.mimetype)
            while piece := request.stream.read(READ_CHUNK_BYTES):
                upload.write(piece)
            upload.close()
        if uploads[0].media_type is None:
            raise unsupported_media_type(forms)
        return uploads[0]
    except BaseException as error:
        for upload in uploads:
            upload.drop()
        if isinstance(error, OSError):  # the disk may be full
            current_app.logger.error("A file cannot be stored: %s", error.strerror)
            raise Problem(503, headers=RETRY_HEADERS) from None
        if isinstance(error, ValueError):
            raise Malformed(f"The form is malformed: {error}.") from None
        raise


def require_one_file(fields: list[str], files: list[str]) -> None:
    """Raise 422 unless a form with parts of these names is one file, called `file`."""
    faults = [
        fault(json_pointer(name), "Unknown field.")
        for name in fields + files
        if name != "file"
    ]
    if files.count("file") != 1 or "file" in fields:
        faults.append(fault("/file", "Must be exactly one file."))
    if faults:
        raise Invalid("The form is invalid.", faults)


def detect_media_type(
    forms: Mapping[str, str], media: str | None, name: str | None
) -> str | None:
    """Return the media type of a file, or None if it is not one of `forms`.

    The extension of its `name` decides; without a known one, the media type `media` that
    the client sent.
    """
    extension = (name or "").rpartition(".")[2].lower()
    for media_type in forms:
        if forms[media_type] == extension:
            return media_type
    sent = (media or "").partition(";")[0].strip().lower()
    return sent if sent in forms else None


def unsupported_media_type(forms: Iterable[str]) -> Problem:
    """Return the error for a body of another media type, charset or coding."""
    accepted = ", ".join([*forms, FORM_MEDIA_TYPE])
    return Problem(
        415,
        f"The request body must be {accepted}, in UTF-8, without Content-Encoding.",
        headers={"Accept": accepted},
    )
