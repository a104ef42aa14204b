"""Every kind of broken input: the line of a strict run, and what the default does and reports."""

import hashlib
import json
import re
import zlib

import pytest
from recipes import make_extract_config

from playlist_pipeline.mpd import Archive, ArchiveError, extract_tables
from playlist_pipeline.mpd.repair import RULES, Findings, Problem

FIRST, SECOND = "mpd.slice.0-1.json", "mpd.slice.2-3.json"


def _extract(path, **settings):
    return extract_tables(Archive(path), make_extract_config(**settings), progress=False)


@pytest.fixture
def playlists(make_playlist):
    return [make_playlist(0, [0, 1, 2]), make_playlist(1, [3, 4]), make_playlist(2, [0, 9, 6]), make_playlist(3, [8])]


@pytest.fixture
def write(tmp_path, slice_text, write_archive):
    """Give a function that writes two slices of two playlists, the second one's text changed by ``edit``."""

    def write(playlists, edit=lambda data: data, **options):
        second = edit(slice_text(playlists[2:], 2, 3).encode())
        return write_archive(tmp_path, {FIRST: slice_text(playlists[:2], 0, 1), SECOND: second}, **options)

    return write


def _check(path, problem, *, tally, pids, counts=None, **settings):
    """Both rules of one defect: ``problem`` is kind, pid, field, text."""
    kind, pid, field, text = problem
    where = ", ".join(filter(None, ("mpd.zip", SECOND, None if pid is None else f"pid {pid}", field)))
    line = f"{where}: {text}; mend it, or set extract.strict to false to {RULES[kind].offer}"
    with pytest.raises(ArchiveError) as caught:
        _extract(path, strict=True, **settings)
    assert str(caught.value) == line
    tables, report = _extract(path, strict=False, **settings)
    assert report[tally] == (counts or {kind: 1})
    entry = {"slice": SECOND, "pid": pid, "field": field, "problem": text, "action": RULES[kind].action}
    assert report["problems"][0] == entry
    assert tables.playlists["pid"].to_pylist() == pids
    return tables, report


UNREADABLE = {
    "empty file": (lambda data: b"", "broken_json", "the file is empty"),
    "blank file": (lambda data: b" \n", "broken_json", "the file is empty"),
    "cut in the middle of a text": (
        lambda data: data[: data.index(b"Playlist 3") + 4],
        "broken_json",
        "not JSON: Unterminated string starting at line 53 column 21",
    ),
    "cut before the last bracket": (
        lambda data: data[:-1],
        "broken_json",
        "not JSON: Expecting ',' delimiter at line 77 column 1",
    ),
    "text after the object": (
        lambda data: data + b"\nmore",
        "broken_json",
        "not JSON: Extra data at line 78 column 1",
    ),
    "two objects": (lambda data: data + b"{}", "broken_json", "not JSON: Extra data at line 77 column 2"),
    "comma too many": (
        lambda data: data.replace(b'"v1"', b'"v1",'),
        "broken_json",
        "not JSON: Expecting property name enclosed in double quotes at line 6 column 5",
    ),
    "control character": (
        lambda data: data.replace(b"Playlist 3", b"Play\nlist 3"),
        "broken_json",
        "not JSON: Invalid control character at line 53 column 26",
    ),
    "not UTF-8": (lambda data: b'{"info": "\xff"}', "broken_json", "not UTF-8 at byte 10"),
    "UTF-16": (lambda data: data.decode().encode("utf-16"), "broken_json", "not UTF-8 at byte 0"),
    "nested too deep": (
        lambda data: data[:-1] + b', "x":' + b"[" * 100_000 + b"]" * 99_999 + b"}",
        "broken_json",
        "not JSON that can be read: nested too deep",
    ),
    "null": (lambda data: b"null", "wrong_layout", "not an object with a list of playlists"),
    "a list": (lambda data: b"[]", "wrong_layout", "not an object with a list of playlists"),
    "a list of playlists": (
        lambda data: json.dumps(json.loads(data)["playlists"]).encode(),
        "wrong_layout",
        "not an object with a list of playlists",
    ),
    "no playlists": (lambda data: b'{"info": {}}', "wrong_layout", "not an object with a list of playlists"),
    "null playlists": (
        lambda data: b'{"info": {}, "playlists": null}',
        "wrong_layout",
        "not an object with a list of playlists",
    ),
    "playlists twice": (
        lambda data: b'{"info": {}, "playlists": [], "playlists": []}',
        "wrong_layout",
        "more than one list of playlists",
    ),
}


