"""Schema migrations, run by `adapters/sql/schema.py`."""
