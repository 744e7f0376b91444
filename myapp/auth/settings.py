"""Settings of sign-in and sign-up."""

REGISTRATION_OPEN = True  # whether everybody can sign up