@pytest.mark.parametrize(("edit", "kind", "text"), list(UNREADABLE.values()), ids=list(UNREADABLE))
def test_slice_that_cannot_be_read_is_skipped(write, playlists, edit, kind, text):
    path = write(playlists, edit)
    tables, report = _check(path, (kind, None, None, text), tally="skipped", pids=[0, 1], max_ratio=1000)
    assert report["counts"]["slices"] == 1
    assert report["counts"]["tracks"] == tables.tracks.num_rows == 5
    assert report["md5"] == {"verified": 2, "mismatched": 0, "absent": 0}


def _drop(place, name):
    def edit(playlist):
        del (playlist["tracks"][1] if place == "track" else playlist)[name]

    return edit


def _set(place, name, value):
    def edit(playlist):
        (playlist["tracks"][1] if place == "track" else playlist)[name] = value

    return edit


HUGE = 10**60
UNUSABLE = {
    "name a number": (_set("playlist", "name", 5), "wrong_type", "name", "an integer instead of text"),
    "name a list": (_set("playlist", "name", ["x"]), "wrong_type", "name", "a list instead of text"),
    "count a text": (_set("playlist", "num_tracks", "3"), "wrong_type", "num_tracks", "text instead of an integer"),
    "count a decimal": (
        _set("playlist", "num_tracks", 3.0),
        "wrong_type",
        "num_tracks",
        "a decimal number instead of an integer",
    ),
    "count a boolean": (
        _set("playlist", "num_edits", True),
        "wrong_type",
        "num_edits",
        "a boolean instead of an integer",
    ),
    "collaborative a boolean": (
        _set("playlist", "collaborative", False),
        "wrong_type",
        "collaborative",
        "a boolean instead of text",
    ),
    "collaborative another text": (
        _set("playlist", "collaborative", "no"),
        "wrong_type",
        "collaborative",
        '"no" instead of "true" or "false"',
    ),
    "description a number": (
        _set("playlist", "description", 1),
        "wrong_type",
        "description",
        "an integer instead of text",
    ),
    "tracks an object": (_set("playlist", "tracks", {}), "wrong_type", "tracks", "an object instead of a list"),
    "track a text": (
        lambda playlist: playlist["tracks"].__setitem__(1, "x"),
        "wrong_type",
        "tracks[1]",
        "text instead of an object",
    ),
    "track null": (
        lambda playlist: playlist["tracks"].__setitem__(1, None),
        "wrong_type",
        "tracks[1]",
        "null instead of an object",
    ),
    "URI a number": (
        _set("track", "track_uri", 7),
        "wrong_type",
        "tracks[1].track_uri",
        "an integer instead of text",
    ),
    "duration a text": (
        _set("track", "duration_ms", "180000"),
        "wrong_type",
        "tracks[1].duration_ms",
        "text instead of an integer",
    ),
    "no name": (_drop("playlist", "name"), "missing_field", "name", "missing"),
    "name null": (_set("playlist", "name", None), "missing_field", "name", "null"),
    "no tracks field": (_drop("playlist", "tracks"), "missing_field", "tracks", "missing"),
    "tracks null": (_set("playlist", "tracks", None), "missing_field", "tracks", "null"),
    "no count": (_drop("playlist", "num_artists"), "missing_field", "num_artists", "missing"),
    "no URI": (_drop("track", "track_uri"), "missing_field", "tracks[1].track_uri", "missing"),
    "no pos": (_drop("track", "pos"), "missing_field", "tracks[1].pos", "missing"),
    "no artist": (_set("track", "artist_name", None), "missing_field", "tracks[1].artist_name", "null"),
    "followers too many": (
        _set("playlist", "num_followers", 2**31),
        "out_of_range",
        "num_followers",
        "2147483648 does not fit in 32 bits",
    ),
    "duration too long": (
        _set("track", "duration_ms", -(2**31) - 1),
        "out_of_range",
        "tracks[1].duration_ms",
        "-2147483649 does not fit in 32 bits",
    ),
    "modified too late": (
        _set("playlist", "modified_at", HUGE),
        "out_of_range",
        "modified_at",
        f"{str(HUGE)[:37]}... does not fit in 64 bits",
    ),
    "no tracks in it": (_set("playlist", "tracks", []), "empty_playlist", "tracks", "no tracks"),
}


