"""How Hypothesis runs here: on machines that are shared and slow at times, a slow example is no failure."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("ledgerlift", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ledgerlift")
