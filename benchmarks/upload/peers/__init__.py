"""Whom LedgerLift is measured against, and the servers that they need."""
