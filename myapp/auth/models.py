"""A session: a sign-in that lasts, until it is ended."""

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
    "description": "Seconds that the access token lives.",
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
    username=text(1, 64, "In any case.", "pythonista"),
    password=text(1, 1024, "Goes in, never out.", "I<3testing"),
)
token = response_schema("Token", token=ACCESS_TOKEN, expires_in=EXPIRES_IN)
token_pair = response_schema(
    "TokenPair",
    access_token=ACCESS_TOKEN,
    refresh_token={
        "type": "string",
        "description": "Gets the next pair at `auth/refresh`, once.",
    },
    token_type={
        "type": "string",
        "enum": ["Bearer"],
        "description": "How to send it.",
    },
    expires_in=EXPIRES_IN,
)


class Session(SqlModel):
    """A sign-in. Its row is gone when it ends."""

    __tablename__ = "sessions"
    collection = "auth/sessions"

    write_schema = request_schema(
        "SessionWrite",
        address=text(1, 45, "Where it began.", "192.0.2.17"),
        agent=text(0, 200, "The client that began it.", "curl/8.5.0"),
    )
    read_only = {
        "expires_at": date_time("When it ends by itself."),
        "current": {"type": "boolean", "description": "Whether you are in it now."},
    }

    computed = ("current",)
    hidden = ("version", "user_id", "serial")
    scoped_by = ("user_id",)

    user_id = Column(
        BIGINT_ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False
    )
    generation = Column(Integer, nullable=False)  # the account's, when this began
    serial = Column(Integer, nullable=False, default=1)  # of its refresh token
    expires_at = Column(TIMESTAMP, nullable=False, index=True)

    @classmethod
    def start(cls, account, lifetime):
        """A new session of `account`, for `lifetime` seconds."""
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
        """The scope of the caller's own."""
        return {"user_id": g.caller.id, "generation": g.caller.generation}

    @classmethod
    def delete_expired(cls, account):
        """Be rid of what is left of the account's sessions that have ended."""
        over = (cls.expires_at < now()) | (cls.generation != account.generation)
        sql.session.execute(
            sql.delete(cls).where(cls.user_id == account.id, over),
            execution_options={"synchronize_session": False},
        )

    def renew(self):
        """The next pair of tokens; the refresh token before it is spent."""
        self.serial += 1
        self.expires_at = now() + timedelta(seconds=REFRESH_TTL_SECONDS)
        sql.session.flush()
        return self.issue_tokens(self)

    @classmethod
    def sign_out(cls, id):
        """End the session of that id, if it has not ended yet."""
        clear_account_cache()
        sql.session.execute(sql.delete(cls).where(cls.id == id))

    def end(self):
        """Its tokens are worth nothing any more."""
        clear_account_cache()
        super().delete()

    @classmethod
    def issue_tokens(cls, record):
        """The access and the refresh token, as `token_pair` has them."""
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
        """An access token, and the seconds that it lives."""
        lifetime = access_lifetime_seconds()
        issue = authenticator().tokens.issue
        return issue(ACCESS_TOKEN_TYPE, record.user_id, record.id, lifetime), lifetime


def access_lifetime_seconds():
    """Seconds that an access token lives."""
    return current_app.config["JWT_TTL"] * 60


def account_by_session(session_id):
    """What the guard knows of the account whose live session this is, or None."""

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
    """The session whose refresh token this is, locked; None if it is worth nothing.

    Of a token that was used before the whole session ends: either its owner or a thief
    is late, and we cannot know who.
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
