"""A proxy in front of a real server that loses one import: before it gets there, or its answer on the way back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import httpx

PASSED_ON = ("authorization", "content-type")


@contextmanager
def losing(url: str, what: Literal["request", "answer"]) -> Iterator[tuple[str, list[str]]]:
    """The proxy's address, and the paths of the imports that it saw."""
    imports: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            is_first = "/import" in self.path and not imports
            if "/import" in self.path:
                imports.append(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if is_first and what == "request":
                self.close_connection = True
                return
            headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
            answer = httpx.request(self.command, url + self.path, content=body, headers=headers, timeout=60)
            if is_first:
                self.close_connection = True
                return
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers.get("content-type", "text/plain"))
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = do_DELETE = _pass_on  # noqa: N815 (names that the library looks up)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", imports
    server.shutdown()
    server.server_close()
