"""What a setting may be: the types of `settings.py`, each with the sentence that says what would be right."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr
from pydantic_settings import NoDecode

from ledgerlift_server.adapters.s3.options import S3Options
from ledgerlift_server.adapters.sql.engine import normalise
from ledgerlift_server.settings_rules import readable_secret


def _comma_separated(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _names_or_none(value: object) -> object:
    names = _comma_separated(_lower(value))
    if names == () and isinstance(value, str):
        raise ValueError("must be names separated by commas, or `none`")
    return () if names == ("none",) else names


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _form(pattern: str, sentence: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(sentence)
        return value

    return AfterValidator(check)


def _address(value: str) -> str:
    form = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:\[\]/]+):([0-9]{1,5})", value)
    if form is None or int(form[2]) > 65535:
        raise ValueError("must be `host:port`, an IPv6 host in brackets")
    return value


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of an Address, the host without brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _url(value: str) -> str:
    form = re.fullmatch(r"https?://(\[[0-9a-fA-F:]+\]|[^\s:\[\]/@?#]+)(:[0-9]{1,5})?/?", value)
    if form is None or int((form[2] or ":0")[1:]) > 65535:
        # Whatever else it held would be shown: by check-config, in the doctor's table and in messages of the store.
        raise ValueError("must be `http://host:port` or `https://host:port`, without user, password, path and query")
    return value


def _known_database(url: SecretStr) -> SecretStr:
    normalise(url.get_secret_value())
    return url


def _key_prefix(value: str) -> str:
    S3Options(bucket="any", prefix=value)
    return value


Lower, Upper = BeforeValidator(_lower), BeforeValidator(_upper)
"""Take a word in any case."""
LONGEST_TIMEOUT = 20 * 86_400
"""Seconds. In milliseconds it still fits the integers of PostgreSQL and of sockets; more would fail every call."""
LONGEST_AGE = 100 * 365 * 86_400
"""Seconds."""
Seconds = Annotated[float, Field(gt=0, le=LONGEST_TIMEOUT, allow_inf_nan=False)]
Age = Annotated[float, Field(gt=0, le=LONGEST_AGE, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
MOST_CONNECTIONS = 1024
"""Of a pool: each has a thread."""
Connections = Annotated[int, Field(ge=1, le=MOST_CONNECTIONS)]
LARGEST_SIZE = 2**63 - 1
"""Bytes: more does not fit the API's int64, and GetLimits could not be answered."""
Size = Annotated[ByteSize, Field(ge=1, le=LARGEST_SIZE)]
Percent = Annotated[float, Field(gt=0, le=100)]
Secret = Annotated[SecretStr, BeforeValidator(readable_secret)]
_TYPE_NAME = r"[a-z0-9][a-z0-9!#$&^_.+-]*"
MediaType = Annotated[
    str,
    _form(
        rf"\*/\*|{_TYPE_NAME}/(\*|{_TYPE_NAME})",
        "must be media types in lower case, `type/*` or `*/*`, separated by commas",
    ),
]
MediaTypes = Annotated[tuple[MediaType, ...], NoDecode, BeforeValidator(_comma_separated), Field(min_length=1)]
ReadinessChecks = Annotated[
    tuple[Literal["database", "storage", "system"], ...], NoDecode, BeforeValidator(_names_or_none)
]
DatabaseUrl = Annotated[Secret, AfterValidator(_known_database)]
KeyPrefix = Annotated[str, AfterValidator(_key_prefix)]
Address = Annotated[str, AfterValidator(_address)]
Url = Annotated[str, AfterValidator(_url)]
Bucket = Annotated[
    str, _form(r"[A-Za-z0-9._-]{1,255}|arn:[^\s/]+[:/][^\s]+", "must be a bucket's name or an access point's ARN")
]
