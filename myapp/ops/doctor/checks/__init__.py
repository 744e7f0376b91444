"""The checks that `flask doctor` runs."""
