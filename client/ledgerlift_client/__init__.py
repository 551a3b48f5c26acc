"""The LedgerLift client."""