@pytest.mark.parametrize(("edit", "kind", "field", "text"), list(UNUSABLE.values()), ids=list(UNUSABLE))
def test_unusable_playlist_is_skipped(write, playlists, edit, kind, field, text):
    edit(playlists[2])
    tables, report = _check(write(playlists), (kind, 2, field, text), tally="skipped", pids=[0, 1, 3])
    assert len(report["problems"]) == 1
    assert tables.memberships["playlist_id"].to_pylist() == [0, 0, 0, 1, 1, 2]
    assert "Track 9" not in tables.tracks["name"].to_pylist()
    assert report["repaired"] == report["noted"] == {}


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ("2", "wrong_type", "text instead of an integer"),
        (None, "missing_field", "null"),
        (2**31, "out_of_range", "2147483648 does not fit in 32 bits"),
    ],
)
def test_playlist_without_usable_pid_is_named_by_its_place(write, playlists, value, kind, text):
    playlists[3]["pid"] = value
    _check(write(playlists), (kind, None, "playlists[1].pid", text), tally="skipped", pids=[0, 1, 2])


@pytest.mark.parametrize(("value", "text"), [(None, "null"), (7, "an integer"), ("x", "text"), ([], "a list")])
def test_playlist_that_is_no_object_is_skipped(write, playlists, value, text):
    playlists[3] = value
    problem = ("wrong_type", None, "playlists[1]", f"{text} instead of an object")
    _check(write(playlists), problem, tally="skipped", pids=[0, 1, 2])


def test_repeated_field_is_named(write, playlists):
    path = write(playlists, lambda data: data.replace(b'"pid": 3,', b'"pid": 3, "num_edits": 1,'))
    problem = ("repeated_field", 3, "num_edits", "occurs more than once")
    _check(path, problem, tally="skipped", pids=[0, 1, 2])


def test_repeated_field_that_is_not_read_does_no_harm(write, playlists):
    path = write(playlists, lambda data: data.replace(b'"pid": 3,', b'"pid": 3, "x": 1, "x": 2,'))
    tables, _ = _extract(path, strict=True)
    assert tables.playlists.num_rows == 4


def test_all_defects_of_a_playlist_are_listed_but_it_counts_once(write, playlists):
    playlists[2]["name"] = 5
    del playlists[2]["num_edits"]
    for track in playlists[2]["tracks"]:
        track["duration_ms"] = "long"
    _, report = _extract(write(playlists), strict=False)
    assert [(problem["pid"], problem["field"]) for problem in report["problems"]] == [
        (2, "name"),
        (2, "num_edits"),
        (2, "tracks[0].duration_ms"),
    ]
    assert report["skipped"] == {"wrong_type": 1}


@pytest.mark.parametrize("name", ["num_tracks", "num_albums", "num_artists", "duration_ms"])
def test_count_that_disagrees_is_recomputed(write, playlists, name):
    right = playlists[2][name]
    playlists[2][name] = right + 4
    problem = (name, 2, name, f"{right + 4} instead of {right}")
    tables, report = _check(write(playlists), problem, tally="repaired", pids=[0, 1, 2, 3])
    assert tables.playlists[name].to_pylist()[2] == right
    assert report["skipped"] == {}


POSITIONS = {
    "swapped": ([2, 0, 1], "pos_sorted", 0, "2 instead of 0", [9, 6, 0]),
    "gap": ([0, 1, 3], "pos_renumbered", 2, "3 instead of 2", [0, 9, 6]),
    "repeat": ([0, 0, 1], "pos_renumbered", 1, "0 instead of 1", [0, 9, 6]),
    "from one": ([1, 2, 3], "pos_renumbered", 0, "1 instead of 0", [0, 9, 6]),
    "negative": ([-1, 0, 1], "pos_renumbered", 0, "-1 instead of 0", [0, 9, 6]),
}


