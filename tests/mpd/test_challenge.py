"""Challenge sets: what is read of a right one, and how each defect is named."""

import json
import os
from copy import deepcopy

import pytest

from playlist_pipeline.mpd import ChallengeSetError, read_challenge_set

MENDING = "; mend it, or fetch or copy the file again"


@pytest.fixture
def content(make_playlist, make_challenge_set):
    """Ten playlists of 110 tracks, one for each scenario."""
    return make_challenge_set([make_playlist(pid, list(range(pid, pid + 110))) for pid in range(10)])


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a set, as JSON or as it is, and reads it."""

    def write_and_read(content):
        path = tmp_path / "challenge_set.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return read_challenge_set(path)

    return write_and_read


def refused(read, content, tmp_path):
    with pytest.raises(ChallengeSetError) as caught:
        read(content)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"challenge set {tmp_path}/challenge_set.json").removesuffix(MENDING)


def uri(number):
    return f"spotify:track:{number:022d}"


def test_the_ten_scenarios(read, content):
    challenge_set = read(content)
    playlists = challenge_set.playlists
    assert [playlist.pid for playlist in playlists] == list(range(1_000_000, 1_000_010))
    assert [len(playlist.seeds) for playlist in playlists] == [0, 1, 5, 5, 10, 10, 25, 25, 100, 100]
    assert [playlist.title for playlist in playlists] == [
        None if pid in (3, 5) else f"Playlist {pid}" for pid in range(10)
    ]
    assert all(playlist.num_holdouts == 110 - len(playlist.seeds) for playlist in playlists)
    assert playlists[2].seeds == tuple(uri(number) for number in range(2, 7))
    assert playlists[7].seeds != tuple(uri(number) for number in range(7, 32))
    assert list(playlists[7].seeds) == sorted(playlists[7].seeds)
    assert len(challenge_set) == 10


def test_seeds_stand_by_their_place_whatever_the_order_of_the_file(read, content):
    expected = read(content).playlists
    for playlist in content["playlists"]:
        playlist["tracks"].reverse()
    assert read(content).playlists == expected


def test_only_what_is_needed_is_asked_for(read):
    track = {"pos": 3, "track_uri": uri(1)}
    playlist = {"pid": 5, "num_tracks": 9, "num_samples": 2, "num_holdouts": 7, "tracks": [track, track | {"pos": 4}]}
    (found,) = read({"playlists": [playlist | {"name": None}]}).playlists
    assert (found.pid, found.title, found.seeds, found.num_holdouts) == (5, None, (uri(1), uri(1)), 7)


def test_marks_and_lone_surrogates_are_no_defects(read, content):
    text = json.dumps(content).replace("Playlist 1", r"\ud83d").encode()
    assert read(b"\xef\xbb\xbf" + text).playlists[1].title == "\ufffd"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "the file is empty"),
        (b'{"playlists": [', "not JSON: Expecting value at line 1 column 16"),
        (b'{"playlists": "\xff"}', "not UTF-8 at byte 15"),
        (b"[]", "not an object with a list of playlists"),
        (b'{"playlists": {}}', "not an object with a list of playlists"),
        (b'{"playlists": [], "playlists": [1]}', "more than one list of playlists"),
        (b'{"playlists": []}', "no playlists"),
        (b'{"playlists": [7]}', None),
    ],
)
def test_what_is_no_challenge_set(read, tmp_path, data, text):
    expected = f": {text}" if text else ", playlists[0]: an integer instead of an object"
    assert refused(read, data, tmp_path) == expected


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pid": None}, "playlists[2], pid: null"),
        ({"pid": "7"}, "playlists[2], pid: text instead of an integer"),
        ({"pid": 2**31}, "playlists[2], pid: 2147483648 does not fit in 32 bits"),
        ({"pid": -1}, "pid -1, pid: -1 is negative"),
        ({"pid": 1_000_001}, "pid 1000001, pid: already used by an earlier playlist"),
        ({"name": 5}, "pid 1000002, name: an integer instead of text"),
        ({"num_tracks": 110.0}, "pid 1000002, num_tracks: a decimal number instead of an integer"),
        ({"num_tracks": 111}, "pid 1000002, num_tracks: 111 instead of 5 samples + 105 holdouts"),
        ({"num_samples": True}, "pid 1000002, num_samples: a boolean instead of an integer"),
        ({"num_samples": 6}, "pid 1000002, num_samples: 6 with 5 tracks given"),
        ({"num_holdouts": None}, "pid 1000002, num_holdouts: null"),
        ({"num_holdouts": -1, "num_tracks": 4}, "pid 1000002, num_holdouts: -1 is negative"),
        ({"tracks": None}, "pid 1000002, tracks: null"),
        ({"tracks": "none"}, "pid 1000002, tracks: text instead of a list"),
        ({"tracks": [3]}, "pid 1000002, tracks[0]: an integer instead of an object"),
    ],
)
def test_broken_fields_of_a_playlist(read, tmp_path, content, change, text):
    content["playlists"][2] |= change
    assert refused(read, content, tmp_path) == f", {text}"


@pytest.mark.parametrize("name", ["pid", "num_tracks", "num_samples", "num_holdouts", "tracks"])
def test_missing_fields_of_a_playlist(read, tmp_path, content, name):
    del content["playlists"][2][name]
    playlist = "playlists[2]" if name == "pid" else "pid 1000002"
    assert refused(read, content, tmp_path) == f", {playlist}, {name}: missing"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pos": None}, "pos: null"),
        ({"pos": "3"}, "pos: text instead of an integer"),
        ({"pos": 1}, "pos: 1 is the place of an earlier track"),
        ({"pos": -1}, "pos: -1 in a playlist of 110 tracks, counted from 0"),
        ({"pos": 110}, "pos: 110 in a playlist of 110 tracks, counted from 0"),
        ({"track_uri": None}, "track_uri: null"),
        ({"track_uri": 3}, "track_uri: an integer instead of text"),
        ({"track_uri": "spotify:album:" + "0" * 22}, None),
        ({"track_uri": "spotify:track:" + "0" * 21}, None),
        ({"track_uri": "spotify:track:" + "0" * 20 + ":0"}, None),
    ],
)
def test_broken_fields_of_a_track(read, tmp_path, content, change, text):
    content = deepcopy(content)
    content["playlists"][2]["tracks"][3] |= change
    if text is None:
        text = f'track_uri: "{change["track_uri"]}" is not spotify:track: and an id of 22 characters'
    assert refused(read, content, tmp_path) == f", pid 1000002, tracks[3].{text}"


def test_a_repeated_field(read, tmp_path, content):
    text = json.dumps(content).replace('"pid": 1000002', '"pid": 1000002, "pid": 1000002')
    assert refused(read, text.encode(), tmp_path) == ", pid 1000002, pid: occurs more than once"


def test_hostile_files(read, tmp_path, content, monkeypatch):
    crowded = b'{"playlists": [' + b"{}," * 2**19 + b"{}]}"
    assert refused(read, crowded, tmp_path) == ": more than one value in 12 bytes"
    deep = b'{"playlists": [], "x": ' + b"[" * 100_000
    assert refused(read, deep, tmp_path) == ": not JSON that can be read: nested too deep"
    for number in ("1e400", "NaN"):
        data = json.dumps(content).replace('"pid": 1000002', f'"pid": {number}').encode()
        assert refused(read, data, tmp_path) == ", playlists[2], pid: a decimal number instead of an integer"
    size = len(json.dumps(content))
    monkeypatch.setattr("playlist_pipeline.mpd.challenge.MAX_BYTES", size)
    assert len(read(content)) == 10
    assert refused(read, content | {"version": "v10"}, tmp_path) == f": more than {size} bytes"


def test_a_challenge_set_of_few_bytes_a_track_is_read(read):
    """It stays below the bounds on values in so many bytes."""
    tracks = [{"pos": pos, "track_uri": uri(pos)} for pos in range(20_000)]
    playlist = {"pid": 5, "num_tracks": 20_001, "num_samples": 20_000, "num_holdouts": 1, "tracks": tracks}
    data = json.dumps({"playlists": [playlist]}, separators=(",", ":")).encode()
    assert len(data) > 2**20
    assert len(read(data).playlists[0].seeds) == 20_000


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero"):
        with pytest.raises(ChallengeSetError, match=r": not a regular file; mend it, or fetch or copy the file again$"):
            read_challenge_set(path)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ChallengeSetError) as caught:
        read_challenge_set(tmp_path / "none.json")
    assert str(caught.value) == (
        f"challenge set {tmp_path}/none.json does not exist: give the path of a challenge_set.json, "
        "on the command line as --params=challenge_set=PATH"
    )
    with pytest.raises(ChallengeSetError, match=r"cannot be read: Is a directory$"):
        read_challenge_set(tmp_path)
