"""Lists that come in pages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from ledgerlift_client._aio._calls import Calls
from ledgerlift_client._policies import Method


async def pages(calls: Calls, method: Method[Any, Any], request: Any) -> AsyncGenerator[Any, None]:
    """Page after page, each fetched when it is wanted, with the filters of `request`."""
    while True:
        page = await calls.call(method, request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
