"""The doctor's checks of the machine, the settings and the stores."""
