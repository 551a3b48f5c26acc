"""What the server knows of its own health, and says to whoever asks."""
