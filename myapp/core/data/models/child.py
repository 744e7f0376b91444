"""A mixin for models whose records belong to a record of another model."""

from sqlalchemy import Column, ForeignKey

from ...errors import NotFound
from ...schema.fields import reference
from .columns import KEY, indexable
from .owned import Owned
from .schema_model import spoken
from .urls import item_url


class Below:
    """A mixin for an SqlModel whose records hang below a thing of another model each, and
    go with it: they are for whoever may read or change that.

    `parent`: that model. A record shows which one it hangs below as `above`, by default
    what the parent's things are called, as `smart_lock`.
    """

    parent = None

    def __init_subclass__(cls, **kwargs):
        cls.above = above = spoken(cls.parent).replace(" ", "_")
        cls.scoped_by = cls.unfiltered = (above,)
        cls.read_only = {
            above: reference(f"The {spoken(cls.parent)} that it belongs to.")
        }
        key = ForeignKey(cls.parent.id, ondelete="CASCADE")
        setattr(cls, above, Column(KEY, key, nullable=False))
        super().__init_subclass__(**kwargs)

    @classmethod
    def indexed(cls):
        """Names of the fields that an index serves, as in `Owned`."""
        return indexable(cls.filters)

    @classmethod
    def as_json(cls, record):
        above = getattr(record, cls.above)
        collection = f"{cls.parent.collection}/{above}/{cls.collection}"
        return super().as_json(record) | {"url": item_url(collection, record.id)}

    @classmethod
    def readable(cls, id):
        """The scope of what hangs below the thing `id`. Raises 404 where the caller may not
        read that."""
        scope = cls.parent.readable() if issubclass(cls.parent, Owned) else {}
        return {cls.above: cls.parent.get_or_404(id, **scope).id}

    @classmethod
    def writable(cls, id):
        """The same, where they may change it; it stays until this transaction ends."""
        scope = cls.parent.writable() if issubclass(cls.parent, Owned) else {}
        if not cls.parent.is_there(id, **scope):
            raise NotFound
        return {cls.above: id}
