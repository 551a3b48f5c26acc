"""Uploads over connections that do not live long enough. `./scripts/faults large-uploads` has 100 larger ones."""

from __future__ import annotations

from pathlib import Path
from random import Random, SystemRandom

from tests.faults.claims import broken
from tests.faults.large_uploads import cut_between, cut_uploads
from tests.faults.load.pool import Pool
from tests.support.stores import KIB, MIB, embedded

UPLOADS = 2
AGAIN = 0.3
"""Of a document's bytes, on the wire. A cut costs up to a message and a part, and each document meets one or two."""


async def test_an_upload_succeeds_though_no_connection_carries_it_to_its_end(tmp_path: Path) -> None:
    """Each ends whole and once, with little sent again, where sending it whole never comes to an end."""
    seed = SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201 - the cuts can be had again with it
    fate = cut_between(Random(seed), 4 * MIB, 10 * MIB)  # noqa: S311 - not to be secret
    pool = Pool(2 * UPLOADS, 16 * MIB)
    outcome = await cut_uploads(embedded(tmp_path, part_size=64 * KIB), pool, range(UPLOADS), fate)
    assert broken(outcome.claims("uploads")) == [], outcome
    assert outcome.whole.succeeded == 0
    assert outcome.ours.cuts >= UPLOADS  # each met one at least
    assert outcome.ours.again < AGAIN, outcome.ours
