"""Whatever an archive holds: no other error than a line, what is kept satisfies the schema, and counts add up."""

import json
import struct
import zipfile
from io import BytesIO

import pytest
from fuzz_targets import check_slice, check_zip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from playlist_pipeline.mpd.schema import OPTIONAL_PLAYLIST_FIELDS, PLAYLIST_FIELDS, TRACK_FIELDS

few = settings(derandomize=True, database=None, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
NUMBERS = st.one_of(
    st.integers(-2, 12),
    st.sampled_from([2**31 - 1, 2**31, -(2**31), 2**63 - 1, 2**63, 10**400]),
    st.floats(allow_nan=True, allow_infinity=True),
)
TEXTS = st.one_of(st.text(max_size=5), st.sampled_from(["", "true", "false", "\x00", "\ud83d", "\u2028", "'); DROP"]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)


@st.composite
def make_slices(draw):
    """A sound slice of a few playlists of a few tracks, some of whose values are replaced, dropped or put twice."""
    numbers = draw(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), max_size=4))
    content = {"info": {}, "playlists": [_make_playlist(pid, tracks) for pid, tracks in enumerate(numbers)]}
    places = [content, *content["playlists"], *(track for each in content["playlists"] for track in each["tracks"])]
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(places))
        name = draw(st.sampled_from([*place, "description", "x"]))
        if draw(st.booleans()):
            place[name] = draw(st.integers(-1, 6) if type(place.get(name)) is int else VALUES)
        else:
            place.pop(name, None)
    text = json.dumps(content, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 4])))
    if draw(st.integers(0, 4)) == 0:
        name = draw(st.sampled_from(["pid", "tracks", "track_uri", "playlists", "x"]))
        text = text.replace(f'"{name}"', f'"{name}": {json.dumps(draw(VALUES))}, "{name}"', 1)
    return text.encode("utf-8", "surrogatepass")


def _make_playlist(pid, tracks):
    entries = [
        dict.fromkeys(TRACK_FIELDS, f"{number}") | {"pos": position, "duration_ms": number}
        for position, number in enumerate(tracks)
    ]
    distinct = len(set(tracks))
    playlist = dict.fromkeys(PLAYLIST_FIELDS, pid) | {"name": "a", "collaborative": "true", "tracks": entries}
    counts = {"num_tracks": len(tracks), "num_albums": distinct, "num_artists": distinct, "duration_ms": sum(tracks)}
    return playlist | counts | dict.fromkeys(OPTIONAL_PLAYLIST_FIELDS, None)


@st.composite
def mutate(draw, sources):
    """Bytes with some of them replaced, cut out, repeated or added."""
    data = bytearray(draw(sources))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        data[start:end] = draw(st.one_of(st.binary(max_size=8), st.just(bytes(data[start:end]) * 2)))
    return bytes(data)


@given(st.one_of(st.binary(), st.text().map(str.encode), VALUES.map(json.dumps).map(str.encode)))
@few
def test_any_bytes_as_a_slice(data):
    check_slice(data)


@given(make_slices())
@few
def test_slices_that_are_nearly_sound(data):
    check_slice(data)


@given(mutate(make_slices()))
@few
def test_slices_with_changed_bytes(data):
    check_slice(data)


def test_a_sound_slice_is_kept_whole():
    """The slices above begin as this one."""
    content = {"info": {}, "playlists": [_make_playlist(0, [1, 2, 1]), _make_playlist(1, [5])]}
    result = check_slice(json.dumps(content).encode())
    assert not result.findings.total
    assert result.columns.lengths.tolist() == [3, 1]


@st.composite
def make_zips(draw):
    """A zip of a few nearly sound slices, some bytes of whose directory are replaced."""
    names = st.sampled_from(["mpd.slice.0-9.json", "a/mpd.slice.0-9.json", "mpd.slice.5-12.json", "md5sums", "other"])
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as file:
        for name in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
            file.writestr(zipfile.ZipInfo(name), draw(make_slices()), file.compression)
    data = bytearray(buffer.getvalue())
    first = data.index(b"PK\x01\x02")
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(first, len(data) - 1))
        value = draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 4, struct.pack("<I", 1)])))
        data[start : start + len(value)] = value
    return bytes(data)


@given(make_zips())
@few
def test_zips_with_a_changed_directory(data):
    check_zip(data)


@given(mutate(make_zips()))
@few
def test_zips_with_changed_bytes(data):
    check_zip(data)


@pytest.mark.parametrize("size", [0, 3])
def test_a_sound_zip_is_read_whole(size):
    buffer = BytesIO()
    content = {"info": {}, "playlists": [_make_playlist(pid, [pid]) for pid in range(size)]}
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("mpd.slice.0-9.json", json.dumps(content))
    report = check_zip(buffer.getvalue())
    assert (report and report["counts"]["playlists"]) == (size or None)
