"""The same three calls on the same table, each as its own guide teaches.

GET one device; a page of 50 with its total; POST a device. DATABASE_URL names the
database, SECRET_KEY what signs the Bearer tokens whose `sub` is an account's id.
"""