@pytest.mark.parametrize(("positions", "kind", "index", "text", "order"), list(POSITIONS.values()), ids=list(POSITIONS))
def test_positions_out_of_order_are_repaired(write, playlists, positions, kind, index, text, order):
    for track, position in zip(playlists[2]["tracks"], positions, strict=True):
        track["pos"] = position
    problem = (kind, 2, f"tracks[{index}].pos", text)
    tables, _ = _check(write(playlists), problem, tally="repaired", pids=[0, 1, 2, 3])
    rows = tables.memberships.to_pylist()[5:8]
    names = tables.tracks["name"].to_pylist()
    assert [row["position"] for row in rows] == [0, 1, 2]
    assert [names[row["track_id"]] for row in rows] == [f"Track {number}" for number in order]


def test_same_pid_twice_in_a_slice_keeps_the_first(write, playlists):
    playlists[3]["pid"] = 2
    problem = ("repeated_pid", 2, "pid", "already used by an earlier playlist in this slice")
    tables, _ = _check(write(playlists), problem, tally="skipped", pids=[0, 1, 2])
    assert tables.playlists["name"].to_pylist()[2] == "Playlist 2"


def test_pid_of_a_skipped_playlist_is_free(write, playlists):
    playlists[3]["pid"] = 2
    playlists[2]["tracks"] = []
    tables, report = _extract(write(playlists), strict=False)
    assert tables.playlists["name"].to_pylist() == ["Playlist 0", "Playlist 1", "Playlist 3"]
    assert report["skipped"] == {"empty_playlist": 1}


def test_same_pid_twice_across_slices_keeps_the_first(write, playlists):
    playlists[2]["pid"] = 1
    problem = ("repeated_pid", 1, "pid", f"already used by an earlier playlist in {FIRST}")
    tables, report = _check(write(playlists), problem, tally="skipped", pids=[0, 1, 3])
    assert tables.tracks["name"].to_pylist() == ["Track 0", "Track 1", "Track 2", "Track 3", "Track 4", "Track 8"]
    assert report["counts"]["artists"] == 3
    assert report["md5"]["verified"] == 2


def test_overlapping_slices_are_named_and_read_once(tmp_path, playlists, slice_text, write_archive):
    files = {
        "mpd.slice.0-2.json": slice_text(playlists[:3], 0, 2),
        "mpd.slice.1-1.json": slice_text([], 1, 1),
        SECOND: slice_text(playlists[2:], 2, 3),
    }
    path = write_archive(tmp_path, files)
    line = "mpd.zip, mpd.slice.1-1.json: the range of its name overlaps that of mpd.slice.0-2.json"
    with pytest.raises(ArchiveError) as caught:
        _extract(path, strict=True)
    assert str(caught.value) == f"{line}; mend it, or set extract.strict to false to read both slices"
    tables, report = _extract(path, strict=False)
    assert report["noted"] == {"overlapping_slices": 2}
    assert report["skipped"] == {"repeated_pid": 1}
    assert report["problems"] == [
        {
            "slice": "mpd.slice.1-1.json",
            "pid": None,
            "field": None,
            "problem": "the range of its name overlaps that of mpd.slice.0-2.json",
            "action": "both slices read",
        },
        {
            "slice": SECOND,
            "pid": None,
            "field": None,
            "problem": "the range of its name overlaps that of mpd.slice.0-2.json",
            "action": "both slices read",
        },
        {
            "slice": SECOND,
            "pid": 2,
            "field": "pid",
            "problem": "already used by an earlier playlist in mpd.slice.0-2.json",
            "action": "playlist skipped",
        },
    ]
    assert tables.playlists["pid"].to_pylist() == [0, 1, 2, 3]


def test_whole_slice_of_repeated_pids_leaves_nothing(tmp_path, playlists, slice_text, write_archive):
    text = slice_text(playlists[:2], 0, 1)
    path = write_archive(tmp_path, {FIRST: text, "mpd.slice.0-9.json": text})
    tables, report = _extract(path, strict=False)
    assert report["skipped"] == {"repeated_pid": 2}
    assert tables.playlists["pid"].to_pylist() == [0, 1]


