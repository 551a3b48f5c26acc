"""What a database holds, as a server that was made for it relies on it, and what of that another one takes away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ledgerlift_server.adapters.sql.engine import normalise
from sqlalchemy import Connection, NullPool, create_engine, inspect, text


@dataclass(frozen=True, slots=True)
class Column:
    """`filled`: whoever inserts a row may leave it out."""

    type: str
    nullable: bool
    filled: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Indexes and checks by what they say, not by their names; `unique` and `checks` are what may refuse a row."""

    columns: dict[str, Column]
    primary_key: tuple[str, ...]
    unique: frozenset[str]
    indexes: frozenset[str]
    checks: frozenset[str]
    foreign_keys: frozenset[str]


Shape = dict[str, Table]


def shape_of(url: str) -> Shape:
    """Of all tables of the database at `url`."""
    engine = create_engine(normalise(url), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            return shape_in(connection)
    finally:
        engine.dispose()


def shape_in(connection: Connection) -> Shape:
    """As this connection sees it, in the middle of a transaction as well."""
    looked_at = inspect(connection)
    found = _Found(
        *(
            {name: rows for (_, name), rows in one.items()}
            for one in (
                looked_at.get_multi_columns(),
                looked_at.get_multi_pk_constraint(),
                looked_at.get_multi_indexes(),
                looked_at.get_multi_check_constraints(),
                looked_at.get_multi_foreign_keys(),
            )
        ),
        _conditions(connection),
    )
    return {name: _table(found, name) for name in found.columns}


def narrowings(before: Shape, after: Shape) -> list[str]:
    """What a server that was made for `before` would miss in `after`, or be refused by it; a sentence each."""
    found = [f"table {name} is gone" for name in before.keys() - after.keys()]
    for name in before.keys() & after.keys():
        found += [f"{name}: {what}" for what in _of_table(before[name], after[name])]
    return sorted(found)


def _of_table(before: Table, after: Table) -> Iterator[str]:
    for name, column in before.columns.items():
        now = after.columns.get(name)
        if now is None:
            yield f"column {name} is gone"
            continue
        if now.type != column.type:
            yield f"column {name} was {column.type} and is {now.type}"
        if column.nullable and not now.nullable:
            yield f"column {name} may not be NULL any more"
        if column.filled and not now.filled:
            yield f"column {name} has to be given now"
    for name in after.columns.keys() - before.columns.keys():
        if not after.columns[name].filled:
            yield f"new column {name} has to be given"
    if after.primary_key != before.primary_key:
        yield "the primary key is another"
    # A unique index is also what ON CONFLICT names, a plain one what keeps a query fast: neither may go.
    for what, old, new in (("unique index", before.unique, after.unique), ("check", before.checks, after.checks)):
        yield from (f"{what} {one} is new" for one in new - old)
    yield from (f"foreign key {one} is new" for one in after.foreign_keys - before.foreign_keys)
    yield from (f"index {one} is gone" for one in (before.unique | before.indexes) - (after.unique | after.indexes))


@dataclass(frozen=True, slots=True)
class _Found:
    """What SQLAlchemy tells, by table; `conditions` of partial indexes by their names."""

    columns: dict[str, Any]
    keys: dict[str, Any]
    indexes: dict[str, Any]
    checks: dict[str, Any]
    foreign_keys: dict[str, Any]
    conditions: dict[str, str]


def _table(found: _Found, name: str) -> Table:
    columns = {}
    key = tuple(found.keys[name]["constrained_columns"])
    for column in found.columns[name]:
        counted = column["name"] in key and str(column["type"]) in ("INTEGER", "BIGINT")
        filled = bool(column["nullable"] or column.get("default") is not None or counted)
        columns[column["name"]] = Column(str(column["type"]), bool(column["nullable"]), filled)
    indexes: dict[bool, set[str]] = {True: set(), False: set()}
    for index in found.indexes[name]:
        where = found.conditions.get(str(index["name"]), "")
        indexes[bool(index["unique"])].add(f"({', '.join(map(str, index['column_names']))}){where}")
    return Table(
        columns,
        key,
        frozenset(indexes[True]),
        frozenset(indexes[False]),
        frozenset(str(check["sqltext"]) for check in found.checks[name]),
        frozenset(map(_foreign_key, found.foreign_keys[name])),
    )


def _foreign_key(found: Any) -> str:
    there = f"{found['referred_table']}({', '.join(found['referred_columns'])})"
    return f"({', '.join(found['constrained_columns'])}) to {there}"


def _conditions(connection: Connection) -> dict[str, str]:
    catalogue = (
        "SELECT name, sql AS definition FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if connection.dialect.name == "sqlite"
        else "SELECT indexname AS name, indexdef AS definition FROM pg_indexes WHERE schemaname = 'public'"
    )
    rows = connection.execute(text(catalogue)).all()
    split = {name: definition.partition(" WHERE ") for name, definition in rows}
    # PostgreSQL writes brackets around a condition.
    return {name: f" WHERE {condition.strip('()')}" for name, (_, there, condition) in split.items() if there}
