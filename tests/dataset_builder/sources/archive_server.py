"""A web server on loopback that sends one file, and misbehaves on demand as servers on the Internet do."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class ArchiveServer:
    """Sends `content` at any path.

    Attributes:
        content: the file.
        ranges: whether `Range` is honoured.
        drops: one entry an answer: after how many bytes of its body the connection is cut; empty: never.
        statuses: one entry an answer: the status that is sent instead of the file.
        etag: the file's ETag; `If-Range` is honoured against it.
        requests: (path, Range header or None) of every request so far.
    """

    content: bytes
    ranges: bool = True
    drops: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    etag: str | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def __enter__(self) -> ArchiveServer:
        files = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                files.answer(self)

            def log_message(self, *arguments) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.requests.append((request.path, asked))
        if self.statuses:
            request.send_error(self.statuses.pop(0))
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.ranges else 0
        if request.headers.get("If-Range") not in (None, self.etag):
            start = 0
        if start and start >= len(self.content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(self.content)}")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.etag:
            request.send_header("ETag", self.etag)
        request.send_header("Content-Length", str(len(self.content) - start))
        request.end_headers()
        body = self.content[start:]
        request.wfile.write(body[: self.drops.pop(0)] if self.drops else body)
        request.close_connection = True
