"""Settings of sign-in and sign-up."""

REGISTRATION_OPEN = True  # whether anybody may sign up
