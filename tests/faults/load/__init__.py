"""The server under load: what it promises for memory, for a drain, and for callers beside stalled ones."""
