"""Mixins for models whose records belong to an account."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from flask import g
from sqlalchemy import ForeignKey, bindparam, false, or_, select
from sqlalchemy.orm import Mapped, column_property, declared_attr, mapped_column

from ..statements import read
from .columns import BIGINT_ID, USERS_TABLE
from .row import Row
from .schema_model import OWNER, SchemaModel

if TYPE_CHECKING:
    from .sql_model import SqlModel

    Model = SqlModel
else:
    Model = object


class PermissionScoped(SchemaModel):
    """A mixin for a model whose records have an `owner_id`: they are visible to that
    account, and to accounts with the permission `…:read_all`."""

    # The feature whose permissions apply; by default the collection's.
    permission_prefix: ClassVar[str | None] = None

    @classmethod
    def readable(cls) -> dict[str, Any]:
        """Return the scope that the caller may read."""
        return cls._scope("read_all")

    @classmethod
    def writable(cls) -> dict[str, Any]:
        """Return the scope that the caller may change."""
        return cls._scope("write_all")

    @classmethod
    def _scope(cls, permission: str) -> dict[str, Any]:
        permission = f"{cls.permission_prefix or cls.collection}:{permission}"
        everything = permission in g.caller.permissions
        return {} if everything else {"owner_id": g.caller.id}


class Owned(PermissionScoped, Model):
    """A mixin for an SqlModel whose records belong to an account each."""

    read_only = {"owner": OWNER}
    hidden = ("owner_id",)
    scoped_by = ("owner_id",)

    @declared_attr
    def owner_id(cls) -> Mapped[int]:
        key = ForeignKey("users.id", ondelete="CASCADE")
        return mapped_column(BIGINT_ID, key, nullable=False)

    @declared_attr
    def owner(cls) -> Mapped[str]:
        name = select(USERS_TABLE.c.username).where(USERS_TABLE.c.id == cls.owner_id)
        return column_property(name.scalar_subquery())

    @classmethod
    def indexed_fields(cls) -> list[str]:
        """Return the names of the fields that an index serves: all filters except long
        strings."""
        return cls.indexable_filters()

    @classmethod
    def scope_conditions(cls, scope: Mapping[str, Any]) -> list[Any]:
        """Return the conditions of a scope, in which `owner` is as in `resolved`."""
        others = {name: value for name, value in scope.items() if name != "owner"}
        where = super().scope_conditions(others)
        if "owner" in scope:
            where.append(or_(false(), *(cls.owner_id == id for id in scope["owner"])))
        return where

    @classmethod
    def resolve_filters(cls, filters: dict[str, Any]) -> dict[str, Any]:
        """Return the filters, with the owner's name replaced by the ids of all accounts
        that have it, or had it when they were deleted.

        An id is a range of an index; a subquery is not.
        """
        if "owner" not in filters:
            return filters
        owners = read(
            "owners",
            lambda: select(USERS_TABLE.c.id).where(
                USERS_TABLE.c.username == bindparam("name")
            ),
            name=filters["owner"],
        )
        return filters | {"owner": tuple(id for (id,) in owners)}

    @classmethod
    def create(  # type: ignore[override]  # an owned record needs its owner
        cls, owner_id: int, **values: Any
    ) -> Row[Self]:
        """Create a record of the account `owner_id`; otherwise as SqlModel.create."""
        caller = g.get("caller")
        if caller and caller.id == owner_id:
            owner = caller.username  # saves a query
        else:
            rows = read(
                "owner",
                lambda: select(USERS_TABLE.c.username).where(
                    USERS_TABLE.c.id == bindparam("id")
                ),
                id=owner_id,
            )
            owner = rows[0][0] if rows else None  # then the foreign key fails
        return super().create(owner_id=owner_id, owner=owner, **values)
