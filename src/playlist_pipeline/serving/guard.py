"""What stands before the API: checks of host, type and size, limits of time and number, headers of every answer."""

import asyncio
import logging
import re
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playlist_pipeline.serving.problems import Refusal
from playlist_pipeline.serving.settings import ServerSettings

logger = logging.getLogger("uvicorn.error")

CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::\d{1,5})?")
_JSON = re.compile(r"application/json\s*(?:;.*)?", re.IGNORECASE)


class ClientGone(Exception):
    """The client has closed the connection before its request was read."""


class Guard:
    """ASGI middleware around the whole application; answers what it refuses itself.

    Args:
        app: The application.
        settings: The limits.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings
        self._hosts = {host.lower() for host in settings.allowed_hosts}
        self._num_requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        self._num_requests += 1
        try:
            async with asyncio.timeout(self._settings.time_limit):
                self._check(scope)
                if scope["method"] == "POST":
                    receive = await self._read_body(scope, receive)
                await self._app(scope, receive, answer.send)
        except ClientGone:
            return
        except Refusal as refusal:
            await answer.refuse(refusal)
        except TimeoutError:
            await answer.refuse(_say_late(scope, self._settings.time_limit))
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            await answer.refuse(_say_failed(scope))
        finally:
            self._num_requests -= 1

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if host is None or host[1].lower() not in self._hosts:
            allowed = ", ".join(sorted(self._hosts))
            raise Refusal(
                421,
                "this server does not go by the name in the request's Host header",
                where="header Host",
                advice=f"Use one of {allowed}, or start the server with --host.",
            )
        if self._num_requests > self._settings.max_requests:
            raise say_busy(scope["path"])
        if scope["method"] == "POST" and not _JSON.fullmatch(headers.get("content-type", "")):
            raise Refusal(
                415, "the body is not declared as JSON", where="header Content-Type", advice="Send application/json."
            )

    async def _read_body(self, scope: Scope, receive: Receive) -> Receive:
        """Read the whole body, up to the limit, and return a ``receive`` that gives it at once."""
        limit = self._settings.max_body_bytes
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared[:20]) > limit:
            raise _say_large(limit)
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body += message.get("body", b"")
            if len(body) > limit:
                raise _say_large(limit)
            more = message.get("more_body", False)
        messages: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def give_body() -> MutableMapping[str, Any]:
            return messages.pop() if messages else await receive()

        return give_body


class _Answer:
    """The answer to one request; every one gets the headers."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._has_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._has_begun = True
            is_page = not self._scope["path"].startswith(("/api/", "/health"))
            headers = HEADERS | {"cache-control": "no-cache" if is_page else "no-store"}
            given = {name for name, _ in message.get("headers", ())}
            added = [(name.encode(), value.encode()) for name, value in headers.items() if name.encode() not in given]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        if self._has_begun:  # nothing can be taken back: the server closes the connection
            raise refusal
        body = refusal.problem.model_dump_json().encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if refusal.status in (503, 504):
            headers.append((b"retry-after", b"5"))
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": b"" if self._scope["method"] == "HEAD" else body})


def say_busy(address: str) -> Refusal:
    """Return the refusal of a request for which there is no room."""
    return Refusal(503, "too many requests are waiting", where=address, advice="Try again in a few seconds.")


def _say_large(limit: int) -> Refusal:
    return Refusal(
        413,
        f"the body is larger than {limit:,} bytes",
        where="body",
        advice="Send fewer tracks at a time.",
    )


def _say_late(scope: Scope, limit: float) -> Refusal:
    return Refusal(
        504,
        f"the request took longer than {limit:g} seconds",
        where=scope["path"],
        advice="Try again, or ask for a shorter playlist.",
    )


def _say_failed(scope: Scope) -> Refusal:
    return Refusal(
        500,
        "the server failed to answer",
        where=scope["path"],
        advice="Look at the server's log for the cause, and report it.",
    )
