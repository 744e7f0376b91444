"""A mixin for models whose records belong to a record of another model."""

from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Column, ForeignKey

from ...errors import NotFound
from ...schema.fields import reference
from .columns import BIGINT_ID
from .owned import Owned
from .schema_model import human_name
from .urls import item_url

if TYPE_CHECKING:
    from .sql_model import SqlModel

    Model = SqlModel
else:
    Model = object


class ChildOf(Model):
    """A mixin for an SqlModel whose records belong to a record of another model each.

    They are deleted with that record. An account that may read or change it may read or
    change them.

    `parent`: that model. `parent_field`: the name of the property with the parent's id,
    which is the name of the parent's records, as `smart_lock`.
    """

    parent: "ClassVar[type[SqlModel]]"
    parent_field: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        cls.parent_field = parent_field = human_name(cls.parent).replace(" ", "_")
        cls.scoped_by = (parent_field,)
        cls.unfilterable = (parent_field, *cls.__dict__.get("unfilterable", ()))
        about = f"The {human_name(cls.parent)} that this belongs to."
        own = cls.__dict__.get("read_only", {})
        cls.read_only = {parent_field: reference(about), **own}
        key = ForeignKey(cls.parent.id, ondelete="CASCADE")
        setattr(cls, parent_field, Column(BIGINT_ID, key, nullable=False))
        super().__init_subclass__(**kwargs)

    @classmethod
    def indexed_fields(cls) -> list[str]:
        """Return the names of the fields that an index serves, as in `Owned`."""
        return cls.indexable_filters()

    @classmethod
    def as_json(cls, record: Any) -> dict[str, Any]:
        """Return the representation of a record, whose URL is below its parent's."""
        parent_id = getattr(record, cls.parent_field)
        collection = f"{cls.parent.collection}/{parent_id}/{cls.collection}"
        return super().as_json(record) | {"url": item_url(collection, record.id)}

    @classmethod
    def readable(cls, id: int) -> dict[str, Any]:
        """Return the scope of the records of the parent `id`.

        Raises NotFound if the caller may not read the parent.
        """
        scope = cls.parent.readable() if issubclass(cls.parent, Owned) else {}
        return {cls.parent_field: cls.parent.get_or_404(id, **scope).id}

    @classmethod
    def writable(cls, id: int) -> dict[str, Any]:
        """Return the same scope, and lock the parent against deletion.

        Raises NotFound if the caller may not change the parent.
        """
        scope = cls.parent.writable() if issubclass(cls.parent, Owned) else {}
        if not cls.parent.lock_exists(id, **scope):
            raise NotFound
        return {cls.parent_field: id}
