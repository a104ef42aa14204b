"""The formats in which a playlist can be copied or downloaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playlist_pipeline.generation import formats


@dataclass(frozen=True)
class Format:
    """What a client is told of a format.

    Attributes:
        title: For people.
        media_type: Its media type.
    """

    title: str
    media_type: str


FORMATS = {
    "uris": Format("URIs", "text/plain; charset=utf-8"),
    "csv": Format("CSV", "text/csv; charset=utf-8"),
    "json": Format("JSON", "application/json"),
    "m3u8": Format("M3U8", "application/vnd.apple.mpegurl"),
    "xspf": Format("XSPF", "application/xspf+xml"),
}


def find_suffix(name: str) -> str:
    """Return the suffix of a format's files, with its dot."""
    return formats.FORMATS[name].suffix


def write_playlist(playlist: Mapping[str, Any], name: str) -> str:
    """Return a playlist's dictionary in one of ``FORMATS``."""
    return formats.format_as([playlist], name)
