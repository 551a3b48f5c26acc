"""The server is killed in the middle of a large upload and started again."""

from __future__ import annotations

from pathlib import Path
from random import Random, SystemRandom

import pytest

from tests.faults.server_kill import kill_in_the_middle
from tests.support.s3 import S3Server
from tests.support.stores import EMBEDDED, KINDS, MIB, Stores, embedded, shared

SIZE = 96 * MIB
"""`./scripts/faults server-killed` takes 1 GiB."""
PART_SIZE = 8 * MIB


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Stores of every kind in turn, with parts as a server has them by default."""
    if request.param == EMBEDDED:
        return embedded(tmp_path, part_size=PART_SIZE)
    s3: S3Server = request.getfixturevalue("s3_server")
    return shared(tmp_path, request.getfixturevalue("postgres_url"), s3.environment(), part_size=PART_SIZE)


async def test_an_upload_goes_on_over_the_death_of_its_server(stores: Stores) -> None:
    """The digest is right, and no more is sent again than the parts that were on their way."""
    seed = SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201 - `./scripts/faults server-killed --size 96 --seed` does the same again
    outcome = await kill_in_the_middle(stores, SIZE, Random(seed))  # noqa: S311 - not to be secret
    assert outcome.problems == []
