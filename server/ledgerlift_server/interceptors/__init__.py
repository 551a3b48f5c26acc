"""What happens around every call, one concern a file. `chain.py` shows the order."""
