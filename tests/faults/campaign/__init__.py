"""Clients of every kind at work, faults of every kind among them, and afterwards what must hold in any case."""
