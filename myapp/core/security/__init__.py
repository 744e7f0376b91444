"""Authentication, permissions, tokens and rate limits."""
