"""`.env.example` and `.env.prod.example` name every setting once, explain it, and do not drift from the class."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledgerlift_server.settings import InvalidSettings, Settings, load

from tests.repo.env_files import defaults_of, settings_of, unexplained
from tests.support.server import IsolatedSettings
from tests.support.tools import ROOT

pytestmark = pytest.mark.usefixtures("empty_environment")

DEVELOPMENT, PRODUCTION = ROOT / ".env.example", ROOT / ".env.prod.example"
SECRETS = ("DATABASE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
FILLED_IN = {"database_url": "postgresql://db/ledger", "s3_bucket": "documents"}
"""What production cannot do without."""


@pytest.mark.parametrize("file", [DEVELOPMENT, PRODUCTION], ids=lambda file: file.name)
def test_every_setting_is_there_and_nothing_else(file: Path) -> None:
    """A new setting is not done before an operator can read of it. A secret may stand there as its file."""
    names = [*settings_of(file), *defaults_of(file)]
    assert sorted(name.removesuffix("_FILE") for name in names) == sorted(map(str.upper, Settings.model_fields))
    assert unexplained(file) == []


@pytest.mark.parametrize("file", [DEVELOPMENT, PRODUCTION], ids=lambda file: file.name)
def test_the_defaults_are_those_that_count(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """With every line behind a `#` taken as it stands, nothing is different from not setting anything."""
    for name, value in defaults_of(file).items():
        monkeypatch.setenv(name, value)
    assert dict(load()) == dict(IsolatedSettings())


@pytest.mark.parametrize("file", [DEVELOPMENT, PRODUCTION], ids=lambda file: file.name)
def test_no_password_stands_there(file: Path) -> None:
    """What is copied unread is no credential."""
    given = settings_of(file) | defaults_of(file)
    assert {name: value for name, value in given.items() if name in SECRETS and value} == {}


def test_development_needs_nothing() -> None:
    """No line of it has to be filled in."""
    assert settings_of(DEVELOPMENT) == {}


def test_production_says_what_is_still_to_be_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken as it stands it starts nothing; it names what is empty, and each secret whose file is not there."""
    for name, value in settings_of(PRODUCTION).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as refused:
        load()
    found = {problem.name: problem.sentence for problem in refused.value.problems}
    assert set(found) == {"S3_BUCKET", "DATABASE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert all("_FILE" in sentence for name, sentence in found.items() if name != "S3_BUCKET")


def test_production_says_only_what_is_not_the_default() -> None:
    """A line that sets the default says that there is something to know, where there is not."""
    defaults = dict(IsolatedSettings())
    chosen = {name: value for name, value in settings_of(PRODUCTION).items() if value and not name.endswith("_FILE")}
    given = IsolatedSettings(**{name.lower(): value for name, value in chosen.items()} | FILLED_IN)
    # The window is said because the memory of a container is counted with it.
    same = {name for name in chosen if getattr(given, name.lower()) == defaults[name.lower()]} - {"UPLOAD_WINDOW"}
    assert same == set()
