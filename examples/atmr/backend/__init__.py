"""ATMR API: a small Flask application whose secrets live in a vault."""
