"""What LedgerLift is about, on nothing but the standard library: models, ports, and the upload's rules."""
