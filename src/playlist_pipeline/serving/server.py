"""Start the server."""

import ipaddress
import socket
import sys
from pathlib import Path

from playlist_pipeline.errors import UserError
from playlist_pipeline.serving.settings import LOOPBACK_NAMES, ServerSettings

SECONDS_TO_FINISH = 10
# A request is answered sooner if a batch that is being drawn gives way more often than every 5 ms.
SWITCH_SECONDS = 0.001
MAX_CONNECTIONS = 2048
MAX_PORT = 65535


def run(model: Path, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve the page and the API until Ctrl-C or SIGTERM; what is at work then is finished.

    Args:
        model: A workspace or a model's folder, see ``Recommender.load``.
        host: The address to listen on; by default only programs on this machine reach the server. Requests must call
            it by this name.
        port: The port; 0 takes a free one.

    Raises:
        UserError: There is no model, the packages of the extra ``serve`` are missing, or the address cannot be used.
    """
    try:
        import uvicorn  # noqa: PLC0415

        from playlist_pipeline.serving.app import create_app  # noqa: PLC0415
    except ImportError as error:
        raise UserError(f"the server needs the package {error.name}: install playlist_pipeline[serve]") from error
    from playlist_pipeline.generation.recommender import Recommender  # noqa: PLC0415

    allowed = list_names(host)
    _require_free(host, port)
    app = create_app(Recommender.load(model), ServerSettings(allowed_hosts=allowed))
    sys.setswitchinterval(SWITCH_SECONDS)
    uvicorn.run(
        app,
        host=host,
        port=port,
        http="h11",  # bounds the size of a request's head, which httptools does not
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )


def list_names(host: str) -> tuple[str, ...]:
    """Return the names that requests may call the server by: its own, and on loopback all of loopback.

    Raises:
        UserError: ``host`` stands for every address of the machine, so that no name could be checked.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return LOOPBACK_NAMES if host.lower() == "localhost" else (host,)
    if address.is_unspecified:
        raise UserError(
            f"host = {host} stands for every address of this machine, and requests could not be checked for the name "
            "they use: give the one address that clients use"
        )
    own = f"[{host}]" if address.version == 6 else host
    return tuple(dict.fromkeys((own, *LOOPBACK_NAMES))) if address.is_loopback else (own,)


def _require_free(host: str, port: int) -> None:
    """Try to listen, before the model is loaded."""
    if not 0 <= port <= MAX_PORT:
        raise UserError(f"port = {port} is not allowed: give a number from 0 to {MAX_PORT}")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        reason = (error.strerror or "").partition(" (")[0]  # without the address, which is named already
        raise UserError(f"cannot listen on {host}, port {port} ({reason}): give another port or host") from error
