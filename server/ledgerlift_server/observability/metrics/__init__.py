"""What the process tells Prometheus: one registry, made in `metrics_setup.py`, and what puts numbers into it.

Nearly everything is counted where it happens anyway, by the breaker, the bulkhead, the janitor. The collectors read
those counts when a scrape asks, on the scrape's own thread, and keep none. docs/metrics.md explains every metric.
"""
