"""curate, tokenize and pack."""
