"""`{prefix}/auth/`: signing up, in and out."""

from flask import current_app, g

from ..core import (
    NO_STORE,
    REFRESH_TTL,
    FeatureApi,
    Forbidden,
    Resource,
    accepts,
    answers,
    answers_nothing,
    guard,
    idempotent,
    must_match,
    paged,
    refuses,
    requires,
    requires_refresh_token,
    unauthorized,
    unit_of_work,
)
from ..users.models import User
from .models import (
    Session,
    access_lifetime,
    credentials,
    redeem,
    registration,
    token,
    token_pair,
)

auth = FeatureApi("auth", "Signing up, in and out.")


@auth.route("/register")
class Register(Resource):
    @refuses({403: "Sign-up is closed here.", 409: "The username is taken."})
    @idempotent
    @accepts(registration)
    @answers(User, 201)
    def post(self, body):
        """Sign up."""
        if not current_app.config["REGISTRATION_OPEN"]:
            raise Forbidden("Sign-up is closed here.")
        return User.create(**body)


@auth.route("/login")
class Login(Resource):
    @refuses({401: "Wrong name or password.", 429: "Too many failures."})
    @accepts(credentials)
    @answers(token_pair, headers=NO_STORE)
    def post(self, body):
        """Sign in: get an access token and a refresh token."""
        account = guard().by_password(body["username"], body["password"])
        if account is None:
            raise unauthorized()
        return Session.pair(Session.begin(account, REFRESH_TTL))


@auth.route("/request-token")
class RequestToken(Resource):
    writes = True

    @requires(basic_only=True)
    @answers(token, headers=NO_STORE)
    def get(self):
        """Get an access token for your name and password."""
        session = Session.begin(g.caller, access_lifetime())
        signed, expires_in = Session.access_token(session)
        return {"token": signed, "expires_in": expires_in}


@auth.route("/refresh")
class Refresh(Resource):
    @requires_refresh_token
    @answers(token_pair, headers=NO_STORE)
    def post(self, claims):
        """Get the next pair of tokens for a refresh token, which is spent by it."""
        with unit_of_work():  # of its own, for a theft to end the session in spite of 401
            session = redeem(claims)
            pair = session and session.renew()
        if pair is None:
            raise unauthorized()
        return pair


@auth.route("/logout")
class Logout(Resource):
    @requires()
    @answers_nothing
    def post(self):
        """Sign out: end the session that your token belongs to."""
        if g.caller.session_id:
            Session.sign_out(g.caller.session_id)


@auth.route("/sessions")
class Sessions(Resource):
    @requires()
    @paged(Session)
    def get(self, page):
        """List your sessions."""
        return Session.page(page, **Session.mine())


@auth.route("/sessions/<int:id>")
class OneSession(Resource):
    @requires()
    @answers(Session)
    def get(self, id):
        """Read one of your sessions."""
        return Session.get_or_404(id, **Session.mine())

    @requires()
    @answers_nothing
    def delete(self, id):
        """End one of your sessions."""
        found = Session.lock_or_404(id, **Session.mine())
        must_match(found)
        found.end()
