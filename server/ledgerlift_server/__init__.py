"""The LedgerLift server: documents over gRPC, verified, stored and recorded before they are acknowledged."""

__version__ = "0.1.0"
