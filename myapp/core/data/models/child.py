"""A mixin for models whose records belong to a record of another model."""

from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Column, ForeignKey

from ...errors import NotFound
from ...schema.fields import reference
from .columns import KEY, indexable
from .owned import Owned
from .schema_model import spoken
from .urls import item_url

if TYPE_CHECKING:
    from .sql_model import SqlModel

    Model = SqlModel
else:
    Model = object


class Below(Model):
    """A mixin for an SqlModel whose records belong to a record of another model each.

    They are deleted with that record. An account that may read or change it may read or
    change them.

    `parent`: that model. `above`: the name of the property with the parent's id, which is
    the name of the parent's records, as `smart_lock`.
    """

    parent: "ClassVar[type[SqlModel]]"
    above: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        cls.above = above = spoken(cls.parent).replace(" ", "_")
        cls.scoped_by = cls.unfiltered = (above,)
        cls.read_only = {
            above: reference(f"The {spoken(cls.parent)} that this belongs to.")
        }
        key = ForeignKey(cls.parent.id, ondelete="CASCADE")
        setattr(cls, above, Column(KEY, key, nullable=False))
        super().__init_subclass__(**kwargs)

    @classmethod
    def indexed(cls) -> list[str]:
        """Return the names of the fields that an index serves, as in `Owned`."""
        return indexable(cls.filters)

    @classmethod
    def as_json(cls, record: Any) -> dict[str, Any]:
        """Return the representation of a record, whose URL is below its parent's."""
        above = getattr(record, cls.above)
        collection = f"{cls.parent.collection}/{above}/{cls.collection}"
        return super().as_json(record) | {"url": item_url(collection, record.id)}

    @classmethod
    def readable(cls, id: int) -> dict[str, Any]:
        """Return the scope of the records of the parent `id`.

        Raises NotFound if the caller may not read the parent.
        """
        scope = cls.parent.readable() if issubclass(cls.parent, Owned) else {}
        return {cls.above: cls.parent.get_or_404(id, **scope).id}

    @classmethod
    def writable(cls, id: int) -> dict[str, Any]:
        """Return the same scope, and lock the parent against deletion.

        Raises NotFound if the caller may not change the parent.
        """
        scope = cls.parent.writable() if issubclass(cls.parent, Owned) else {}
        if not cls.parent.is_there(id, **scope):
            raise NotFound
        return {cls.above: id}
