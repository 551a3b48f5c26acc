"""Callers of different names, where the server under test has to tell owners apart."""

from __future__ import annotations

from typing import Any

from ledgerlift_server.interceptors.authentication import Anybody, Identity

SUBJECT_HEADER = "x-test-subject"


class ByHeader:
    """Takes everybody for who they say they are, with every role."""

    async def identify(self, context: Any) -> Identity:
        """The caller that the header names."""
        said = dict(context.invocation_metadata() or ())
        anybody = await Anybody().identify(context)
        return Identity(said[SUBJECT_HEADER], anybody.roles)


def named(subject: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call of this subject's."""
    return ((SUBJECT_HEADER, subject),)
