"""What must stay in step: generated code, locks, scripts, imports, the commands in README."""
