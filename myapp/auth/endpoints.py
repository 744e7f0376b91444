"""`{prefix}/auth/`: signing in."""

from flask import g

from ..api import FeatureApi, Resource
from ..guard import access_token, requires
from ..schema import NO_STORE, answers
from .models import token

auth = FeatureApi("auth", "Signing in.")


@auth.route("/request-token")
class RequestToken(Resource):
    @requires(basic_only=True)
    @answers(token, headers=NO_STORE)
    def get(self):
        """Get an access token for your name and password."""
        signed, expires_in = access_token(g.caller)
        return {"token": signed, "expires_in": expires_in}
