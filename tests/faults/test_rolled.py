"""Two replicas in production's configuration, rolled under load. `./scripts/faults rolled` has more of everything."""

from __future__ import annotations

from pathlib import Path
from random import SystemRandom

import pytest

from tests.faults.claims import broken
from tests.faults.rolled.campaign import rolled, upgrade
from tests.faults.rolled.site import Site
from tests.support.stores import MIB


@pytest.mark.timeout(600)
async def test_an_upgrade_costs_callers_nothing(tmp_path: Path) -> None:
    """Mutual TLS, one name for two addresses; a migration, then one replica after the other: nobody's call fails."""
    seed = SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201 - the operations can be had again with it
    with Site.running(tmp_path, SHUTDOWN_DELAY="0.5") as site:
        outcome = await rolled(site, seed, [upgrade(site)], callers=2, plain=0, pace=0.2, slow_size=16 * MIB)
    assert outcome.wrong == []
    assert broken(outcome.claims) == [], outcome.failed
    assert "newer may run on it" in outcome.migrated
