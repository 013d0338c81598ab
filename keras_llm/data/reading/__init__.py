"""Files of every kind become `Document`s: one file here for each concern."""