def test_pid_outside_the_name_of_its_slice_is_named_and_kept(write, playlists):
    playlists[2]["pid"] = 7
    problem = ("pid_outside_slice", 7, "pid", "not in 2-3, the range of the slice's name")
    _check(write(playlists), problem, tally="noted", pids=[0, 1, 7, 3])


@pytest.mark.parametrize("info", [b'"info": null', b'"info": "x"', b'"no": {}'])
def test_missing_info_is_named_and_the_slice_kept(write, playlists, info):
    def edit(data):
        return b"{" + info + data[data.index(b"}") + 1 :]

    problem = ("missing_info", None, "info", "no such object")
    _check(write(playlists, edit), problem, tally="noted", pids=[0, 1, 2, 3])


def _patch_entry(path, offset, value):
    """Overwrite bytes of the second slice's entry in the zip's central directory."""
    data = bytearray(path.read_bytes())
    start = data.rindex(b"PK\x01\x02", 0, data.rindex(SECOND.encode())) + offset
    data[start : start + len(value)] = value
    path.write_bytes(data)


def test_bad_crc_is_named_and_the_slice_skipped(write, playlists, slice_text):
    path = write(playlists)
    _patch_entry(path, 16, b"\x01\0\0\0")
    crc = zlib.crc32(slice_text(playlists[2:], 2, 3).encode())
    problem = ("damaged_slice", None, None, f"CRC-32 {crc:08x} instead of 00000001")
    _, report = _check(path, problem, tally="skipped", pids=[0, 1])
    assert report["md5"] == {"verified": 1, "mismatched": 0, "absent": 0}


def test_truncated_slice_is_named_and_skipped(write, playlists):
    path = write(playlists)
    _patch_entry(path, 20, b"\x20\0\0\0")
    problem = ("damaged_slice", None, None, "cannot be inflated (incomplete or truncated stream)")
    _check(path, problem, tally="skipped", pids=[0, 1])


def test_truncated_zip_is_refused_by_both_rules(write, playlists):
    path = write(playlists)
    path.write_bytes(path.read_bytes()[:-30])
    for strict in (True, False):
        with pytest.raises(ArchiveError) as caught:
            _extract(path, strict=strict)
        assert str(caught.value) == (
            f"archive {path} is cut short (a zip without its central directory): fetch or copy it again"
        )


def test_no_slices_at_all_is_refused_by_both_rules(tmp_path, write_archive):
    path = write_archive(tmp_path, {"readme.json": "{}"})
    for strict in (True, False):
        with pytest.raises(ArchiveError) as caught:
            _extract(path, strict=strict)
        assert str(caught.value) == (
            f"archive {path} holds no slice: it must hold files named mpd.slice.<first>-<last>.json, at any level; "
            "give another path"
        )


def test_md5_mismatch_is_named_and_the_slice_skipped(tmp_path, playlists, slice_text, write_archive):
    good, bad = (slice_text(part, *pids) for part, pids in ((playlists[:2], (0, 1)), (playlists[2:], (2, 3))))
    folder = write_archive(tmp_path, {FIRST: good, SECOND: bad + " "}, kind="folder")
    (folder / "data" / SECOND).write_text(bad)
    folder = folder.rename(tmp_path / "mpd.zip")  # a folder: only its name ends so
    listed = Archive(folder).md5sums[SECOND]
    held = hashlib.md5(bad.encode()).hexdigest()
    text = f"MD5 {held} instead of {listed}"
    _, report = _check(folder, ("wrong_md5", None, None, text), tally="skipped", pids=[0, 1])
    assert report["md5"] == {"verified": 1, "mismatched": 1, "absent": 0}


def test_damaged_md5sums_is_named_and_taken_as_absent(write, playlists):
    path = write(playlists)
    data = bytearray(path.read_bytes())
    start = data.rindex(b"PK\x01\x02") + 16
    data[start : start + 4] = b"\0\0\0\0"
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"^mpd.zip, md5sums: CRC-32 \w{8} instead of 00000000; mend it, or set ext"):
        _extract(path, strict=True)
    _, report = _extract(path, strict=False)
    assert report["noted"] == {"damaged_md5sums": 1}
    assert report["md5"] == {"verified": 0, "mismatched": 0, "absent": 2}
    assert report["counts"]["playlists"] == 4


