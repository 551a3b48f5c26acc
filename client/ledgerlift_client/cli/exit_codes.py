"""What the exit code of `ledgerlift` says. Scripts may rely on these numbers; they never change their meaning.

    0    done
    1    a defect: of the server (its log knows the request id) or of this program
    2    wrong usage: options, arguments, environment
    3    no such document or upload
    4    conflict: the document, its key or the request id is there already
    5    refused: a field, the type, the size or the state does not allow it
    6    corrupt: bytes do not match their checksum, or the source changed while it was read
    7    try later: unreachable, overloaded or too slow; nothing is wrong with the request
    8    not allowed: no or bad credentials, or a role is missing
    9    a local file cannot be read or written
    10   the packages of `ledgerlift[cli]` are missing
    11   the service is unhealthy: some requests have to be refused (`ledgerlift health`)
    130  interrupted, by SIGINT or SIGTERM

Where several files or ids are given, all are tried, and the code is that of the first failure. An interruption is
130 whatever failed before it.
"""

from __future__ import annotations

from ledgerlift_client import errors

OK = 0
DEFECT = 1
USAGE = 2
NOT_FOUND = 3
CONFLICT = 4
REFUSED = 5
CORRUPT = 6
TRY_LATER = 7
NOT_ALLOWED = 8
LOCAL_FILE = 9
NOT_INSTALLED = 10
UNHEALTHY = 11
INTERRUPTED = 130

_BY_ERROR: dict[type[errors.LedgerLiftError], int] = {
    errors.NotFound: NOT_FOUND,
    errors.Conflict: CONFLICT,
    errors.InvalidArgument: REFUSED,
    errors.ContentError: REFUSED,
    errors.ChecksumMismatch: CORRUPT,
    errors.SizeMismatch: CORRUPT,
    errors.DataLoss: CORRUPT,
    errors.SourceError: CORRUPT,
    errors.SourceNotRewindable: LOCAL_FILE,
    errors.OffsetGap: DEFECT,
    errors.FailedPrecondition: REFUSED,
    errors.UploadSuperseded: REFUSED,
    errors.Cancelled: INTERRUPTED,
    errors.ResourceExhausted: REFUSED,
    errors.TryLater: TRY_LATER,
    errors.DeadlineExceeded: TRY_LATER,
    errors.Unauthenticated: NOT_ALLOWED,
    errors.PermissionDenied: NOT_ALLOWED,
    errors.Unimplemented: DEFECT,
    errors.ServerError: DEFECT,
    errors.Cancelled: INTERRUPTED,
    errors.LedgerLiftError: DEFECT,
}
"""A class stands for its subclasses too; the nearest entry counts."""


def of(error: BaseException) -> int:
    """The code for an exception that ended a command."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, OSError):
        return LOCAL_FILE
    for kind in type(error).__mro__:
        if kind in _BY_ERROR:
            return _BY_ERROR[kind]
    return DEFECT
