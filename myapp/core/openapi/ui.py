"""The documents as a browser and a program get them: Swagger UI, and what it shows.

Their content comes from document.py.
"""

from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path

import flask_swagger_ui
import orjson
from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    redirect,
    render_template,
    request,
    url_for,
)

from ..http.compression import coded, coding
from .document import TITLE, openapi, swagger
from .postman import collection, environment

WHEEL = Path(flask_swagger_ui.__file__).parent / "dist"
OURS = Path(__file__).parent / "static"
FILES = {
    "swagger-ui-bundle.js": WHEEL,
    "swagger-ui.css": WHEEL,
    "docs.js": OURS,
    "docs.css": OURS,
    "docs.svg": OURS,
}
CONTENTS = {name: (folder / name).read_bytes() for name, folder in FILES.items()}
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
STAMP = sha256(b"".join(CONTENTS.values())).hexdigest()[:12]
YEAR = 365 * 24 * 60 * 60  # seconds
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

docs = Blueprint("docs", __name__, template_folder="templates")


@docs.route("/")
def home():
    return redirect(url_for("docs.ui"))


@docs.route("/docs/")
def ui():
    return ui_page()


@docs.route("/docs/json/")
@docs.route("/openapi.json")
def whole():
    return json_response("openapi.json", openapi)


@docs.route("/docs/postman.json")
def postman():
    """The whole service as a Postman collection."""
    return json_response("postman.json", lambda app: collection(openapi(app)))


@docs.route("/docs/postman-environment.json")
def postman_environment():
    """This server as an environment for that collection."""
    base_url = request.host_url.rstrip("/") + request.root_path
    data = orjson.dumps(environment(TITLE, base_url))
    return built_response(data, "application/json", "no-cache")


@docs.route("/docs/<stamp>/<name>")
def file(stamp, name):
    """A file of the page. The stamp changes with any of them: keep it for a year."""
    if name not in FILES:
        abort(404)
    today = stamp == STAMP
    caching = f"public, immutable, max-age={YEAR}" if today else "no-cache"
    return built_response(CONTENTS[name], TYPES[Path(name).suffix], caching)


def ui_page(feature=None):
    """Swagger UI over the document of a slice, or of all; no file from another host."""
    page = render_template(
        "docs.html",
        title=TITLE,
        current=feature,
        features=current_app.extensions["features"],
        stamp=STAMP,
    )
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return Response(page, headers=headers)


def swagger_response(feature):
    """The response with a slice's Swagger 2.0."""
    return json_response(feature.name, lambda app: swagger(app, feature))


def json_response(name, build):
    """The response with a document; 304 to whoever has it. See `serialised`."""
    data = serialised(current_app, name, build)
    return built_response(data, "application/json", "no-cache")


def built_response(data, mimetype, caching):
    """The response with what was built once, compressed; 304 to whoever has it.

    `caching`: its Cache-Control.
    """
    used = coding()
    data, tag = prepared(data, used)
    headers = {"Vary": "Accept-Encoding", "Cache-Control": caching, "ETag": f'"{tag}"'}
    if used:
        headers["Content-Encoding"] = used
    response = Response(data, mimetype=mimetype, headers=headers)
    if "HTTP_IF_NONE_MATCH" in request.environ:
        response.make_conditional(request)
    return response


@lru_cache(100)
def prepared(data, used):
    """Bytes in a coding, or in none, and their ETag."""
    data = coded(data, used) if used else data
    return data, sha256(data).hexdigest()[:24]


def serialised(app, name, build):
    """What `build` makes of the app, as JSON; built once per app and name."""
    kept = app.extensions.setdefault("docs", {})
    if name not in kept:
        kept[name] = orjson.dumps(build(app))
    return kept[name]


def register(app):
    """Register the pages and documents of the whole service."""
    app.register_blueprint(docs)


def init_app(app):
    """Register the page and the document of each feature.

    The whole document is built now, so that a mistake in it stops the start.
    """
    pages = {"docs": ui_page, "swagger.json": swagger_response}
    for feature in app.extensions["features"]:
        for name, page in pages.items():
            rule = f"{feature.base_path(app)}/{feature.name}/{name}"
            endpoint = f"{feature.name}.{name.partition('.')[0]}"
            app.add_url_rule(rule, endpoint, partial(page, feature))
    serialised(app, "openapi.json", openapi)
