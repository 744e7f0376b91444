"""The name and the version of the project."""

__version__ = "0.1.0"

TITLE = "Smart device registry"  # of the documents
EXAMPLE_URL = "https://api.example.com/api/v1/devices"  # of a page, in the documents
