"""Every setting, out of its range or missing: named, alone or among all others at once, and never repeated."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ledgerlift_server.settings import InvalidSettings, Settings, load

pytestmark = pytest.mark.usefixtures("empty_environment")

SECRET = "hunter2-is-in-the-wrong-place"  # noqa: S105 - what no message may repeat
LONGEST_TIMEOUT, LONGEST_AGE = 1_728_000, 3_153_600_000
"""Seconds: 20 days, of which the milliseconds fit PostgreSQL's integer; and a hundred years."""

BOOLEAN = ("perhaps", "2")
NOT_NEGATIVE = ("-0.001", "inf", "nan", "soon", str(LONGEST_TIMEOUT + 1))
SECONDS = ("0", *NOT_NEGATIVE)
AGE = ("0", "-1", "inf", "nan", "old", str(LONGEST_AGE + 1))
COUNT = ("0", "-1", "1.5", "many")
SIZE = ("0", "-1MiB", "8 parsecs", "big", "8EiB")
PERCENT = ("0", "-1", "100.1", "nan", "half")
FILE_OF_SECRET = "a file that is not there"  # noqa: S105 - stands for a file

TABLE: dict[str, tuple[str, ...]] = {
    "environment": ("live",),
    **dict.fromkeys(
        (
            *("allow_embedded_in_production", "allow_plaintext_in_production"),
            *("allow_default_credentials_in_production", "s3_create_bucket", "s3_sign_payload"),
            *("enable_request_logging", "enable_performance_monitoring", "enable_reflection", "enable_channelz"),
            "tracing_enabled",
        ),
        BOOLEAN,
    ),
    **dict.fromkeys(
        ("grpc_address", "metrics_address"),
        ("50051", "localhost", "localhost:65536", "localhost:٣٤", "::1:50051", "a b:1"),
    ),
    "auth_mode": ("password",),
    "database_url": (
        "mysql://db/l",
        "not a url",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://db:65536/l",
        FILE_OF_SECRET,
    ),
    "db_pool_size": (*COUNT, "1025"),
    "db_max_overflow": ("-1", "some", "1025"),
    **dict.fromkeys(("db_failure_threshold", "s3_failure_threshold", "upload_parts_in_flight"), COUNT),
    **dict.fromkeys(
        (
            *("max_concurrent_uploads", "max_concurrent_downloads", "max_concurrent_watches"),
            "max_concurrent_queries",
        ),
        COUNT,
    ),
    **dict.fromkeys(
        (
            *("db_pool_timeout", "db_connect_timeout", "db_statement_timeout", "db_lock_timeout", "db_slow_query"),
            *("db_recovery_timeout", "s3_connect_timeout", "s3_read_timeout", "s3_complete_timeout", "s3_client_ttl"),
            *("s3_recovery_timeout", "upload_budget_wait", "upload_stall_timeout", "default_request_timeout"),
            "grpc_max_connection_age",
            *("upload_timeout", "health_cache_ttl", "health_check_timeout", "startup_timeout", "shutdown_grace"),
        ),
        SECONDS,
    ),
    "shutdown_delay": NOT_NEGATIVE,
    **dict.fromkeys(
        (
            *("db_pool_recycle", "upload_session_lifetime", "request_id_lifetime", "janitor_interval"),
            *("janitor_drift_interval", "janitor_orphan_age"),
        ),
        AGE,
    ),
    "s3_prefix": ("no-slash", "/first/"),
    "s3_endpoint": (
        *("s3.example:9000", "ftp://s3.example", "https://s3.example/path", "https://:9000", "http://s3:65536"),
        *(f"https://key:{SECRET}@s3.example", f"https://s3.example?secret={SECRET}", f"https://s3.example#{SECRET}"),
    ),
    "s3_sse": ("AES", "kms"),
    "s3_max_connections": (*COUNT, "1025"),
    **dict.fromkeys(("aws_access_key_id", "aws_secret_access_key", "aws_session_token"), (FILE_OF_SECRET,)),
    **dict.fromkeys(("max_file_size", "upload_part_size", "upload_segment_size", "upload_memory_budget"), SIZE),
    "max_message_size": (*SIZE, "127KiB", "1025MiB"),
    "upload_window": (*SIZE, "63KiB", "65MiB"),
    "allowed_content_types": ("pdf", "image/", "Image/PNG", "*/png", ","),
    "log_level": ("TRACE",),
    "log_format": ("xml",),
    "otel_traces_exporter": ("jaeger",),
    "otel_exporter_otlp_protocol": ("udp",),
    "readiness_checks": ("redis", "none,database", ","),
    **dict.fromkeys(("high_cpu_percent", "high_memory_percent", "high_disk_percent"), PERCENT),
}
"""By setting: values of which none is right, whatever the others are."""

