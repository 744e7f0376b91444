"""A file as a request's body: streamed to disk while it comes, never held in memory."""

import os
import secrets
from functools import wraps
from hashlib import blake2b
from pathlib import Path

from flask import current_app, g, request
from werkzeug.formparser import FormDataParser

from ..data.session import Changed
from ..errors import RETRY, Invalid, Malformed, Problem, fault
from ..schema.operation import describes, problem_response

FORM = "multipart/form-data"
AT_ONCE = 64 * 1024  # bytes in memory
MOST_PARTS = 10  # of a form
ENVELOPE = 64 * 1024  # bytes of a form beside its file


class Upload:
    """A file that has come: its `media_type`, and its `name`, if the client said one."""

    def __init__(self, folder, limit=None):
        self.folder, self.limit = Path(folder), limit
        self.key = secrets.token_hex(16)
        self.media_type = self.name = None
        self.kept = False
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._digest = blake2b(digest_size=32)
        self._file = open(self.path, "xb")

    @property
    def path(self):
        return self.folder / self.key

    @property
    def digest(self):
        """What tells it from another file."""
        return self._digest.digest()

    def write(self, piece):
        """Take more of it. Raises 413 beyond the limit, where there is one."""
        if self.limit is not None and self._file.tell() + len(piece) > self.limit:
            raise Problem(413)
        self._digest.update(piece)
        self._file.write(piece)

    def seek(self, _place):  # the parser of forms has come to its end
        self.close()

    def close(self):
        """All of it is there, even if the power goes."""
        if self._file.closed:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if os.name == "nt":  # where a folder cannot be opened
            return
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def keep(self):
        """Let it outlive the request; returns what it is called in its folder."""
        self.kept = True
        return self.key

    def drop(self):
        self._file.close()
        self.path.unlink(missing_ok=True)


def receives(forms, samples, folder, limit, title="FileForm"):
    """Take a file, as the body or as the one file of a form; the verb gets it as `upload`.

    `forms`: the media types, each with what the names of such files end in.
    `samples`: a file of each form, for the documents. `folder`, `limit`: the settings that
    say where it goes, and how many bytes it may have. `title`: of the form's schema; each
    feature that takes files needs its own.
    What the verb does not `keep` is gone when it returns.
    """

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            if "upload" not in g:  # the request may run anew, the body comes once
                g.upload = received(forms, current_app.config[folder], limit)
                g.digest = g.upload.digest + g.upload.media_type.encode()
            upload = g.upload
            upload.kept = False
            try:
                return verb(*args, upload=upload, **kwargs)
            except Changed:
                upload.kept = True
                raise
            except Exception:
                upload.kept = False
                raise
            finally:
                if not upload.kept:
                    upload.drop()

        file = {"type": "string", "format": "binary", "description": "The file."}
        # A client in Python sends what is a file in several forms as the last of them.
        content = {
            media: {"schema": {**file, "examples": [samples[form]]}}
            for media, form in reversed(forms.items())
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
        return describes(
            wrapper,
            request_body={
                "required": True,
                "content": {**content, FORM: {"schema": parts, "encoding": encoding}},
            },
            responses={
                "400": problem_response("The body is malformed."),
                "413": problem_response("The file is too large."),
                "415": problem_response("The body is of another media type."),
                "422": problem_response("The header of the file does not fit."),
            },
        )

    return decorator


def received(forms, folder, limit):
    """The Upload that the request's body is. Raises 400, 413, 415, 422, 503."""
    limit = current_app.config[limit]
    request.max_content_length = limit + ENVELOPE * (request.mimetype == FORM)
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    known = request.mimetype in forms or request.mimetype == FORM
    if not known or request.content_encoding or charset not in ("utf-8", "utf8"):
        raise unsupported(forms)
    uploads = []

    def begin(content_type, filename=None, **_):
        uploads.append(Upload(folder, limit))
        uploads[-1].name = filename
        uploads[-1].media_type = media_type_of(forms, content_type, filename)
        return uploads[-1]

    try:
        if request.mimetype == FORM:
            parser = FormDataParser(begin, silent=False, max_form_parts=MOST_PARTS)
            length, options = request.content_length, request.mimetype_params
            _, form, files = parser.parse(request.stream, FORM, length, options)
            must_be_one_file(list(form), [name for name, _ in files.items(multi=True)])
        else:
            upload = begin(request.mimetype)
            while piece := request.stream.read(AT_ONCE):
                upload.write(piece)
            upload.close()
        if uploads[0].media_type is None:
            raise unsupported(forms)
        return uploads[0]
    except BaseException as error:
        for upload in uploads:
            upload.drop()
        if isinstance(error, OSError):  # no room, perhaps
            current_app.logger.error("A file cannot be kept: %s", error.strerror)
            raise Problem(503, headers=RETRY) from None
        if isinstance(error, ValueError):
            raise Malformed(f"This is no form: {error}.") from None
        raise


def must_be_one_file(fields, files):
    """Go on only if a form with parts of these names is one file. Raises 422."""
    faults = [
        fault(f"/{name}", "is not known here")
        for name in (*fields, *files)
        if name != "file"
    ]
    if files.count("file") != 1 or "file" in fields:
        faults.append(fault("/file", "must be one file"))
    if faults:
        raise Invalid("The form does not fit.", faults)


def media_type_of(forms, media, name):
    """What a file is, by the end of its name, else by what the client calls it; or None."""
    ending = (name or "").rpartition(".")[2].lower()
    called = (media or "").partition(";")[0].strip().lower()
    by_name = [known for known in forms if forms[known] == ending]
    return by_name[0] if by_name else called if called in forms else None


def unsupported(forms):
    taken = ", ".join([*forms, FORM])
    return Problem(415, f"Send {taken}, in UTF-8.", headers={"Accept": taken})
