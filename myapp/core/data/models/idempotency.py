"""IdempotencyRecord: the first response to each Idempotency-Key."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    JSON,
    Integer,
    LargeBinary,
    String,
    bindparam,
    select,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from ..batches import delete_in_batches
from ..session import RetryTransaction, sql
from ..statements import column_params, column_values, write
from .columns import BIGINT_ID, TIMESTAMP, now
from .redis_model import IDEMPOTENCY_SECONDS

if TYPE_CHECKING:
    from ..session import Base as Model  # a type checker cannot evaluate `sql.Model`
else:
    Model = sql.Model

RECORD_TTL = timedelta(seconds=IDEMPOTENCY_SECONDS)


class IdempotencyRecord(Model):
    """The first response to a key; without a status while that request is running."""

    __tablename__ = "idempotency"
    __table_args__ = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_nopad_bin"}

    account_id: Mapped[int] = mapped_column(
        BIGINT_ID, primary_key=True, autoincrement=False
    )
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary, nullable=False)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP, nullable=False, index=True)
    status: Mapped[int | None] = mapped_column(Integer)
    headers: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)

    @classmethod
    def claim(cls, account_id: int, key: str, request_hash: bytes) -> bool:
        """Return True if this is the first request with the key.

        Waits while another request with it is running. Raises OperationalError if that
        takes too long.
        """
        row = {
            "account_id": account_id,
            "key": key,
            "request_hash": request_hash,
            "created_at": now(),
        }

        def insert() -> Any:
            dialect = sql.engine.dialect.name
            statement: Any
            if dialect in ("mysql", "mariadb"):
                statement = mysql.insert(cls).prefix_with("IGNORE")
            elif dialect == "postgresql":
                statement = postgresql.insert(cls).on_conflict_do_nothing()
            else:
                statement = sqlite.insert(cls).on_conflict_do_nothing()
            return statement.values(column_params(row)).returning(cls.account_id)

        return bool(write("claim", insert, **column_values(row)))

    @classmethod
    def find(cls, account_id: int, key: str) -> "IdempotencyRecord | None":
        """Return the record of a key, locked; None if it is older than RECORD_TTL.

        Raises RetryTransaction if it has been deleted since `claim`.
        """
        statement = select(cls).filter_by(account_id=account_id, key=key)
        record = sql.session.scalars(statement.with_for_update()).first()
        if record is None:
            raise RetryTransaction
        return None if record.created_at < now() - RECORD_TTL else record

    @classmethod
    def store(cls, account_id: int, key: str, **values: Any) -> None:
        """Store `request_hash`, `status`, `headers` and `body` for a claimed key."""
        values["created_at"] = now()
        key_columns = {"account_id": account_id, "key": key}

        def statement() -> Any:
            binds: dict[str, Any] = {name: bindparam(name) for name in key_columns}
            return update(cls).filter_by(**binds).values(column_params(values))

        write("answer", statement, **key_columns, **column_values(values))

    @classmethod
    def delete_expired(cls) -> int:
        """Delete the records that are older than RECORD_TTL; return their number."""
        table: Any = cls.__table__
        return delete_in_batches(table, cls.created_at < now() - RECORD_TTL)
