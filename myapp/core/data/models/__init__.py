"""The model protocol, in two forms: SqlModel and RedisModel.

Both know the same words, so an endpoint need not know which one it talks to:

    get_or_404(id, **scope)   a record to read
    lock_or_404(id, **scope)  a record to change; nobody changes it in between
    create(**values)          a new record, to read
    page(page, **scope)       a Found: the records of a page
    as_json(record)           what a client reads, by `read_schema`
    record.update(**values)   change it
    record.delete()           be rid of it

A scope is what a record must be equal in, as `owner_id=5`. A slice says `write_schema`,
`sortable`, and its name as `__tablename__` or `keyspace`; the rest follows from these.
"""
