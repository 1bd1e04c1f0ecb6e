"""Limits of visitors: uploads within a quota, and calls by name of the functions that are meant for programs.

Gradio hides a private function from its documentation, but answers whoever calls it by its name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import PlainTextResponse

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]

#: Paths by which functions are called by name.
_BY_NAME = re.compile(r"/(?:call|api|run)/([^/]+)")

_FULL = "too many sounds are waiting here; try again in some minutes"


def bytes_below(folder: str) -> int:
    """Size of all files below a folder; files that vanish meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return total


class Limits:
    """ASGI middleware that refuses uploads beyond a quota and calls by name of any function but the public ones.

    Args:
        app: that it guards.
        folder: of uploads in waiting.
        most_bytes: that lie there or are on their way there.
        public: names of functions that programs call.
    """

    def __init__(self, app: Application, folder: str, most_bytes: float, public: frozenset[str]) -> None:
        self.app, self.folder, self.most_bytes, self.public = app, folder, most_bytes, public
        self.on_their_way = 0

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].rstrip("/")
        called = _BY_NAME.search(path)
        if called and called[1] not in self.public:
            await PlainTextResponse("no such function", 404)(scope, receive, send)
        elif scope["method"] == "POST" and path.endswith("/upload"):
            await self._upload(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Any, send: Any) -> None:
        size = dict(scope["headers"]).get(b"content-length", b"").decode("latin-1")
        if not size.isdecimal():
            await PlainTextResponse("the size of the upload must be given", 411)(scope, receive, send)
            return
        if bytes_below(self.folder) + self.on_their_way + int(size) > self.most_bytes:
            await PlainTextResponse(_FULL, 503)(scope, receive, send)
            return
        self.on_their_way += int(size)
        try:
            await self.app(scope, receive, send)
        finally:
            self.on_their_way -= int(size)
