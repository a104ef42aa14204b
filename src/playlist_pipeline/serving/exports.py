"""The formats in which a playlist can be copied or downloaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        title: For people.
        media_type: Its media type.
        suffix: Of a file's name.
    """

    title: str
    media_type: str
    suffix: str


FORMATS = {
    "uris": Format("URIs", "text/plain; charset=utf-8", "txt"),
    "csv": Format("CSV", "text/csv; charset=utf-8", "csv"),
    "json": Format("JSON", "application/json", "json"),
    "m3u8": Format("M3U8", "application/vnd.apple.mpegurl", "m3u8"),
    "xspf": Format("XSPF", "application/xspf+xml", "xspf"),
}


def write_playlist(playlist: Mapping[str, Any], name: str) -> str:
    """Return a playlist's dictionary in one of ``FORMATS``."""
    from playlist_pipeline.generation.formats import format_as  # noqa: PLC0415

    return format_as([playlist], name)
