"""Who may ask Dagster's webserver: its own pages, and programs that no web page can be.

Dagster asks nobody for a password, so any page open in a browser on the same machine could tell it to delete runs. What
gives such a page away are headers that scripts cannot set: ``Host``, ``Origin`` and ``Sec-Fetch-Site``.
"""

import os
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Whatever the port: an SSH tunnel may end at another one.
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
# No frame of another site: its reader would click on buttons that they do not see.
FRAMES = [(b"x-frame-options", b"SAMEORIGIN"), (b"content-security-policy", b"frame-ancestors 'self'")]


def hosts() -> frozenset[str]:
    """Return the names that a browser may know this machine by: loopback's, and those in ``M2V_HOSTS``."""
    named = os.environ.get("M2V_HOSTS", "").replace(",", " ").split()
    return LOOPBACK | {name.lower() for name in named}


def refusal(scope: Scope, names: frozenset[str]) -> tuple[int, str] | None:
    """Return the status and one line of why a request is refused, or None if it may pass.

    Args:
        scope: ASGI's, of kind ``http`` or ``websocket``.
        names: Hosts without ports, in small letters.
    """
    headers = Headers(scope=scope)
    host = headers.get("host", "").lower()
    if _name(host) not in names or len(headers.getlist("host")) != 1:
        return 421, "This host is not one of M2V's names. Use 127.0.0.1 or localhost, or add yours to M2V_HOSTS."
    method = scope["method"] if scope["type"] == "http" else None
    if _is_foreign(headers, host, is_get=method == "GET"):
        return 403, "Another site's page may not ask this server."
    if method in READING:
        # Dagster runs mutations by GET as well; with this header it answers with GraphiQL's page instead.
        is_page = method == "GET" and "text/html" in headers.get("accept", "")
        is_query = scope["path"].rstrip("/").endswith("/graphql") and not is_page
        return (405, "GraphQL is asked by POST with application/json.") if is_query else None
    content = headers.get("content-type", "").partition(";")[0].strip().lower()
    # Forms and text/plain are what a browser sends anywhere without asking first.
    return (415, "Send application/json.") if method and content != "application/json" else None


def _is_foreign(headers: Headers, host: str, *, is_get: bool) -> bool:
    """Tell whether another site's page asks; a link in one may open a page, and nothing else."""
    origin = headers.get("origin")
    if origin is not None and _host_of(origin) != host:
        return True
    is_link = is_get and headers.get("sec-fetch-mode") == "navigate"
    return headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} and not is_link


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        # Half an address in brackets: no browser sends it.
        return None


class Door:
    """An ASGI layer that lets through what ``refusal`` does not name."""

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with the reason why not."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        why = refusal(scope, self.names)
        if why and scope["type"] == "websocket":
            # Closed before it is accepted, it is answered 403.
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": why[1]})
            return
        if why:
            await PlainTextResponse(why[1] + "\n", status_code=why[0])(scope, receive, send)
            return

        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *FRAMES]
            await send(message)

        await self.app(scope, receive, framed)


def _name(host: str) -> str:
    """Return a Host header without its port: ``[::1]:3000`` is ``[::1]``."""
    name, _, port = host.rpartition(":")
    return name if name and port.isdecimal() else host
