"""`{prefix}/auth/`: sign-up, sign-in, sign-out and sessions."""

from flask import current_app, g

from ..core import (
    NO_STORE,
    REFRESH_TTL_SECONDS,
    FeatureApi,
    Forbidden,
    Resource,
    accepts,
    authenticator,
    check_preconditions,
    error_responses,
    idempotent,
    paginated,
    public,
    requires,
    requires_refresh_token,
    responds_no_content,
    responds_with,
    unauthorized,
    unit_of_work,
)
from ..users.models import User
from .models import (
    Session,
    access_lifetime_seconds,
    credentials,
    registration,
    rotate_refresh_token,
    token,
    token_pair,
)

auth = FeatureApi("auth", "Sign up, sign in and sign out.")


@auth.route("/register")
class Register(Resource):
    @public
    @error_responses({403: "Sign-up is disabled.", 409: "The username is taken."})
    @idempotent
    @accepts(registration)
    @responds_with(User, 201)
    def post(self, body):
        """Sign up."""
        if not current_app.config["REGISTRATION_OPEN"]:
            raise Forbidden("Sign-up is disabled.")
        return User.create(**body)


@auth.route("/login")
class Login(Resource):
    @public
    @error_responses(
        {
            401: "The username or the password is wrong.",
            429: "Too many failed login attempts.",
        }
    )
    @accepts(credentials)
    @responds_with(token_pair, headers=NO_STORE)
    def post(self, body):
        """Sign in: get an access token and a refresh token."""
        account = authenticator().by_password(body["username"], body["password"])
        if account is None:
            raise unauthorized()
        return Session.issue_tokens(Session.start(account, REFRESH_TTL_SECONDS))


@auth.route("/request-token")
class RequestToken(Resource):
    writes = True

    @requires(basic_only=True)
    @responds_with(token, headers=NO_STORE)
    def get(self):
        """Get an access token for your username and password."""
        session = Session.start(g.caller, access_lifetime_seconds())
        signed, expires_in = Session.access_token(session)
        return {"token": signed, "expires_in": expires_in}


@auth.route("/refresh")
class Refresh(Resource):
    @requires_refresh_token
    @responds_with(token_pair, headers=NO_STORE)
    def post(self, claims):
        """Exchange a refresh token for a new pair of tokens."""
        # A separate transaction: a reused token ends its session despite the 401.
        with unit_of_work():
            session = rotate_refresh_token(claims)
            pair = session and session.renew()
        if pair is None:
            raise unauthorized()
        return pair


@auth.route("/logout")
class Logout(Resource):
    @requires()
    @responds_no_content
    def post(self):
        """Sign out: end the session of your token."""
        if g.caller.session_id:
            Session.sign_out(g.caller.session_id)


@auth.route("/sessions")
class Sessions(Resource):
    @requires()
    @paginated(Session)
    def get(self, page):
        """List your sessions."""
        return Session.page(page, **Session.own_scope())


@auth.route("/sessions/<int:id>")
class OneSession(Resource):
    @requires()
    @responds_with(Session)
    def get(self, id):
        """Read one of your sessions."""
        return Session.get_or_404(id, **Session.own_scope())

    @requires()
    @responds_no_content
    def delete(self, id):
        """End one of your sessions."""
        session = Session.lock_or_404(id, **Session.own_scope())
        check_preconditions(session)
        session.end()
