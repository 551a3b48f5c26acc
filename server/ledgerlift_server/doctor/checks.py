"""Everything that is looked at, in the order of the table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ledgerlift_server.doctor import database, storage
from ledgerlift_server.doctor.certificates import look_at_tls
from ledgerlift_server.doctor.examination import Check
from ledgerlift_server.doctor.machine import look_at_descriptors, look_at_disk, look_at_versions
from ledgerlift_server.doctor.memory import look_at_memory
from ledgerlift_server.doctor.ports import look_at_port
from ledgerlift_server.settings import Settings

SHARE = 0.8
"""Of the time limit, for what can say itself why it was not answered: its row is better than that of the limit."""


def checks(settings: Settings, *, replicas: int, limit: float) -> Sequence[Check]:
    """`replicas` is how many servers share the database, `limit` in seconds what all of it takes at the most."""
    own = SHARE * limit
    disk = "the file system of DATA_DIR hangs: look at its device or its server"
    files = "the file system of the TLS files hangs: look at its device or its server"
    name = "the name of the address cannot be resolved: use a number, or mend the resolver"
    return (
        Check("version", look_at_versions, "look at the machine: nothing is asked here"),
        Check(
            "database", partial(database.look_at_database, settings, replicas=replicas, limit=own), database.ADVICE
        ),
        Check("store", partial(storage.look_at_store, settings, limit=own), storage.ADVICE),
        Check("disk", partial(look_at_disk, settings), disk),
        Check("memory", partial(look_at_memory, settings), "look at the machine: nothing is asked here"),
        Check(
            "file descriptors", partial(look_at_descriptors, settings), "look at the machine: nothing is asked here"
        ),
        Check("port of GRPC_ADDRESS", partial(look_at_port, "GRPC_ADDRESS", settings.grpc_address), name),
        Check("port of METRICS_ADDRESS", partial(look_at_port, "METRICS_ADDRESS", settings.metrics_address), name),
        Check("TLS", partial(look_at_tls, settings.tls_files), files),
    )
