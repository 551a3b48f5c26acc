"""Schema migrations, run by `adapters/sql/migrate.py`."""
