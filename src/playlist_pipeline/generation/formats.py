"""Playlists as files: JSON, CSV, M3U8, XSPF, and a list of URIs to paste into a player.

What is written is read back by ``generation.seed_files`` as the same tracks.

json
    A list of the dictionaries that ``generation.export`` describes. Holds every name as it is.
csv
    One row a track: ``COLUMNS``; playlists are numbered from 1, and one without tracks has a row without a track. Text
    is quoted, so that commas, quotes and line breaks stay as they are. A name that a spreadsheet would take for a
    formula (it begins with = + - @, a tab or a line break) gets an apostrophe before it, which
    ``generation.seed_files`` takes off again.
m3u8
    Of each track "artist - title" and the URI. One playlist a file.
xspf
    Of each track URI, title, artist, album and link. One playlist a file. The control characters that XML cannot hold
    become spaces.
uris
    One URI a line, a blank line between playlists; no names, and nothing for a playlist without tracks.

A line break or another control character in a name becomes a space in M3U8, where it would end the line. Such spaces
make no difference when a name is looked up.
"""

import csv
import json
import re
import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from playlist_pipeline.errors import UserError
from playlist_pipeline.files import write_file
from playlist_pipeline.generation.export import GeneratedPlaylist
from playlist_pipeline.generation.lookup import make_link
from playlist_pipeline.generation.seed_files import FORMULA

Playlist = GeneratedPlaylist | Mapping[str, Any]

COLUMNS = ("playlist", "playlist_name", "position", "uri", "link", "artist", "name", "album", "seed")
MAX_NAME_BYTES = 80

# What ends a line for some reader, and what no XML can hold, not even as a reference.
_BREAKS_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def format_json(playlists: Sequence[Playlist]) -> str:
    """Return playlists as a list of objects."""
    return _drop_surrogates(json.dumps([_get_dict(one) for one in playlists], indent=2, ensure_ascii=False) + "\n")


def format_csv(playlists: Sequence[Playlist]) -> str:
    """Return playlists as a table with a header."""
    buffer = StringIO()
    # Quotes around every text: the writer does not see that a lone carriage return needs them.
    writer = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for number, playlist in enumerate(map(_get_dict, playlists), start=1):
        head = [number, _mark_formula(playlist["name"] or "")]
        for track in playlist["tracks"]:
            names = [_mark_formula(track[field] or "") for field in ("artist", "name", "album")]
            given = "true" if track["seed"] else "false"
            writer.writerow([*head, track["position"], track["uri"], make_link(track["uri"]) or "", *names, given])
        if not playlist["tracks"]:
            writer.writerow([*head, *[""] * (len(COLUMNS) - len(head))])
    return _drop_surrogates(buffer.getvalue())


def format_m3u8(playlist: Playlist) -> str:
    """Return one playlist as an extended M3U in UTF-8."""
    content = _get_dict(playlist)
    lines = ["#EXTM3U", *([f"#PLAYLIST:{content['name']}"] if content["name"] else [])]
    for track in content["tracks"]:
        names = " - ".join(name for name in (track["artist"], track["name"]) if name)
        lines += [*([f"#EXTINF:-1,{names}"] if names else []), track["uri"]]
    return _drop_surrogates("".join(f"{_BREAKS_LINE.sub(' ', line)}\n" for line in lines))


def format_xspf(playlist: Playlist) -> str:
    """Return one playlist as XSPF, version 1 (https://www.xspf.org/spec)."""
    content = _get_dict(playlist)
    tracks = (
        {
            "location": track["uri"],
            "identifier": track["uri"],
            "title": track["name"],
            "creator": track["artist"],
            "album": track["album"],
            "trackNum": str(track["position"]),
            "info": make_link(track["uri"]),
        }
        for track in content["tracks"]
    )
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<playlist version="1" xmlns="http://xspf.org/ns/0/">',
        *_list_elements({"title": content["name"]}, indent="  "),
        "  <trackList>",
        *(
            line
            for track in tracks
            for line in ("    <track>", *_list_elements(track, indent="      "), "    </track>")
        ),
        "  </trackList>",
        "</playlist>",
    ]
    return _drop_surrogates("\n".join(lines) + "\n")


def format_uris(playlists: Sequence[Playlist]) -> str:
    """Return the URIs of playlists, one a line."""
    blocks = ["".join(f"{track['uri']}\n" for track in _get_dict(playlist)["tracks"]) for playlist in playlists]
    return _drop_surrogates("\n".join(filter(None, blocks)))


@dataclass(frozen=True)
class PlaylistFormat:
    """A format of files.

    Attributes:
        suffix: Of its files.
        holds_several: Whether a file can hold several playlists.
        format: Playlists to text; exactly one if the format does not hold several.
    """

    suffix: str
    holds_several: bool
    format: Callable[[Sequence[Playlist]], str]


