"""One slice: the parser's edges, and that whole columns are checked as the rows would be."""

import json

import numpy as np
import pyarrow as pa
import pytest

from playlist_pipeline.mpd import parse_slice
from playlist_pipeline.mpd.archive import Member, Slice
from playlist_pipeline.mpd.slices import _hash_texts, build_columns

PART = Slice("mpd.slice.0-9.json", 0, 9, Member("mpd.slice.0-9.json", 0))


@pytest.fixture
def playlists(make_playlist):
    return [make_playlist(0, [0, 1, 2, 0]), make_playlist(1, [7, 2]), make_playlist(2, [5])]


def test_columns_hold_each_thing_once_in_order_of_appearance(playlists, slice_text):
    columns = build_columns(parse_slice(slice_text(playlists, 0, 9).encode()), PART)
    assert columns.lengths.tolist() == [4, 2, 1]
    assert columns.tracks.tolist() == [0, 1, 2, 0, 3, 2, 4]
    assert columns.track_name.to_pylist() == ["Track 0", "Track 1", "Track 2", "Track 7", "Track 5"]
    assert columns.track_duration.tolist() == [180_000, 180_001, 180_002, 180_007, 180_005]
    assert columns.artist_name.to_pylist() == ["Artist 0", "Artist 2", "Artist 1"]
    assert columns.track_artist.tolist() == [0, 0, 0, 1, 2]
    assert columns.album_name.to_pylist() == ["Album 0", "Album 1", "Album 3", "Album 2"]
    assert columns.track_album.tolist() == [0, 0, 1, 2, 3]
    assert not columns.track_varies.any()
    assert columns.playlists["num_albums"].to_pylist() == [2, 2, 1]
    assert columns.playlists["collaborative"].to_pylist() == [False, False, False]


def test_slice_without_playlists_is_right(slice_text):
    columns = build_columns(parse_slice(slice_text([], 0, 9).encode()), PART)
    assert columns.lengths.tolist() == columns.tracks.tolist() == []
    assert columns.playlists.num_rows == 0


REFUSED = {
    "empty": b"",
    "blank": b" \n ",
    "null": b"null",
    "null before the object": b'null {"info": {}, "playlists": []}',
    "a list": b"[]",
    "a number": b"1",
    "a text": b'"x"',
    "no playlists": b'{"info": {}}',
    "playlists null": b'{"info": {}, "playlists": null}',
    "playlists an object": b'{"info": {}, "playlists": {}}',
    "playlists twice": b'{"info": {}, "playlists": [], "playlists": []}',
    "no info": b'{"playlists": []}',
    "info null": b'{"info": null, "playlists": []}',
    "info a text": b'{"info": "x", "playlists": []}',
    "text after the object": b'{"info": {}, "playlists": []} x',
    "two objects": b'{"info": {}, "playlists": []}\n{"info": {}, "playlists": []}',
    "an object and null": b'{"info": {}, "playlists": []} null',
    "cut": b'{"info": {}, "playlists": [',
    "comma too many": b'{"info": {}, "playlists": [],}',
    "comment": b'{"info": {}, /* no */ "playlists": []}',
    "single quotes": b"{'info': {}, 'playlists': []}",
    "lone surrogate": b'{"info": {}, "playlists": [], "x": "\\ud83d"}',
    "not UTF-8": b'{"info": {}, "playlists": [], "x": "\xff"}',
    "UTF-16": '{"info": {}, "playlists": []}'.encode("utf-16"),
    "bytes of zero": b'{"info": {}, "playlists": []}\0\0',
}


@pytest.mark.parametrize("data", list(REFUSED.values()), ids=list(REFUSED))
def test_text_that_is_no_slice_is_refused(data):
    assert parse_slice(data) is None


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n\t "])
def test_byte_order_mark_and_space_are_passed_over(mark):
    assert len(parse_slice(mark + b'{"more": [1, {"a": null}], "info": {}, "playlists": []} \n')) == 0


PLAYLIST_TEXTS = ("name", "collaborative", "description")
PLAYLIST_INTEGERS = ("pid", "modified_at", "num_tracks", "num_albums", "num_followers", "num_edits", "duration_ms")
TRACK_TEXTS = ("artist_name", "track_uri", "artist_uri", "track_name", "album_uri", "album_name")
NOT_TEXT = (1, 1.5, True, [], ["a"], {}, {"a": 1})
NOT_INTEGER = ("1", "", 1.0, 1.5, 1e3, True, False, [], [1], {}, 2**63, -(2**63) - 1, float("nan"))


def _confusions():
    for texts, integers, place in (
        (PLAYLIST_TEXTS, (*PLAYLIST_INTEGERS, "num_artists"), "playlist"),
        (TRACK_TEXTS, ("pos", "duration_ms"), "track"),
    ):
        for names, values in ((texts, NOT_TEXT), (integers, NOT_INTEGER)):
            for name in names:
                yield from (pytest.param(place, name, value, id=f"{place}-{name}-{value!r}") for value in values)
    for value in ([], "x", 1, [1], [[]], ["x"], [None], {}, True, None):
        yield pytest.param("playlist", "tracks", value, id=f"playlist-tracks-{value!r}")


