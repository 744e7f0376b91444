"""The name and the version of the project."""

__version__ = "0.1.0"

TITLE = "Smart device registry"  # of the API documents
EXAMPLE_URL = "https://api.example.com/api/v1/devices"  # example in the API documents
