"""The template of the report, as data."""
