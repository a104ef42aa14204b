"""What the server allows."""

from dataclasses import dataclass

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Bounds of the server.

    Attributes:
        allowed_hosts: Names that a request's Host header may have, IPv6 addresses in brackets.
        max_body_bytes: Largest body of a request.
        time_limit: Seconds that a request may take, reading its body included.
        max_requests: Requests at work or waiting at a time.
        max_waiting: Completions waiting at a time; less than ``max_requests``, so that searches find room.
        max_batch: Waiting completions with equal controls that the model takes together.
        search_threads: Threads for the catalog.
        query_threads: Threads for recommendations, similar tracks and explanations.
    """

    allowed_hosts: tuple[str, ...] = LOOPBACK_NAMES
    max_body_bytes: int = 1 << 20
    time_limit: float = 30.0
    max_requests: int = 768
    max_waiting: int = 512
    max_batch: int = 64
    search_threads: int = 2
    query_threads: int = 1