FORMATS = {
    "json": PlaylistFormat(".json", True, format_json),
    "csv": PlaylistFormat(".csv", True, format_csv),
    "m3u8": PlaylistFormat(".m3u8", False, lambda playlists: format_m3u8(*playlists)),
    "xspf": PlaylistFormat(".xspf", False, lambda playlists: format_xspf(*playlists)),
    "uris": PlaylistFormat(".txt", True, format_uris),
}
_FORMAT_OF = {known.suffix: name for name, known in FORMATS.items()} | {".m3u": "m3u8"}


def format_as(playlists: Sequence[Playlist], format: str) -> str:
    """Return playlists as one text in one of ``FORMATS``.

    Raises:
        UserError: There is no such format, or it holds one playlist and there are several.
    """
    require_fit(format, len(playlists))
    return FORMATS[format].format(playlists)


def require_fit(format: str, num_playlists: int) -> None:
    """Require that one text in a format can hold so many playlists.

    Raises:
        UserError: It cannot, or there is no such format.
    """
    _require_known(format)
    if not FORMATS[format].holds_several and num_playlists != 1:
        several = ", ".join(name for name, known in FORMATS.items() if known.holds_several)
        raise UserError(
            f"{format} holds one playlist, these are {num_playlists}: write them to files, or choose one of {several}"
        )


def find_format(path: str | Path, format: str | None = None) -> str:
    """Return the format of a file: ``format``, or if it is None the one that the suffix names.

    Raises:
        UserError: It is unknown.
    """
    suffix = Path(path).suffix.lower()
    if format is None and suffix not in _FORMAT_OF:
        raise UserError(f"{path}: the suffix names no format: end it with one of {', '.join(_FORMAT_OF)}")
    format = format or _FORMAT_OF[suffix]
    _require_known(format)
    return format


def write_playlists(path: str | Path, playlists: Sequence[Playlist], format: str | None = None) -> list[Path]:
    """Write playlists to a file, or to one file each where the format holds one: ``mix-1-Road-trip.m3u8``.

    Each file appears whole or not at all, and no file is replaced before all are written. Missing folders are made.

    Args:
        path: The file; of several, their names begin as its name does.
        playlists: At least one.
        format: One of ``FORMATS``; by the suffix of ``path`` if None.

    Returns:
        The files, in the order of the playlists.

    Raises:
        UserError: The format is unknown, or a file cannot be written.
    """
    path = Path(path)
    format = find_format(path, format)
    if FORMATS[format].holds_several or len(playlists) == 1:
        texts = {path: format_as(playlists, format)}
    else:
        digits = len(str(len(playlists)))
        texts = {
            path.with_name(f"{path.stem}-{number:0{digits}}{_make_file_name(playlist)}{path.suffix}"): format_as(
                [playlist], format
            )
            for number, playlist in enumerate(playlists, start=1)
        }
    write_files(texts)
    return list(texts)


def write_files(texts: Mapping[Path, str]) -> None:
    """Write files in UTF-8, each whole or not at all; none is replaced before all are written.

    Raises:
        UserError: A file cannot be written.
    """
    with ExitStack() as stack:
        for path, text in texts.items():
            target = path.resolve()  # a link stays a link
            if target.is_dir():
                raise UserError(f"{path} is a folder: give the name of a file")
            if target.exists() and not target.is_file():
                _write_to_device(target, text)
                continue
            written = stack.enter_context(write_file(target))
            written.write_bytes(text.encode())
            if target.exists():
                shutil.copymode(target, written)


def _write_to_device(path: Path, text: str) -> None:
    """Write to a device or a pipe, which nothing can take the place of."""
    try:
        path.write_bytes(text.encode())
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): give another place") from error


def _require_known(format: str) -> None:
    if format not in FORMATS:
        raise UserError(f"format {format!r} is unknown: give one of {', '.join(FORMATS)}")


def _get_dict(playlist: Playlist) -> Mapping[str, Any]:
    return playlist.to_dict() if isinstance(playlist, GeneratedPlaylist) else playlist


def _make_file_name(playlist: Playlist) -> str:
    """Return a hyphen and a playlist's name as part of a file name, letters and digits alone; empty if none is left."""
    name = unicodedata.normalize("NFC", _get_dict(playlist)["name"] or "")
    words = "".join(character if _fits_file_name(character) else " " for character in name).split()
    short = "-".join(words).encode()[:MAX_NAME_BYTES].decode("utf-8", "ignore").rstrip("-")
    return f"-{short}" if short else ""


def _fits_file_name(character: str) -> bool:
    is_variation_selector = "\ufe00" <= character <= "\ufe0f"
    return character == "_" or (unicodedata.category(character)[0] in "LNM" and not is_variation_selector)


def _mark_formula(text: str) -> str:
    return f"'{text}" if FORMULA.match(text) else text


def _list_elements(values: Mapping[str, str | None], *, indent: str) -> list[str]:
    """Return XML elements, one a line, of those values that there are."""
    return [
        f"{indent}<{name}>{escape(_NOT_IN_XML.sub(' ', value), {chr(13): '&#13;'})}</{name}>"
        for name, value in values.items()
        if value
    ]


def _drop_surrogates(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot hold, by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
