"""Settings of sign-in and sign-up."""

REGISTRATION_OPEN = True  # whether every client can sign up
