"""Implementations of the domain's ports on real parts."""
