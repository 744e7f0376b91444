"""The same three calls on the same table, as the guide of each framework teaches.

GET one device; a page of 50 with its total; POST a device. DATABASE_URL names the
database; SECRET_KEY signs the Bearer tokens, whose `sub` is the id of an account.
"""
