"""`S3Options` refuse what could never work, and never show a secret."""

from __future__ import annotations

from typing import Any

import pytest
from ledgerlift_server.adapters.s3 import S3Options


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"bucket": ""}, "bucket"),
        ({"endpoint": "localhost:7070"}, "endpoint"),
        ({"prefix": "no-slash"}, "prefix"),
        ({"prefix": "/rooted/"}, "prefix"),
        ({"prefix": "a/../"}, "prefix"),
        ({"access_key_id": "only-this"}, "secret_access_key"),
        ({"secret_access_key": "only-this"}, "access_key_id"),
        ({"kms_key_id": "a-key"}, "kms_key_id"),
        ({"kms_key_id": "a-key", "sse": "AES256"}, "kms_key_id"),
        ({"max_connections": 0}, "max_connections"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"connect_timeout": 0.0}, "connect_timeout"),
        ({"read_timeout": float("inf")}, "read_timeout"),
        ({"client_ttl": float("nan")}, "client_ttl"),
        ({"complete_timeout": -1}, "complete_timeout"),
    ],
)
def test_what_could_never_work_is_refused(wrong: dict[str, Any], field: str) -> None:
    """With the name of the field."""
    with pytest.raises(ValueError, match=field):
        S3Options(**({"bucket": "documents"} | wrong))


def test_secrets_are_not_shown() -> None:
    """Options stand in tracebacks."""
    secret, token = "a-secret-key", "a-session-token"
    shown = repr(S3Options("documents", access_key_id="who", secret_access_key=secret, session_token=token))
    assert secret not in shown
    assert token not in shown


def test_names_and_keys() -> None:
    """A name is a key without the prefix, however often the prefix occurs in it."""
    options = S3Options("documents", prefix="team/docs/")
    assert options.key("team/docs/a") == "team/docs/team/docs/a"
    assert options.name(options.key("team/docs/a")) == "team/docs/a"
