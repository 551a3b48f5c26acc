"""Settings: what the environment may say, and how it is told that something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledgerlift_server.domain.upload_options import MIB
from ledgerlift_server.settings import InvalidSettings, Settings, load

pytestmark = pytest.mark.usefixtures("empty_environment")

ANY_TEXT = {
    "s3_bucket",
    "s3_kms_key_id",
    "aws_region",
    "data_dir",
    "grpc_tls_cert",
    "grpc_tls_key",
    "grpc_tls_client_ca",
}
"""Settings that take any text."""
SECRET = "hunter2"  # noqa: S105 - the value that no message may repeat


def load_with(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> Settings:
    """The settings of a process that is started with `environment`."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load()


def problems_with(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> dict[str, str]:
    """What is wrong with `environment`, by variable."""
    with pytest.raises(InvalidSettings) as caught:
        load_with(monkeypatch, environment)
    return {problem.name: problem.sentence for problem in caught.value.problems}


def test_nothing_set_serves_from_one_folder_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any variable: loopback, SQLite and files under DATA_DIR."""
    settings = load_with(monkeypatch, {})
    assert (settings.grpc_address, settings.host) == ("127.0.0.1:50051", "127.0.0.1")
    assert settings.embedded_database
    assert settings.s3_bucket is None
    assert settings.sqlalchemy_url == f"sqlite:///{Path('data').absolute()}/ledgerlift.db"


@pytest.mark.parametrize(
    ("environment", "field", "expected"),
    [
        ({"UPLOAD_PART_SIZE": "16MiB"}, "upload_part_size", 16 * MIB),
        ({"MAX_FILE_SIZE": "1048576"}, "max_file_size", MIB),
        ({"ALLOWED_CONTENT_TYPES": "image/*, text/plain"}, "allowed_content_types", ("image/*", "text/plain")),
        ({"ALLOWED_CONTENT_TYPES": ""}, "allowed_content_types", ("*/*",)),
        ({"LOG_LEVEL": "debug"}, "log_level", "DEBUG"),
        ({"AWS_DEFAULT_REGION": "eu-central-1"}, "aws_region", "eu-central-1"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-central-1"}, "aws_region", "eu-west-1"),
        ({"GRPC_ADDRESS": "[::1]:0"}, "host", "::1"),
        ({"GRPC_ADDRESS": "10.0.0.1:50051", "AUTH_MODE": "none"}, "host", "10.0.0.1"),
        ({"DATABASE_URL": "postgresql://u:p@db/l"}, "embedded_database", False),
        ({"DATABASE_URL": "sqlite:////tmp/x.db"}, "embedded_database", True),
        ({"S3_BUCKET": "arn:aws:s3:eu-west-1:1:accesspoint/a"}, "s3_bucket", "arn:aws:s3:eu-west-1:1:accesspoint/a"),
        ({"S3_BUCKET": "b", "S3_ENDPOINT": "https://[::1]:9000/"}, "s3_endpoint", "https://[::1]:9000/"),
        ({"S3_BUCKET": "b", "S3_SSE": "aws:kms", "S3_KMS_KEY_ID": "k"}, "s3_sse", "aws:kms"),
        ({"UPLOAD_STALL_TIMEOUT": "0.5"}, "upload_stall_timeout", 0.5),
        ({"READINESS_CHECKS": "Database, system"}, "readiness_checks", ("database", "system")),
        ({"READINESS_CHECKS": "none"}, "readiness_checks", ()),
        ({"READINESS_CHECKS": ""}, "readiness_checks", ("database", "storage")),
        ({"HIGH_DISK_PERCENT": "97.5"}, "high_disk_percent", 97.5),
    ],
)
def test_what_may_be_said(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], field: str, expected: object
) -> None:
    """Units, lists and aliases are understood."""
    assert getattr(load_with(monkeypatch, environment), field) == expected


@pytest.mark.parametrize(
    ("environment", "wrong"),
    [
        ({"GRPC_ADDRESS": "localhost"}, "GRPC_ADDRESS"),
        ({"GRPC_ADDRESS": "localhost:99999"}, "GRPC_ADDRESS"),
        ({"GRPC_ADDRESS": "0.0.0.0:50051"}, "AUTH_MODE"),
        ({"METRICS_ADDRESS": "9464"}, "METRICS_ADDRESS"),
        ({"METRICS_ADDRESS": "127.0.0.1:50051"}, "METRICS_ADDRESS"),
        ({"DB_POOL_SIZE": "0"}, "DB_POOL_SIZE"),
        ({"DB_POOL_TIMEOUT": "inf"}, "DB_POOL_TIMEOUT"),
        ({"DATABASE_URL": "mysql://db/l"}, "DATABASE_URL"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT"),
        ({"READINESS_CHECKS": "database,redis"}, "READINESS_CHECKS"),
        ({"READINESS_CHECKS": "none,database"}, "READINESS_CHECKS"),
        ({"HIGH_CPU_PERCENT": "101"}, "HIGH_CPU_PERCENT"),
        ({"ALLOWED_CONTENT_TYPES": "pdf"}, "ALLOWED_CONTENT_TYPES"),
        ({"ENABLE_CHANNELZ": "perhaps"}, "ENABLE_CHANNELZ"),
        ({"S3_ENDPOINT": "http://s3:9000"}, "S3_BUCKET"),
        ({"S3_BUCKET": "   "}, "S3_BUCKET"),
        ({"S3_BUCKET": "Our Documents!"}, "S3_BUCKET"),
        ({"S3_BUCKET": "../documents"}, "S3_BUCKET"),
        ({"S3_BUCKET": "b", "UPLOAD_PART_SIZE": "1MiB"}, "UPLOAD_PART_SIZE"),
        ({"S3_BUCKET": "b", "S3_KMS_KEY_ID": "k", "S3_SSE": "AES256"}, "S3_SSE"),
        ({"AWS_ACCESS_KEY_ID": "k"}, "AWS_ACCESS_KEY_ID"),
        ({"UPLOAD_PART_SIZE": "100"}, "UPLOAD_PART_SIZE"),
        ({"UPLOAD_MEMORY_BUDGET": "1MiB"}, "UPLOAD_PART_SIZE"),
        ({"ENVIRONMENT": "production", "S3_BUCKET": "b"}, "DATABASE_URL"),
        ({"ENVIRONMENT": "production", "DATABASE_URL": "postgresql://db/l"}, "S3_BUCKET"),
        ({"DATABASE_URL_FILE": "/nowhere"}, "DATABASE_URL"),
        ({"GRPC_TLS_CERT": "/tls/tls.crt"}, "GRPC_TLS_CERT"),
        ({"GRPC_TLS_KEY": "/tls/tls.key"}, "GRPC_TLS_CERT"),
        ({"GRPC_TLS_CLIENT_CA": "/tls/ca.crt"}, "GRPC_TLS_CERT"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], wrong: str) -> None:
    """The message names the variable to change, and only that one."""
    assert list(problems_with(monkeypatch, environment)) == [wrong]


def test_every_problem_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that are wrong by themselves and values that are wrong together are told at once."""
    environment = {
        "ENVIRONMENT": "production",
        "DB_POOL_SIZE": "many",
        "LOG_LEVEL": "loud",
        "DATABASE_URL_FILE": "/nowhere",
        "AWS_ACCESS_KEY_ID": "key",
    }
    found = problems_with(monkeypatch, environment)
    assert set(found) == {"DB_POOL_SIZE", "LOG_LEVEL", "DATABASE_URL", "S3_BUCKET", "AWS_ACCESS_KEY_ID"}


def test_a_rule_is_silent_about_a_value_that_is_wrong_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt DATABASE_URL is one problem, not also a missing database."""
    environment = {"ENVIRONMENT": "production", "S3_BUCKET": "b", "DATABASE_URL": "mysql://db"}
    assert list(problems_with(monkeypatch, environment)) == ["DATABASE_URL"]


@pytest.mark.parametrize(
    "name",
    [name.upper() for name in Settings.model_fields if name not in ANY_TEXT],
)
def test_no_value_is_repeated(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whatever a variable wrongly holds, a secret pasted into the wrong place included, stays out of the message."""
    with pytest.raises(InvalidSettings) as caught:
        load_with(monkeypatch, {name: SECRET, "DB_POOL_SIZE": "none"})
    assert SECRET not in str(caught.value)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printing the settings shows no password."""
    settings = load_with(monkeypatch, {"DATABASE_URL": f"postgresql://u:{SECRET}@db/l"})
    assert SECRET not in repr(settings) + str(settings)
    assert SECRET in settings.sqlalchemy_url


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """NAME_FILE names a file with the value of NAME; the line end does not count."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    settings = load_with(monkeypatch, {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY_FILE": str(file)})
    assert settings.aws_secret_access_key is not None
    assert settings.aws_secret_access_key.get_secret_value() == SECRET