def test_slice_too_large_is_skipped(write, playlists, slice_text):
    size = len(slice_text(playlists[2:], 2, 3))
    playlists[0]["tracks"], playlists[0]["name"] = playlists[0]["tracks"][:1], "short"
    playlists[0].update(num_tracks=1, num_albums=1, num_artists=1, duration_ms=180_000)
    text = f"{size} bytes, of which extract.max_slice_bytes allows {size - 1}"
    problem = ("slice_too_large", None, None, text)
    _check(write(playlists), problem, tally="skipped", pids=[0, 1], max_slice_bytes=size - 1)


def test_slice_that_repair_makes_too_large_is_skipped(write, playlists, monkeypatch):
    monkeypatch.setattr("playlist_pipeline.mpd.repair.MAX_SLICE_BYTES", 1_000)
    playlists[2]["num_tracks"] += 1
    path = write(playlists)
    _, report = _extract(path, strict=False)
    assert report["skipped"] == {"slice_too_large": 1}
    (size,) = re.findall(r"^(\d+) bytes after repair, of which 1000 can be read$", report["problems"][1]["problem"])
    assert int(size) > 1_000


def test_archive_of_which_nothing_is_left_is_refused(tmp_path, playlists, write_archive, slice_text):
    path = write_archive(tmp_path, {FIRST: "[]", SECOND: ""})
    with pytest.raises(ArchiveError) as caught:
        _extract(path, strict=False)
    assert str(caught.value) == (
        f"archive {path} has no usable playlist left; the first of 2 problems: "
        f"{FIRST}: not an object with a list of playlists"
    )
    path = write_archive(tmp_path, {FIRST: slice_text([], 0, 1)})
    with pytest.raises(ArchiveError) as caught:
        _extract(path, strict=False)
    assert str(caught.value) == f"archive {path} holds no playlists: give another archive"


@pytest.mark.parametrize("num_workers", [1, 2])
def test_problems_keep_their_order_and_limit(tmp_path, make_playlist, make_archive, num_workers):
    playlists = [make_playlist(pid, [pid], num_tracks=5) for pid in range(12)]
    path = make_archive(tmp_path, playlists, slice_size=2)
    _, report = _extract(path, strict=False, max_problems=5, num_workers=num_workers)
    assert [problem["pid"] for problem in report["problems"]] == [0, 1, 2, 3, 4]
    assert report["problems_unlisted"] == 7
    assert report["repaired"] == {"num_tracks": 12}
    _, report = _extract(path, strict=False, max_problems=0, num_workers=num_workers)
    assert (report["problems"], report["problems_unlisted"]) == ([], 12)
    with pytest.raises(ArchiveError, match=r"^mpd.zip, mpd.slice.0-1.json, pid 0, num_tracks: 5 instead of 1; mend"):
        _extract(path, strict=True, max_problems=0, num_workers=num_workers)


def test_repaired_archive_gives_the_tables_of_a_sound_one(tmp_path, make_playlists, make_archive):
    sound, broken = make_playlists(), make_playlists()
    for playlist in broken[::3]:
        playlist["num_albums"] += 1
        playlist["tracks"].reverse()
    expected, _ = _extract(make_archive(tmp_path, sound, name="sound.zip"), strict=True)
    found, report = _extract(make_archive(tmp_path, broken, name="broken.zip"), strict=False)
    assert found == expected
    assert report["repaired"] == {"pos_sorted": 14, "num_albums": 14}


def test_every_kind_has_a_rule_in_the_documented_table():
    from playlist_pipeline.mpd import repair  # noqa: PLC0415

    documented = [line.split()[0] for line in repair.__doc__.split("\n") if line[:1].islower() and "  " in line]
    assert documented == ["kind", *RULES]


def test_findings_add_up():
    one, two = Findings(2), Findings(2)
    problems = [Problem("num_tracks", "slice", pid, "num_tracks", "text") for pid in range(4)]
    one.add(problems[0])
    two.add(problems[1])
    two.add(problems[2], counted=False)
    two.add(problems[3])
    one.extend(two)
    assert one.first == problems[0]
    assert one.listed == problems[:2]
    assert (one.total, one.count_by("repaired"), one.count_by("skipped")) == (4, {"num_tracks": 3}, {})
