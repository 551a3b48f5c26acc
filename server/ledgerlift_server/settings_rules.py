"""What settings must be together, and the files that secrets may come from."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from ledgerlift_server.domain.upload_options import MIB
from ledgerlift_server.settings_credentials import well_known_credentials
from ledgerlift_server.settings_problems import Problem

if TYPE_CHECKING:
    from ledgerlift_server.settings import Settings

SECRET_SUFFIX = "_FILE"  # noqa: S105 - a suffix of names, not a secret
S3_MIN_PART_SIZE = 5 * MIB
"""S3's bound on every part of a multipart upload but the last."""


def broken_rules(settings: Settings, *, but: Collection[str]) -> list[Problem]:
    """Rules that `settings` breaks. One that looks at a variable in `but`, wrong by itself, is left out."""
    return [Problem(names[0], sentence) for names, sentence in _broken(settings) if not set(names) & set(but)]


def _broken(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each broken rule: the variables it looks at, the one to change first, and what would be right."""
    yield from _broken_in_production(settings)
    for name in _not_from_files(settings):
        yield ((name + SECRET_SUFFIX,), f"only secrets are read from files; set {name} itself")
    if settings.auth_mode is None and not _is_loopback(settings.host):
        yield (
            ("AUTH_MODE", "GRPC_ADDRESS"),
            "must be set where GRPC_ADDRESS is not loopback; `none` lets everyone who can connect do everything",
        )
    if (settings.grpc_tls_cert is None) != (settings.grpc_tls_key is None):
        yield (("GRPC_TLS_CERT", "GRPC_TLS_KEY"), "must be set together with GRPC_TLS_KEY, or not at all")
    elif settings.grpc_tls_client_ca is not None and settings.grpc_tls_cert is None:
        yield (("GRPC_TLS_CERT", "GRPC_TLS_CLIENT_CA"), "is required with GRPC_TLS_CLIENT_CA")
    if settings.metrics_address == settings.grpc_address and settings.port:
        yield (("METRICS_ADDRESS", "GRPC_ADDRESS"), "must be another address than GRPC_ADDRESS")
    if settings.tracing_enabled and not _installed("opentelemetry.sdk"):
        yield (("TRACING_ENABLED",), "takes what `pip install 'ledgerlift[tracing]'` installs")
    if settings.s3_bucket is None:
        for name in ("s3_endpoint", "s3_create_bucket", "s3_sse"):
            if getattr(settings, name):
                yield (("S3_BUCKET", name.upper()), f"is required with {name.upper()}")
    elif settings.upload_part_size < S3_MIN_PART_SIZE:
        yield (("UPLOAD_PART_SIZE", "S3_BUCKET"), "must be at least 5MiB on S3")
    if settings.s3_kms_key_id is not None and settings.s3_sse != "aws:kms":
        yield (("S3_SSE", "S3_KMS_KEY_ID"), "must be `aws:kms` with S3_KMS_KEY_ID")
    if (settings.aws_access_key_id is None) != (settings.aws_secret_access_key is None):
        yield (
            ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            "must be set together with AWS_SECRET_ACCESS_KEY, or not at all",
        )
    try:
        _ = settings.upload_options
    except ValueError as wrong:
        names = ("UPLOAD_PART_SIZE", "UPLOAD_MEMORY_BUDGET", "MAX_FILE_SIZE", "UPLOAD_PARTS_IN_FLIGHT")
        yield (names, f"does not go with the others: {wrong}")


def _not_from_files(settings: Settings) -> Iterator[str]:
    """Variables that hold no secret and whose value somebody keeps in a file: it would not count, without a word."""
    for field, info in type(settings).model_fields.items():
        if os.environ.get(field.upper() + SECRET_SUFFIX) and not _holds_secret(info.annotation):
            yield field.upper()


def _broken_in_production(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    if settings.environment != "production":
        return
    if not settings.allow_embedded_in_production:
        unless, common = _unless("ALLOW_EMBEDDED_IN_PRODUCTION")
        if settings.embedded_database:
            yield (("DATABASE_URL", *common), f"must name a PostgreSQL database {unless}")
        if settings.s3_bucket is None:
            yield (("S3_BUCKET", *common), f"must be set {unless}")
    if not (settings.allow_plaintext_in_production or _is_loopback(settings.host) or settings.grpc_tls_cert):
        unless, common = _unless("ALLOW_PLAINTEXT_IN_PRODUCTION")
        yield (
            ("GRPC_TLS_CERT", "GRPC_TLS_KEY", "GRPC_ADDRESS", *common),
            f"must be set where GRPC_ADDRESS is not loopback, {unless}",
        )
    if not settings.allow_default_credentials_in_production:
        unless, common = _unless("ALLOW_DEFAULT_CREDENTIALS_IN_PRODUCTION")
        for name in well_known_credentials(settings):
            yield ((name, *common), f"must not hold a password or key that everybody knows {unless}")


def _unless(allowed_by: str) -> tuple[str, tuple[str, str]]:
    return f"in production, unless {allowed_by}=true", ("ENVIRONMENT", allowed_by)


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of a package around it
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class UnreadableSecret(str):
    """Stands in for the value of a secret whose file cannot be read; says why."""


def readable_secret(value: object) -> object:
    """Validator of secrets: refuses what could not be read from its file."""
    if isinstance(value, UnreadableSecret):
        raise ValueError(str(value))
    return value


class SecretFiles(PydanticBaseSettingsSource):
    """The contents of the file that `NAME_FILE` names, for every secret `NAME`."""

    def __call__(self) -> dict[str, Any]:
        """Values by field; an UnreadableSecret where a file cannot be read or the value is given twice."""
        values: dict[str, Any] = {}
        for field, info in self.settings_cls.model_fields.items():
            variable = field.upper() + SECRET_SUFFIX
            path = os.environ.get(variable)
            if path and _holds_secret(info.annotation):
                given_twice = bool(os.environ.get(field.upper()))
                values[field] = (
                    UnreadableSecret(f"{variable} is set as well") if given_twice else _read(variable, path)
                )
        return values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not used: values are made all at once."""
        return None, field_name, False


def _holds_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(_holds_secret(inner) for inner in get_args(annotation))


def _read(variable: str, path: str) -> str:
    try:
        value = Path(path).read_text("utf-8").strip()
    except UnicodeDecodeError:
        return UnreadableSecret(f"{variable} names a file that is not text")
    except OSError as unreadable:
        return UnreadableSecret(f"{variable} names a file that cannot be read: {unreadable.strerror}")
    if not value:
        return UnreadableSecret(f"{variable} names a file that is empty")
    if not value.isprintable():
        return UnreadableSecret(f"{variable} names a file that holds more than one line")
    return value
