"""What gRPC says when no connection comes about, in words that say what to look at.

The texts are those of gRPC 1.85 with the BoringSSL in it; what is not known here stays as it is.
"""

from __future__ import annotations

import re

UNTRUSTED = "the server's certificate is not trusted"
OTHER_NAME = "the server's certificate is for other names than the target's"
NO_TLS = "this client speaks TLS, and what answers there does not"
HUNG_UP = "the connection was closed at once"

_NO_HANDSHAKE = (
    (r"handshake failed .*CERTIFICATE_VERIFY_FAILED(?P<why>: [^:]+)?.*", UNTRUSTED),
    (r".*Hostname Verification Check failed.*", OTHER_NAME),
    (r"handshake failed .*WRONG_VERSION_NUMBER.*", NO_TLS),
)
"""One of the two sides has to be changed before this ends otherwise."""
_NO_ANSWER = (
    # So ends plaintext at a port with TLS, and a client certificate that is missing or unknown; and much else.
    r"(Socket closed|(recvmsg|sendmsg):.*|.*Connection reset by peer.*|.*Broken pipe.*)",
    f"{HUNG_UP}: TLS on one side only, a client certificate that the server does not accept, or nobody behind it",
)


def _known(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(UNAVAILABLE: )?(?P<where>\S+): ((Tls|Ssl) )?{pattern}\Z", re.DOTALL)


_TLS = [(_known(pattern), words) for pattern, words in _NO_HANDSHAKE]
_CLOSED = _known(_NO_ANSWER[0])


def explained(text: str) -> tuple[str, bool]:
    """`text`, or what it means where that is known: the address, and the reason. True: it is TLS that failed."""
    for pattern, words in _TLS:
        if found := pattern.match(text):
            return f"{found['where']}: {words}{found.groupdict().get('why') or ''}", True
    if found := _CLOSED.match(text):
        return f"{found['where']}: {_NO_ANSWER[1]}", False
    return text, False
