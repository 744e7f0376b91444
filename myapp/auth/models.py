"""Sessions, and the schemas of sign-up and sign-in."""

from datetime import timedelta

from flask import current_app, g, request
from sqlalchemy import Column, ForeignKey, Integer

from ..core import (
    ACCESS_TOKEN_TYPE,
    BIGINT_ID,
    REFRESH_TOKEN_TYPE,
    REFRESH_TTL_SECONDS,
    TIMESTAMP,
    SqlModel,
    authenticator,
    clear_account_cache,
    compiled_query,
    date_time,
    emit_security_event,
    now,
    request_schema,
    response_schema,
    sql,
    text,
)
from ..users.models import PASSWORD, USERNAME, User, active_accounts, to_account

EXPIRES_IN = {
    "type": "integer",
    "minimum": 1,
    "description": "Seconds until the access token expires.",
    "examples": [900],
}
ACCESS_TOKEN = {
    "type": "string",
    "description": "Send it as `Authorization: Bearer …`.",
}

NEW_USERNAME = {**USERNAME, "examples": ["newcomer"]}

registration = request_schema("Registration", username=NEW_USERNAME, password=PASSWORD)
credentials = request_schema(
    "Credentials",
    username=text(1, 64, "Upper and lower case are equal.", "pythonista"),
    password=text(1, 1024, "Never shown.", "I<3testing"),
)
token = response_schema("Token", token=ACCESS_TOKEN, expires_in=EXPIRES_IN)
token_pair = response_schema(
    "TokenPair",
    access_token=ACCESS_TOKEN,
    refresh_token={
        "type": "string",
        "description": "Exchange it at `auth/refresh` for a new pair; it can be used once.",
    },
    token_type={
        "type": "string",
        "enum": ["Bearer"],
        "description": "The authentication scheme.",
    },
    expires_in=EXPIRES_IN,
)


class Session(SqlModel):
    """A session. Its row is deleted when it ends."""

    __tablename__ = "sessions"
    collection = "auth/sessions"

    write_schema = request_schema(
        "SessionWrite",
        address=text(1, 45, "The IP address that signed in.", "192.0.2.17"),
        agent=text(0, 200, "The User-Agent that signed in.", "curl/8.5.0"),
    )
    read_only = {
        "expires_at": date_time("When the session expires."),
        "current": {
            "type": "boolean",
            "description": "True if your request belongs to this session.",
        },
    }

    computed = ("current",)
    hidden = ("user_id", "serial")
    scoped_by = ("user_id",)

    user_id = Column(
        BIGINT_ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False
    )
    generation = Column(Integer, nullable=False)  # of the account at sign-in
    serial = Column(Integer, nullable=False, default=1)  # of the valid refresh token
    expires_at = Column(TIMESTAMP, nullable=False, index=True)

    @classmethod
    def start(cls, account, lifetime):
        """Create a session of `account` that expires after `lifetime` seconds."""
        cls.delete_expired(account)
        User.record_sign_in(account, request.remote_addr)
        authenticator().login_throttle.record_success(
            account.username, request.remote_addr
        )
        return cls.create(
            user_id=account.id,
            generation=account.generation,
            address=request.remote_addr or "unknown",
            agent=request.user_agent.string[:200].replace("\0", ""),
            expires_at=now() + timedelta(seconds=lifetime),
        )

    @classmethod
    def as_json(cls, record):
        caller = g.get("caller")
        current = caller is not None and caller.session_id == record.id
        return {**super().as_json(record), "current": current}

    @classmethod
    def own_scope(cls):
        """Return the conditions of the sessions of the caller."""
        return {"user_id": g.caller.id, "generation": g.caller.generation}

    @classmethod
    def delete_expired(cls, account):
        """Delete the sessions of the account that have ended."""
        has_ended = (cls.expires_at < now()) | (cls.generation != account.generation)
        sql.session.execute(
            sql.delete(cls).where(cls.user_id == account.id, has_ended),
            execution_options={"synchronize_session": False},
        )

    def renew(self):
        """Return a new pair of tokens, and invalidate the former refresh token."""
        self.serial += 1
        self.expires_at = now() + timedelta(seconds=REFRESH_TTL_SECONDS)
        sql.session.flush()
        return self.issue_tokens(self)

    @classmethod
    def sign_out(cls, id):
        """End the session with this id, if it exists."""
        clear_account_cache()
        sql.session.execute(sql.delete(cls).where(cls.id == id))

    def end(self):
        """End the session, so that its tokens are invalid."""
        clear_account_cache()
        super().delete()

    @classmethod
    def issue_tokens(cls, record):
        """Return an access token and a refresh token, as `token_pair` describes them."""
        access, expires_in = cls.access_token(record)
        return {
            "access_token": access,
            "refresh_token": authenticator().tokens.issue(
                REFRESH_TOKEN_TYPE,
                record.user_id,
                record.id,
                REFRESH_TTL_SECONDS,
                serial=record.serial,
            ),
            "token_type": "Bearer",
            "expires_in": expires_in,
        }

    @classmethod
    def access_token(cls, record):
        """Return an access token and the seconds until it expires."""
        lifetime = access_lifetime_seconds()
        issue = authenticator().tokens.issue
        return issue(ACCESS_TOKEN_TYPE, record.user_id, record.id, lifetime), lifetime


def access_lifetime_seconds():
    """Return the seconds until a new access token expires."""
    return current_app.config["JWT_TTL"] * 60


def account_by_session(session_id):
    """Return the active Account of a live session, or None."""
    return to_account(accounts_in_session(id=session_id, now=now()), session_id)


@compiled_query
def accounts_in_session(id, now):
    accounts = active_accounts().join(Session, Session.user_id == User.id)
    return accounts.where(
        Session.id == id,
        Session.generation == User.generation,
        Session.expires_at > now,
    )


def rotate_refresh_token(claims):
    """Lock and return the session of a refresh token, or None if the token is invalid.

    A token that is used twice ends its session, since a thief may have one of the two
    uses (RFC 9700 §4.14.2).
    """
    session = sql.session.scalar(
        sql.select(Session).where(Session.id == claims["sid"]).with_for_update()
    )
    if session is None or account_by_session(session.id) is None:
        return None
    if claims.get("serial") != session.serial:
        emit_security_event(
            "refresh token used twice", session.user_id, actor="unknown"
        )
        session.end()
        return None
    return session
