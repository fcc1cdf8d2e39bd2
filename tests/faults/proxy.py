"""A small HTTP proxy before a server, which behaves as badly as it is told."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

DROPPED = {"connection", "transfer-encoding", "keep-alive", "content-length", "host"}


@dataclass
class Proxy:
    """Passes requests on to ``target``.

    Attributes:
        target: address of the server.
        choose: asked for each request what becomes of it: "pass", "late" (carried out, but the answer comes
            after ``delay`` seconds), "error" (500, not carried out) or "done_error" (carried out, then 500).
        delay: seconds.
        served: what became of the requests.
    """

    target: str
    choose: Callable[[], str] = lambda: "pass"
    delay: float = 0.0
    served: list[str] = field(default_factory=list)
    uri: str = ""


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """A :class:`Proxy` on loopback."""
    proxy = Proxy(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fate = proxy.choose()
            proxy.served.append(fate)
            status, headers, content = 500, {}, b'{"error_code": "INTERNAL_ERROR", "message": "proxy"}'
            if fate != "error":
                answer = _forward(proxy.target, self.command, self.path, dict(self.headers), body)
                if fate != "done_error":
                    status, headers, content = answer
            if fate == "late":
                time.sleep(proxy.delay)
            with suppress(OSError):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.uri = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


def _forward(
    target: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(target).netloc, timeout=60)
    try:
        kept = {name: value for name, value in headers.items() if name.lower() not in DROPPED}
        connection.request(method, path, body=body or None, headers=kept)
        answer = connection.getresponse()
        content = answer.read()
        passed = {name: value for name, value in answer.getheaders() if name.lower() not in DROPPED}
        return answer.status, passed, content
    finally:
        connection.close()
