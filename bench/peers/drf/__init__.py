"""Django REST Framework with Simple JWT."""
