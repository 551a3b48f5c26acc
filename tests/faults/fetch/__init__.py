"""Failure to fetch, measured: the same operations by plain stubs and by our client, over the same bad network."""
