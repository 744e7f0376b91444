"""IdempotencyRecord: the first response to each Idempotency-Key."""

from datetime import timedelta

from sqlalchemy import (
    JSON,
    Column,
    Integer,
    LargeBinary,
    String,
    bindparam,
    select,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite

from ..batches import delete_in_batches
from ..session import Changed, sql
from ..statements import filled, parameters, write
from .columns import KEY, MOMENT, now
from .redis_model import ONCE

KEPT = timedelta(seconds=ONCE)


class IdempotencyRecord(sql.Model):
    """The first response to a key; without a status while that request is running."""

    __tablename__ = "idempotency"
    __table_args__ = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_nopad_bin"}

    account_id = Column(KEY, primary_key=True, autoincrement=False)
    key = Column(String(255), primary_key=True)
    request_hash = Column(LargeBinary, nullable=False)
    created_at = Column(MOMENT, nullable=False, index=True)
    status = Column(Integer)
    headers = Column(JSON(none_as_null=True))
    body = Column(LargeBinary)

    @classmethod
    def claim(cls, account_id, key, request_hash):
        """Return whether this is the first request with the key.

        Waits while another one is running. Raises OperationalError where that takes too
        long.
        """
        row = {
            "account_id": account_id,
            "key": key,
            "request_hash": request_hash,
            "created_at": now(),
        }

        def insert():
            dialect = sql.engine.dialect.name
            if dialect in ("mysql", "mariadb"):
                statement = mysql.insert(cls).prefix_with("IGNORE")
            else:
                form = postgresql if dialect == "postgresql" else sqlite
                statement = form.insert(cls).on_conflict_do_nothing()
            return statement.values(parameters(row)).returning(cls.account_id)

        return bool(write("claim", insert, **filled(row)))

    @classmethod
    def find(cls, account_id, key):
        """Return the record of a key, locked; None if it is older than KEPT.

        Raises Changed where it has been deleted since `claim`.
        """
        statement = select(cls).filter_by(account_id=account_id, key=key)
        record = sql.session.scalars(statement.with_for_update()).first()
        if record is None:
            raise Changed
        return None if record.created_at < now() - KEPT else record

    @classmethod
    def store(cls, account_id, key, **values):
        """Store `request_hash`, `status`, `headers` and `body` for a claimed key."""
        values["created_at"] = now()
        of = {"account_id": account_id, "key": key}

        def statement():
            binds = {name: bindparam(name) for name in of}
            return update(cls).filter_by(**binds).values(parameters(values))

        write("answer", statement, **of, **filled(values))

    @classmethod
    def delete_expired(cls):
        """Delete the records that are older than KEPT; return how many."""
        return delete_in_batches(cls.__table__, cls.created_at < now() - KEPT)
