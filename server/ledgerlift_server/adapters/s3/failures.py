"""What boto3 raises, in the words of the port, and whether the same call may succeed in a moment.

No message holds a key, a signature or a host: what the store said goes to the log by its code.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from botocore.exceptions import (
    ConnectionError as EndpointError,
)
from urllib3.exceptions import HTTPError

from ledgerlift_server.domain.store_port import (
    IntegrityRefused,
    InvalidPart,
    NoSuchMultipart,
    NoSuchObject,
    StoreAnswer,
)
from ledgerlift_server.errors import DependencyUnavailable

logger = logging.getLogger(__name__)


class RangeNotThere(StoreAnswer):
    """The object ends before the range begins."""


class AlreadyThere(StoreAnswer):
    """What was to be made only if absent is there."""


_ANSWERS: Mapping[str, type[StoreAnswer]] = {
    "NoSuchKey": NoSuchObject,
    "404": NoSuchObject,  # of HeadObject and HeadBucket, whose answers have no body
    "InvalidRange": RangeNotThere,
    "416": RangeNotThere,
    "NoSuchUpload": NoSuchMultipart,
    "InvalidPart": InvalidPart,
    "InvalidPartOrder": InvalidPart,
    "BadDigest": IntegrityRefused,
    "InvalidDigest": IntegrityRefused,
    "XAmzContentChecksumMismatch": IntegrityRefused,
    "XAmzContentSHA256Mismatch": IntegrityRefused,
    "PreconditionFailed": AlreadyThere,
    "BucketAlreadyOwnedByYou": AlreadyThere,
    "BucketAlreadyExists": AlreadyThere,
}
_TRANSIENT_CODES = frozenset(
    {
        "InternalError",
        "SlowDown",
        "ServiceUnavailable",
        "RequestTimeout",
        "IncompleteBody",  # the connection broke while the body was sent
        "OperationAborted",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    }
)
_BROKEN = (EndpointError, HTTPClientError, IncompleteReadError, HTTPError)
"""There was no connection, or it ended before the answer did."""
_STALE_CREDENTIALS = frozenset({"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "TokenRefreshRequired"})

# Refusals that somebody has to do something about, and what.
_ADVICE: Mapping[str, str] = {
    "NoSuchBucket": "the bucket does not exist: check S3_BUCKET",
    "AccessDenied": "access to the bucket is denied: check the policy of these credentials",
    "AllAccessDisabled": "access to the bucket is disabled",
    "InvalidAccessKeyId": "the store does not know the access key: check AWS_ACCESS_KEY_ID",
    "XAdminUserNotFound": "the store does not know the access key: check AWS_ACCESS_KEY_ID",  # versitygw
    "SignatureDoesNotMatch": "the store refuses the signature: check AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "AuthorizationHeaderMalformed": "the store refuses the signature: check AWS_REGION",
    "PermanentRedirect": "the bucket is elsewhere: check AWS_REGION and S3_ENDPOINT",
    "ExpiredToken": "the credentials have expired",
    "RequestTimeTooSkewed": "the clocks of this machine and of the store differ",
    "EntityTooSmall": "the store wants larger parts: raise UPLOAD_PART_SIZE",
    "EntityTooLarge": "the store wants smaller parts: lower UPLOAD_PART_SIZE",
    "InvalidBucketName": "the store does not allow such a bucket name: check S3_BUCKET",
    "NotImplemented": "the store cannot do what is asked of it",
    "301": "the bucket is elsewhere: check AWS_REGION and S3_ENDPOINT",
    "403": "access to the bucket is denied: check the credentials and their policy",
}


def code_of(error: BaseException) -> str:
    """The store's error code, or the kind of failure where it gave none."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code") or "Unknown")
    return type(error).__name__


def is_transient(error: BaseException) -> bool:
    """True where the same call may succeed at once: a lost connection, a busy store.

    Not so a timeout: it has cost the store's own patience already.
    """
    if _timed_out(error) or isinstance(error, SSLError):
        return False
    if isinstance(error, ClientError):
        return code_of(error) in _TRANSIENT_CODES or _status(error) >= 500 or _status(error) == 429
    return isinstance(error, _BROKEN)


def credentials_are_stale(error: BaseException) -> bool:
    """True where a client that reads them anew may know better ones."""
    return code_of(error) in _STALE_CREDENTIALS


def translate(error: BotoCoreError | ClientError | HTTPError, operation: str) -> Exception:
    """The exception of the port that says the same."""
    code = code_of(error)
    answer = _ANSWERS.get(code)
    if answer is not None:
        return answer(f"{operation}: {code}")
    logger.warning("s3_call_failed", extra={"operation": operation, "code": code, "status": _status(error)})
    return DependencyUnavailable(
        f"the object store failed: {_sentence(error, code)}",
        retry_after=_retry_after(error),
        answered=400 <= _status(error) < 500 and not is_transient(error),
    )


def _timed_out(error: BaseException) -> bool:
    """True for a timeout of any kind; one while bytes are sent comes wrapped as a connection that broke."""
    if isinstance(error, ConnectTimeoutError | ReadTimeoutError):
        return True
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, TimeoutError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def _sentence(error: BaseException, code: str) -> str:
    if code in _ADVICE:
        return _ADVICE[code]
    if isinstance(error, ClientError):
        return f"it answered {code} ({_status(error)})"
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, ConnectTimeoutError):
        return "no connection in time"
    if _timed_out(error):
        return "no answer in time"
    if isinstance(error, SSLError):
        return "its certificate is not trusted, or it speaks no TLS: check S3_ENDPOINT, and AWS_CA_BUNDLE"
    if isinstance(error, _BROKEN):
        return "the connection failed"
    return code


def _retry_after(error: BaseException) -> float:
    """Longer where it takes a person, or where it is asked of us."""
    if isinstance(error, ClientError):
        return 5.0 if 400 <= _status(error) < 500 or code_of(error) == "SlowDown" else 2.0
    return 1.0


def _status(error: BaseException) -> int:
    response: Any = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
