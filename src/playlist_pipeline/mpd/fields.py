"""JSON objects against tables of fields: what slices and challenge sets are both checked by."""

import json
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from playlist_pipeline.mpd.schema import COLLABORATIVE

REPEATED = object()
"""Key under which a parsed object lists its fields that occur more than once."""

Defect = tuple[str, str, str]
"""Kind, field and text of a defect."""

TYPE_NAMES = {str: "text", bool: "a boolean", int: "an integer", float: "a decimal number", list: "a list"}
TYPE_NAMES |= {dict: "an object", type(None): "null"}


_HARMLESS_BYTES = 2**20
_BYTES_A_COMMA = 12
_BYTES_AN_OBJECT = 32


class MalformedJSONError(ValueError):
    """Bytes are not JSON that can be read; the message is the defect alone."""


def find_many_values(data: bytes | bytearray) -> str | None:
    """Return why JSON holds more values than playlists do, or None: Arrow takes 40 times as much for ``[{},{},...]``.

    At the least, a slice's track takes 120 bytes with 8 commas, a challenge set's 60 with 2; MPD's take 520.
    """
    many = len(data) > _HARMLESS_BYTES and _count(data, ",") * _BYTES_A_COMMA > len(data)
    return f"more than one value in {_BYTES_A_COMMA} bytes" if many else None


def find_many_objects(data: bytes | bytearray) -> str | None:
    """Return why JSON holds more objects and lists than playlists do, or None: in Python they take 30 times as much."""
    many = len(data) > _HARMLESS_BYTES and (_count(data, "{") + _count(data, "[")) * _BYTES_AN_OBJECT > len(data)
    return f"more than one object or list in {_BYTES_AN_OBJECT} bytes" if many else None


def _count(data: bytes | bytearray, character: str) -> int:
    """Count a character as ``data.count`` does, in a third of the time."""
    values, step = np.frombuffer(data, np.uint8), 2**16  # steps that the cache holds
    parts = (values[start : start + step] for start in range(0, len(values), step))
    return sum(int(np.count_nonzero(part == ord(character))) for part in parts)


def parse_json(data: bytes | bytearray) -> Any:
    """Parse JSON; an object with repeated fields keeps the last of each and lists their names under ``REPEATED``.

    Args:
        data: JSON in UTF-8, with or without a byte-order mark.

    Raises:
        MalformedJSONError: It is none.
    """
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_mark_repeated)
    except (ValueError, RecursionError) as error:
        raise MalformedJSONError(_describe_json_error(data, error)) from error


def _mark_repeated(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    value: dict[Any, Any] = dict(pairs)
    if len(value) != len(pairs):
        names = Counter(name for name, _ in pairs)
        value[REPEATED] = [name for name, times in names.items() if times > 1]
    return value


def _describe_json_error(data: bytes | bytearray, error: Exception) -> str:
    if not data.strip():
        return "the file is empty"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg.removesuffix(' at')} at line {error.lineno} column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return "not JSON that can be read: " + ("nested too deep" if isinstance(error, RecursionError) else "a huge number")


def find_layout_defect(content: Any) -> str | None:
    """Return why parsed JSON is not one object with one list of playlists, or None."""
    if not isinstance(content, dict) or not isinstance(content.get("playlists"), list):
        return "not an object with a list of playlists"
    return "more than one list of playlists" if "playlists" in content.get(REPEATED, ()) else None


def find_playlist_defects(
    playlist: Any,
    fields: Mapping[str, pa.DataType],
    track_fields: Mapping[str, pa.DataType],
    *,
    optional: Container[str] = (),
) -> Iterator[Defect]:
    """Find fields of a playlist that are missing, null, repeated or of a wrong type; of its tracks, the first of each.

    Args:
        playlist: A parsed value that should be a playlist.
        fields: Its fields but ``tracks``.
        track_fields: The fields of its tracks.
        optional: Fields that may be absent or null.

    Yields:
        Defects, whose kinds are keys of :data:`~playlist_pipeline.mpd.repair.RULES`.
    """
    if not isinstance(playlist, dict):
        yield "wrong_type", "", f"{TYPE_NAMES[type(playlist)]} instead of an object"
        return
    yield from _find_field_defects(playlist, fields, optional, also="tracks")
    tracks = playlist.get("tracks")
    if not isinstance(tracks, list):
        missing = tracks is None
        text = _name_missing(playlist, "tracks") if missing else f"{TYPE_NAMES[type(tracks)]} instead of a list"
        yield "missing_field" if missing else "wrong_type", "tracks", text
        return
    named: set[str] = set()
    for position, track in enumerate(tracks):
        if not isinstance(track, dict):
            yield "wrong_type", f"tracks[{position}]", f"{TYPE_NAMES[type(track)]} instead of an object"
            return
        for kind, name, text in _find_field_defects(track, track_fields, optional):
            if name not in named:
                named.add(name)
                yield kind, f"tracks[{position}].{name}", text


def _find_field_defects(
    value: dict[Any, Any], fields: Mapping[str, pa.DataType], optional: Container[str], also: str = ""
) -> Iterator[Defect]:
    for name in value.get(REPEATED, ()):
        if name in fields or name == also:
            yield "repeated_field", name, "occurs more than once"
    for name, wanted in fields.items():
        if value.get(name) is None:
            if name not in optional:
                yield "missing_field", name, _name_missing(value, name)
            continue
        defect = find_value_defect(value[name], wanted)
        if defect:
            yield defect[0], name, defect[1]
        elif name == "collaborative" and value[name] not in COLLABORATIVE:
            yield "wrong_type", name, f'{quote_value(value[name])} instead of "true" or "false"'


def find_value_defect(value: Any, wanted: pa.DataType) -> tuple[str, str] | None:
    """Return kind and text of the defect if a value is not of the wanted type, text or an integer that fits."""
    if wanted == pa.string():
        return None if isinstance(value, str) else ("wrong_type", f"{TYPE_NAMES[type(value)]} instead of text")
    if type(value) is not int:
        return "wrong_type", f"{TYPE_NAMES[type(value)]} instead of an integer"
    bits = wanted.bit_width
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        return "out_of_range", f"{quote_value(value)} does not fit in {bits} bits"
    return None


def _name_missing(value: dict[Any, Any], name: str) -> str:
    return "null" if name in value else "missing"


def quote_value(value: Any) -> str:
    """Return a value as JSON in ASCII, at most 40 characters of it."""
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