@pytest.mark.parametrize(("content", "said"), [("", "is empty"), ("\n \n", "is empty"), ("a\nb\n", "one line")])
def test_a_file_without_a_secret_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, said: str
) -> None:
    """An empty key would only be noticed by a store that refuses it, and a second line is of something else."""
    (file := tmp_path / "secret").write_text(content)
    environment = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY_FILE": str(file)}
    problems = problems_with(monkeypatch, environment)
    assert list(problems) == ["AWS_SECRET_ACCESS_KEY"]
    assert said in problems["AWS_SECRET_ACCESS_KEY"]


def test_a_file_for_what_is_no_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would not be read, and whoever wrote it would think that it counts."""
    said = problems_with(monkeypatch, {"GRPC_TLS_CLIENT_CA_FILE": "/run/ca.crt"})
    assert said == {"GRPC_TLS_CLIENT_CA_FILE": "only secrets are read from files; set GRPC_TLS_CLIENT_CA itself"}


def test_a_secret_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Which of NAME and NAME_FILE counts is not guessed."""
    file = tmp_path / "url"
    file.write_text("sqlite:///a.db")
    environment = {"DATABASE_URL": "sqlite:///b.db", "DATABASE_URL_FILE": str(file)}
    assert problems_with(monkeypatch, environment) == {"DATABASE_URL": "DATABASE_URL_FILE is set as well"}


