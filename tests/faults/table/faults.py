"""What is done to the database and to the store, and how it is undone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults.table.installation import DATABASE, ROLE, STORAGE, Installation

SLOW = 2.0
"""Seconds by which every answer of a slow dependency is late."""
BRIEF, LONG = 6.0, 20.0
"""Seconds that a fault lasts. Long: as it is told by a timeout only, of 10 s (database) and 15 s (store)."""

Act = Callable[[Installation], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """`end` leaves everything as it was before `begin`; `hold` seconds lie between them."""

    dependency: str
    name: str
    begin: Act
    end: Act
    hold: float = BRIEF
    needs_disk: bool = False

    @property
    def title(self) -> str:
        """Names the row."""
        return f"{self.dependency}: {self.name}"


def _nothing(_: Installation) -> None:
    """The dependency comes back by itself."""


def _clear(site: Installation) -> None:
    site.proxy.clear()


def _on_wire(name: str, begin: Callable[[Installation, str], None], hold: float = BRIEF) -> list[Fault]:
    """The same for both: it happens between the server and them."""
    return [
        Fault(DATABASE, name, lambda site: begin(site, DATABASE), _clear, hold),
        Fault(STORAGE, name, lambda site: begin(site, STORAGE), _clear, hold),
    ]


def _refuse_requests(site: Installation) -> None:
    site.proxy.lead_to(STORAGE, site.refusing.address)


def _take_requests(site: Installation) -> None:
    site.proxy.lead_to(STORAGE, site.addresses[STORAGE])


def _refuse_sessions(site: Installation) -> None:
    """What PostgreSQL says when it is full: 53300, to everybody who connects; who is connected is sent away."""
    site.postgres.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
    connected = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'"  # noqa: S608 - ours
    site.postgres.execute(connected)


def _take_sessions(site: Installation) -> None:
    site.postgres.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")


def _read_only(site: Installation) -> None:
    """What a standby says to which an address was moved too early: 25006, to everything that writes."""
    site.postgres.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    site.postgres.execute("SELECT pg_reload_conf()")


def _writable(site: Installation) -> None:
    site.postgres.execute("ALTER SYSTEM RESET default_transaction_read_only")
    site.postgres.execute("SELECT pg_reload_conf()")


def _room_for_postgres(site: Installation) -> None:
    """A PostgreSQL that could not write its log has died of it: it is started by whoever made room."""
    site.disks[DATABASE].empty()
    if not site.postgres.is_running:
        site.postgres.restart()


FAULTS: Sequence[Fault] = [
    Fault(DATABASE, "stopped (SIGSTOP)", lambda s: s.postgres.suspend(), lambda s: s.postgres.resume(), LONG),
    Fault(STORAGE, "stopped (SIGSTOP)", lambda s: s.s3.suspend(), lambda s: s.s3.resume(), LONG),
    Fault(DATABASE, "killed", lambda s: s.postgres.kill(), lambda s: s.postgres.start()),
    Fault(STORAGE, "killed", lambda s: s.s3.kill(), lambda s: s.s3.start()),
    Fault(DATABASE, "restarted", lambda s: s.postgres.restart(), _nothing, 0.0),
    Fault(STORAGE, "restarted", lambda s: s.s3.restart(), _nothing, 0.0),
    *_on_wire("black hole", lambda site, name: site.proxy.black_hole(name), LONG),
    *_on_wire("connections reset", lambda site, name: site.proxy.reset(name)),
    Fault(DATABASE, "full of sessions (53300)", _refuse_sessions, _take_sessions),
    Fault(STORAGE, "503 to everything", _refuse_requests, _take_requests),
    *_on_wire(f"slow ({SLOW:g} s)", lambda site, name: site.proxy.delay(name, SLOW)),
    Fault(DATABASE, "disk full", lambda s: s.disks[DATABASE].fill(), _room_for_postgres, needs_disk=True),
    Fault(
        STORAGE, "disk full", lambda s: s.disks[STORAGE].fill(), lambda s: s.disks[STORAGE].empty(), needs_disk=True
    ),
    Fault(DATABASE, "read-only (25006)", _read_only, _writable),
    Fault(
        STORAGE,
        "read-only disk",
        lambda s: s.disks[STORAGE].read_only(True),
        lambda s: s.disks[STORAGE].read_only(False),
        needs_disk=True,
    ),
]