MISSING: dict[str, dict[str, str]] = {
    "s3_bucket": {"S3_ENDPOINT": "http://s3:9000"},
    "s3_kms_key_id": {"S3_BUCKET": "b", "S3_SSE": "AES256", "S3_KMS_KEY_ID": "k"},
    "grpc_tls_cert": {"GRPC_TLS_KEY": "/tls/tls.key"},
    "grpc_tls_key": {"GRPC_TLS_CERT": "/tls/tls.crt"},
    "grpc_tls_client_ca": {"GRPC_TLS_CLIENT_CA": "/tls/ca.crt"},
}
"""Settings that take any text, in an environment that is wrong for want of them or of what belongs to them."""
NEVER_WRONG = {
    "data_dir": "any path may be meant; one that cannot be made is told at the start",
    "aws_region": "any name may be a region of some store",
}


def variable(name: str, value: str) -> tuple[str, str]:
    """How an environment says it."""
    return (f"{name.upper()}_FILE", f"/{SECRET}") if value == FILE_OF_SECRET else (name.upper(), value)


def test_every_setting_is_in_the_table() -> None:
    """A new one gets its wrong values, or a reason why it has none."""
    told = [*TABLE, *MISSING, *NEVER_WRONG]
    assert sorted(told) == sorted(Settings.model_fields)


@pytest.mark.parametrize("name", TABLE)
def test_a_wrong_value_is_named_and_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each one alone, by its variable, with what would be right."""
    for value in TABLE[name]:
        with monkeypatch.context() as environment:
            environment.setenv(*variable(name, value))
            with pytest.raises(InvalidSettings) as caught:
                load()
        (problem,) = caught.value.problems
        assert problem.name == name.upper(), value
        assert SECRET not in str(caught.value)
        if len(value) > 4:  # a shorter one may well be part of the sentence
            assert value not in problem.sentence


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What belongs together is asked for together."""
    for variable_name, value in MISSING[name].items():
        monkeypatch.setenv(variable_name, value)
    with pytest.raises(InvalidSettings, match=name.upper()):
        load()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("db_statement_timeout", ("0.001", str(LONGEST_TIMEOUT))),
        ("janitor_orphan_age", ("0.001", str(LONGEST_AGE))),
        ("db_pool_size", ("1", "1024")),
        ("db_max_overflow", ("0", "1024")),
        ("shutdown_delay", ("0",)),
        ("max_message_size", ("128KiB", "1GiB")),
        ("upload_window", ("64KiB", "64MiB")),
        ("high_cpu_percent", ("0.1", "100")),
    ],
)
def test_the_ends_of_a_range_belong_to_it(
    monkeypatch: pytest.MonkeyPatch, name: str, values: tuple[str, ...]
) -> None:
    """Nothing is refused that is right."""
    for value in values:
        monkeypatch.setenv(name.upper(), value)
        load()


def test_everything_wrong_at_once_is_one_message_and_exit_code_2() -> None:
    """All by name, nothing of what they hold, and no traceback: what an operator sees who got it all wrong."""
    any_text = {name for name, values in TABLE.items() if values == (FILE_OF_SECRET,)}
    wrong = dict(variable(name, FILE_OF_SECRET if name in any_text else SECRET) for name in TABLE)
    done = subprocess.run(
        [sys.executable, "-m", "ledgerlift_server", "serve"],
        env={"PATH": os.environ.get("PATH", ""), **wrong},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    first, *lines = done.stderr.splitlines()
    assert first == f"ledgerlift-server: {len(TABLE)} settings are wrong:"
    assert sorted(line.split(":")[0].strip().lower() for line in lines) == sorted(TABLE)
    assert SECRET not in done.stderr
