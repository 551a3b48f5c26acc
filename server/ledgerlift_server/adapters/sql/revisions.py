"""What this version knows of schemas, and which of them it may run on. Reads the migrations, never a database.

Every migration says its phase. An *expansion* adds what servers of the revision before it need not know of; they
go on. A *contraction* takes away what some servers still use, and says which is the least that does not:

    0007  expand                          a column is added; from here on servers write both
    0008  contract  least_server = 0007   the old column goes; a server made for 0006 would fail

The database carries its own revision and the least revision that a server has to be made for. So a server tells of
a schema that it has never heard of whether it may run on it: where it knows the least one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.script import Script, ScriptDirectory

MIGRATIONS = Path(__file__).parent / "migrations"

EXPAND, CONTRACT = "expand", "contract"


class SchemaMismatch(Exception):
    """The database is not at a schema that this version can work with. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What a database says of its schema; None where it says nothing."""

    revision: str | None
    least_server: str | None


@dataclass(frozen=True, slots=True)
class Revision:
    """One migration. `least_server`: the least revision that a server has to be made for to run behind it."""

    name: str
    contracts: bool
    least_server: str


@dataclass(frozen=True, slots=True)
class KnownSchemas:
    """The revisions of this version, oldest first."""

    revisions: tuple[Revision, ...]

    @property
    def newest(self) -> str:
        """What a server of this version is made for."""
        return self.revisions[-1].name

    @property
    def needed(self) -> str:
        """The least that a server of this version can work with: contractions at the end may come later."""
        return next(one.name for one in reversed(self.revisions) if not one.contracts)

    def find(self, name: str | None) -> Revision | None:
        """None for one that this version does not know."""
        return next((one for one in self.revisions if one.name == name), None)

    def is_older(self, name: str, than: str) -> bool:
        """Whether `name` comes before `than`. One that is not known is of a newer version."""
        names = [one.name for one in self.revisions]
        newer = len(names)
        return (names.index(name) if name in names else newer) < (names.index(than) if than in names else newer)

    def after(self, name: str | None) -> Iterable[Revision]:
        """Those behind `name`, in their order; all for None."""
        names = [one.name for one in self.revisions]
        return self.revisions[0 if name is None else names.index(name) + 1 :]

    def refuse_unfit(self, marks: Marks) -> None:
        """Raise SchemaMismatch unless a server of this version may run on a database with these marks."""
        if marks.revision is None:
            raise SchemaMismatch(f"the database has no schema, this version needs {self.needed}: migrate it first")
        if self.find(marks.revision) is None:
            self.refuse_contracted(marks)
        elif self.is_older(marks.revision, self.needed):
            raise SchemaMismatch(
                f"the database is at schema {marks.revision}, this version needs {self.needed}: migrate it first"
            )

    def refuse_contracted(self, marks: Marks) -> None:
        """Raise SchemaMismatch where a schema that is not known here wants newer servers."""
        if self.find(marks.least_server) is None:
            wants = f"newer servers: {marks.least_server} at the least" if marks.least_server else "another version"
            raise SchemaMismatch(
                f"the database is at schema {marks.revision}, which this version (made for {self.newest}) does not "
                f"know and which wants {wants}"
            )


def load_schemas(folder: Path = MIGRATIONS) -> KnownSchemas:
    """Of the migrations in `folder`. Raises ValueError for one that does not say its phase properly."""
    known: list[Revision] = []
    for script in reversed(list(scripts_in(folder).walk_revisions())):
        known.append(_revision(script, known[-1] if known else None))
    return KnownSchemas(tuple(known))


@cache
def own_schemas() -> KnownSchemas:
    """Of this version; read once."""
    return load_schemas()


def scripts_in(folder: Path) -> ScriptDirectory:
    """Alembic's view of `folder`."""
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return ScriptDirectory.from_config(config)


def _revision(script: Script, before: Revision | None) -> Revision:
    if before is None:  # it makes everything: no server is older
        return Revision(script.revision, contracts=False, least_server=script.revision)
    phase, least = (getattr(script.module, name, None) for name in ("phase", "least_server"))
    if phase == EXPAND and least is None:
        return Revision(script.revision, contracts=False, least_server=before.least_server)
    if phase == CONTRACT and isinstance(least, str):
        return Revision(script.revision, contracts=True, least_server=least)
    raise ValueError(f"migration {script.revision}: `phase` is `expand`, or `contract` with a `least_server`")
