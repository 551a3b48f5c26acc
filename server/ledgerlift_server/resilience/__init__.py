"""How LedgerLift behaves when something is slow, full or gone. Standard library only."""
