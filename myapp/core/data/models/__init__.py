"""The model protocol, in two forms: SqlModel and RedisModel.

Both have the same methods, so an endpoint works with either:

    get_or_404(id, **scope)   return a record to read
    lock_or_404(id, **scope)  return a record to change; other requests cannot change it
    create(**values)          create a record; return it, to read
    page(page, **scope)       return a PageResult: the records of a page
    as_json(record)           return the representation of a record, as in `read_schema`
    record.update(**values)   change the record
    record.delete()           delete the record

A scope names values that a record must have, as `owner_id=5`. A feature defines
`write_schema`, `sortable`, and a name as `__tablename__` or `keyspace`; everything else
follows from these.
"""