def test_production_takes_the_embedded_default_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One machine may be enough; then somebody has to say so."""
    settings = load_with(monkeypatch, {"ENVIRONMENT": "production", "ALLOW_EMBEDDED_IN_PRODUCTION": "true"})
    assert settings.embedded_database


PRODUCTION = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://app:Kx83hd0aPq@db/ledger",
    "S3_BUCKET": "documents",
    "AWS_ACCESS_KEY_ID": "ledgerlift",
    "AWS_SECRET_ACCESS_KEY": "m4Zp0aQw91",
    "GRPC_ADDRESS": "0.0.0.0:50051",
    "AUTH_MODE": "none",
    "GRPC_TLS_CERT": "/tls/tls.crt",
    "GRPC_TLS_KEY": "/tls/tls.key",
}
"""What nothing is said against."""


@pytest.mark.parametrize(
    ("changes", "wrong", "allowed_by"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL", "EMBEDDED"),
        ({"S3_BUCKET": ""}, "S3_BUCKET", "EMBEDDED"),
        ({"GRPC_TLS_CERT": "", "GRPC_TLS_KEY": ""}, "GRPC_TLS_CERT", "PLAINTEXT"),
        ({"DATABASE_URL": "postgresql://app:app@db/l"}, "DATABASE_URL", "DEFAULT_CREDENTIALS"),
        ({"DATABASE_URL": "postgresql://app:Postgres@db/l"}, "DATABASE_URL", "DEFAULT_CREDENTIALS"),
        ({"DATABASE_URL": "postgresql://db/l?user=app&password=secret12"}, "DATABASE_URL", "DEFAULT_CREDENTIALS"),
        ({"DATABASE_URL": "postgresql://app:12345678@db/l"}, "DATABASE_URL", "DEFAULT_CREDENTIALS"),
        ({"AWS_SECRET_ACCESS_KEY": "minio-admin"}, "AWS_SECRET_ACCESS_KEY", "DEFAULT_CREDENTIALS"),
        (
            {"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"},
            "AWS_SECRET_ACCESS_KEY",
            "DEFAULT_CREDENTIALS",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_production_refuses_what_is_for_trying_out_unless_it_is_allowed_by_name(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], wrong: str, allowed_by: str
) -> None:
    """One sentence that names the variable and what would allow it; no other permission does."""
    allowances = {f"ALLOW_{name}_IN_PRODUCTION": "true" for name in ("EMBEDDED", "PLAINTEXT", "DEFAULT_CREDENTIALS")}
    allowance = f"ALLOW_{allowed_by}_IN_PRODUCTION"
    others = {name: value for name, value in allowances.items() if name != allowance}
    problems = problems_with(monkeypatch, PRODUCTION | changes | others)
    assert list(problems) == [wrong]
    assert allowance in problems[wrong]
    assert load_with(monkeypatch, {allowance: "true"}).environment == "production"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"GRPC_ADDRESS": "127.0.0.1:50051", "GRPC_TLS_CERT": "", "GRPC_TLS_KEY": ""},
        {"DATABASE_URL": "postgresql://app@db/l"},
        {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    ],
    ids=["all set", "plaintext on loopback", "no password: a certificate or the peer", "credentials of the instance"],
)
def test_production_takes_what_is_safe(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]) -> None:
    """Nothing has to be allowed."""
    assert load_with(monkeypatch, PRODUCTION | changes).environment == "production"


def test_outside_of_production_nothing_of_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop may have its password `postgres`."""
    changes = {"ENVIRONMENT": "staging", "DATABASE_URL": "postgresql://postgres:postgres@db/l", "GRPC_TLS_CERT": ""}
    assert load_with(monkeypatch, PRODUCTION | changes | {"GRPC_TLS_KEY": ""}).environment == "staging"
