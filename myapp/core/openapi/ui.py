"""Serve the documents, and Swagger UI to read them.

document.py builds the content.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import flask_swagger_ui  # type: ignore[import-untyped]  # it has none
import orjson
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as WsgiResponse

from ..errors import ServiceError
from ..http.compression import compress, negotiate_coding
from .document import TITLE, DocumentedFeature, openapi, swagger
from .postman import build_collection, build_environment

BuildDocument = Callable[[Flask], Any]  # builds a document of an application

SWAGGER_UI_FOLDER = Path(flask_swagger_ui.__file__).parent / "dist"
STATIC_FOLDER = Path(__file__).parent / "static"
FILES = {
    "swagger-ui-bundle.js": SWAGGER_UI_FOLDER,
    "swagger-ui.css": SWAGGER_UI_FOLDER,
    "docs.js": STATIC_FOLDER,
    "docs.css": STATIC_FOLDER,
    "docs.svg": STATIC_FOLDER,
}
CONTENTS = {name: (folder / name).read_bytes() for name, folder in FILES.items()}
CONTENT_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
STAMP = sha256(b"".join(CONTENTS.values())).hexdigest()[:12]
YEAR_SECONDS = 365 * 24 * 60 * 60  # seconds
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

docs = Blueprint("docs", __name__, template_folder="templates")


@docs.route("/")
def home() -> WsgiResponse:
    return redirect(url_for("docs.ui"))


@docs.route("/docs/")
def ui() -> Response:
    return ui_page()


@docs.route("/docs/json/")
@docs.route("/openapi.json")
def openapi_json() -> Response:
    return document_response("openapi.json", openapi)


@docs.route("/docs/postman.json")
def postman() -> Response:
    """Return the Postman collection of the whole service."""
    return document_response("postman.json", lambda app: build_collection(openapi(app)))


@docs.route("/docs/postman-environment.json")
def postman_environment() -> Response:
    """Return a Postman environment for this server."""
    base_url = request.host_url.rstrip("/") + request.root_path
    data = orjson.dumps(build_environment(TITLE, base_url))
    return static_response(data, "application/json", "no-cache")


@docs.route("/docs/problems")
def problems() -> Response:
    """Return the page that describes each kind of problem."""
    kinds = sorted(ServiceError.kinds(), key=lambda kind: str(kind.problem))
    return html_page("problems.html", kinds=kinds)


@docs.route("/docs/<stamp>/<name>")
def asset(stamp: str, name: str) -> Response:
    """Return a static file of the page.

    The current stamp changes with the files, so a file at its address is cached for a year.
    """
    if name not in FILES:
        abort(404)
    current = stamp == STAMP
    caching = f"public, immutable, max-age={YEAR_SECONDS}" if current else "no-cache"
    return static_response(CONTENTS[name], CONTENT_TYPES[Path(name).suffix], caching)


def ui_page(feature: DocumentedFeature | None = None) -> Response:
    """Return Swagger UI for the document of a feature, or of the whole service."""
    return html_page("docs.html", current=feature)


def html_page(template: str, **values: Any) -> Response:
    """Return a page that a template makes."""
    features = current_app.extensions["features"]
    page = render_template(
        template, title=TITLE, stamp=STAMP, features=features, **values
    )
    headers = {"Content-Security-Policy": DOCS_POLICY, "Cache-Control": "no-cache"}
    return Response(page, headers=headers)


def swagger_response(feature: DocumentedFeature) -> Response:
    """Return the Swagger 2.0 document of a feature."""
    return document_response(feature.name, lambda app: swagger(app, feature))


def document_response(name: str, build: BuildDocument) -> Response:
    """Return the document that `build` makes, or 304; see `cached_json`."""
    data = cached_json(current_app, name, build)
    return static_response(data, "application/json", "no-cache")


def static_response(data: bytes, mimetype: str, caching: str) -> Response:
    """Return constant data, compressed, or 304 if the client has it.

    `caching`: the value of Cache-Control.
    """
    content_coding = negotiate_coding()
    data, tag = encode_content(data, content_coding)
    headers = {"Vary": "Accept-Encoding", "Cache-Control": caching, "ETag": f'"{tag}"'}
    if content_coding:
        headers["Content-Encoding"] = content_coding
    response = Response(data, mimetype=mimetype, headers=headers)
    if "HTTP_IF_NONE_MATCH" in request.environ:
        response.make_conditional(request)
    return response


@lru_cache(100)
def encode_content(data: bytes, content_coding: str | None) -> tuple[bytes, str]:
    """Return data in a content coding, or without one, and its ETag."""
    data = compress(data, content_coding) if content_coding else data
    return data, sha256(data).hexdigest()[:24]


def cached_json(app: Flask, name: str, build: BuildDocument) -> bytes:
    """Return the result of `build` as JSON; it is built once per application and name."""
    cache = app.extensions.setdefault("docs", {})
    if name not in cache:
        cache[name] = orjson.dumps(build(app))
    return cache[name]


def register(app: Flask) -> None:
    """Register the pages and documents of the whole service."""
    app.register_blueprint(docs)


def init_app(app: Flask) -> None:
    """Register the page and the document of each feature.

    The document of the whole service is built here, so that an error in it stops the start.
    """
    pages = {"docs": ui_page, "swagger.json": swagger_response}
    for feature in app.extensions["features"]:
        for name, page in pages.items():
            rule = f"{feature.base_path(app)}/{feature.name}/{name}"
            endpoint = f"{feature.name}.{name.partition('.')[0]}"
            app.add_url_rule(rule, endpoint, partial(page, feature))
    cached_json(app, "openapi.json", openapi)
