"""One module per revision, in order. A landed one is never edited."""
