"""Every fault of the database and of the store, one after the other, under a steady load: what callers see of it."""