@pytest.mark.parametrize(("place", "name", "value"), list(_confusions()))
def test_no_confusion_of_types_passes(playlists, slice_text, place, name, value):
    target = playlists[1] if place == "playlist" else playlists[1]["tracks"][1]
    target[name] = value
    parsed = parse_slice(slice_text(playlists, 0, 9).encode())
    assert parsed is None or build_columns(parsed, PART) is None


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1])
@pytest.mark.parametrize("name", ["pid", "num_followers", "num_edits"])
def test_numbers_beyond_32_bits_do_not_pass(playlists, slice_text, name, number):
    playlists[2][name] = number
    assert parse_slice(slice_text(playlists, 0, 9).encode()) is None


@pytest.mark.parametrize("given", ["drop", "null"])
def test_missing_values_do_not_pass(playlists, slice_text, given):
    names = [("playlist", name) for name in playlists[1] if name != "description"]
    for place, name in names + [("track", name) for name in playlists[1]["tracks"][0]]:
        broken = json.loads(json.dumps(playlists))
        target = broken[1] if place == "playlist" else broken[1]["tracks"][0]
        target[name] = None
        if given == "drop":
            del target[name]
        assert build_columns(parse_slice(slice_text(broken, 0, 9).encode()), PART) is None, (place, name)


@pytest.mark.parametrize("description", [None, "", "text"])
def test_description_may_be_absent(playlists, slice_text, description):
    playlists[1]["description"] = description
    columns = build_columns(parse_slice(slice_text(playlists, 0, 9).encode()), PART)
    assert columns.playlists["description"].to_pylist() == ["About 0", description, None]


def test_every_check_sees_what_the_rows_say(make_playlist, slice_text):
    """Random changes of one number: the columns pass only if the playlist still agrees with itself."""
    rng = np.random.default_rng(5)
    outcomes = set()
    for _ in range(200):
        content = [make_playlist(pid, rng.integers(0, 9, rng.integers(1, 9)).tolist()) for pid in range(4)]
        playlist = content[rng.integers(4)]
        track = playlist["tracks"][rng.integers(len(playlist["tracks"]))]
        name = rng.choice(["num_tracks", "num_albums", "num_artists", "duration_ms", "pos", "pid"])
        (track if name == "pos" else playlist)[name] = int(rng.integers(0, 9))
        right = all(
            p["num_tracks"] == len(p["tracks"])
            and [t["pos"] for t in p["tracks"]] == list(range(len(p["tracks"])))
            and p["num_albums"] == len({t["album_uri"] for t in p["tracks"]})
            and p["num_artists"] == len({t["artist_uri"] for t in p["tracks"]})
            and p["duration_ms"] == sum(t["duration_ms"] for t in p["tracks"])
            for p in content
        ) and len({p["pid"] for p in content}) == len(content)
        assert (build_columns(parse_slice(slice_text(content, 0, 9).encode()), PART) is not None) == right
        outcomes.add(right)
    assert outcomes == {True, False}


def test_pid_outside_the_name_does_not_pass(playlists, slice_text):
    playlists[2]["pid"] = 10
    parsed = parse_slice(slice_text(playlists, 0, 9).encode())
    assert build_columns(parsed, PART) is None
    assert build_columns(parsed) is not None


@pytest.mark.parametrize("name", ["track_name", "artist_uri", "album_uri", "duration_ms"])
def test_tracks_that_vary_are_flagged(make_playlist, slice_text, name):
    playlists = [make_playlist(0, [0, 4, 8]), make_playlist(1, [8, 4])]
    entry = playlists[1]["tracks"][0]
    entry[name] = 7 if name == "duration_ms" else "other"
    playlists[1]["duration_ms"] = sum(track["duration_ms"] for track in playlists[1]["tracks"])
    columns = build_columns(parse_slice(slice_text(playlists, 0, 9).encode()), PART)
    assert columns.track_varies.tolist() == [False, False, True]
    assert columns.track_name.to_pylist() == ["Track 0", "Track 4", "Track 8"]


def test_hashes_tell_texts_apart_wherever_they_lie():
    texts = ["", "\0", "\0\0", "a", "b", "ab", "ba", "12345678", "12345679", "123456789", "12345678\0"]
    texts += ["x" * length for length in (7, 8, 9, 15, 16, 17, 1023, 1024)] + [
        "x" * 1015 + "y" + "x" * 8,
        "é",
        "e\u0301",
    ]
    hashes = _hash_texts(pa.array(texts)).tolist()
    assert len(set(hashes)) == len(texts)
    assert _hash_texts(pa.array(texts[::-1])).tolist() == hashes[::-1]
    assert _hash_texts(pa.array(["before", *texts, "after"])[1:-1]).tolist() == hashes
    assert _hash_texts(pa.array(["x" * 99_999] * 2)).tolist() == [_hash_texts(pa.array(["x" * 99_999])).item()] * 2
    assert len(_hash_texts(pa.array([], pa.string()))) == 0
