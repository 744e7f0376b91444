"""Mixins for models whose records belong to an account."""

from flask import g
from sqlalchemy import Column, ForeignKey, bindparam, false, or_, select
from sqlalchemy.orm import column_property, declared_attr

from ..statements import read
from .columns import KEY, USERS, indexable
from .schema_model import OWNER


class Governed:
    """A mixin for a model whose records have an `owner_id`: they are for that account, and
    for whoever has the permission."""

    # Whose permissions open everybody's; by default the collection's.
    governed_by = None

    @classmethod
    def readable(cls):
        """The scope of what the caller may read."""
        return cls._scope("read_all")

    @classmethod
    def writable(cls):
        """The scope of what the caller may change."""
        return cls._scope("write_all")

    @classmethod
    def _scope(cls, permission):
        permission = f"{cls.governed_by or cls.collection}:{permission}"
        everything = permission in g.caller.permissions
        return {} if everything else {"owner_id": g.caller.id}


class Owned(Governed):
    """A mixin for an SqlModel whose records belong to an account each."""

    read_only = {"owner": OWNER}
    hidden = ("version", "owner_id")
    scoped_by = ("owner_id",)

    @declared_attr
    def owner_id(cls):
        return Column(KEY, ForeignKey("users.id", ondelete="CASCADE"), nullable=False)

    @declared_attr
    def owner(cls):
        name = select(USERS.c.username).where(USERS.c.id == cls.owner_id)
        return column_property(name.scalar_subquery())

    @classmethod
    def indexed(cls):
        """Names of the fields that an index serves: whatever a filter may name, but for
        long texts."""
        return [name for name in indexable(cls.filters) if name != "owner"]

    @classmethod
    def within(cls, scope):
        """The conditions of a scope; `owner` as `resolved` has it."""
        others = {name: value for name, value in scope.items() if name != "owner"}
        where = super().within(others)
        if "owner" in scope:
            where.append(or_(false(), *(cls.owner_id == id for id in scope["owner"])))
        return where

    @classmethod
    def resolved(cls, filters):
        """The filters, with the ids of all accounts that have the owner's name, or had it
        when they went. An id is a range of an index, a sub-select is not."""
        if "owner" not in filters:
            return filters
        owners = read(
            "owners",
            lambda: select(USERS.c.id).where(USERS.c.username == bindparam("name")),
            name=filters["owner"],
        )
        return filters | {"owner": tuple(id for (id,) in owners)}

    @classmethod
    def create(cls, owner_id, **values):
        caller = g.get("caller")
        if caller and caller.id == owner_id:
            owner = caller.username  # no need to look
        else:
            found = read(
                "owner",
                lambda: select(USERS.c.username).where(USERS.c.id == bindparam("id")),
                id=owner_id,
            )
            owner = found[0][0] if found else None  # whom the foreign key refuses
        return super().create(owner_id=owner_id, owner=owner, **values)
