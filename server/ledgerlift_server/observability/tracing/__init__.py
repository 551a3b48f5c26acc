"""OpenTelemetry: only this package knows it, and it is imported only where TRACING_ENABLED says so."""
