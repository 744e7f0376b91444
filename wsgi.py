"""The WSGI application; production unless FLASK_CONFIG says otherwise."""

import os

from dotenv import load_dotenv

from myapp import create_app

load_dotenv()
app = create_app(os.environ.get("FLASK_CONFIG", "production"))
