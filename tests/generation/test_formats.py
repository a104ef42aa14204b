import csv
import io
import json
import os
import random
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from playlist_pipeline.errors import UserError
from playlist_pipeline.generation.export import GeneratedPlaylist, PlaylistTrack
from playlist_pipeline.generation.formats import (
    FORMATS,
    format_as,
    format_csv,
    format_json,
    format_m3u8,
    format_uris,
    format_xspf,
    write_files,
    write_playlists,
)
from playlist_pipeline.generation.seed_files import parse_seeds, read_seed_file

NASTY = [
    "Plain",
    'Comma, "quote", it\'s; semi\ttab',
    "Two\nlines\r\nand\rmore\n",
    "<b>&amp;</b> ]]> <!-- x -->",
    "=1+1",
    "'=1",
    "-",
    "+44 @x",
    "@SUM(A1)",
    "\t=x",
    "\uff1d1",
    "مرحبا \u202e\u2067rtl\u2069 שלום",
    "👩‍🎤 ❤️ 🇯🇵",
    "宇多田ヒカル",
    "Jo\u0301ga e\u0301",
    "#EXTINF:1,x",
    "# comment",
    "<start>",
    "\x00\x07\x1b[31m\x7f\x85\u2028\u2029\ufeff",
    "\ufffe\uffff",
    "C:\\x\\y.mp3",
    "../../etc/passwd",
    "  blanks  ",
    "a - b - c",
    "",
    None,
]


# The characters that OWASP names, their full-width forms included.
FORMULA_START = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"


def make_uri(number):
    return f"spotify:track:{number:022d}"


def make_playlist(names, name="Name", first=0):
    """One track for each name, which is title, artist and album in turn."""
    tracks = tuple(
        PlaylistTrack(
            position,
            make_uri(first + position),
            title,
            names[position % len(names)],
            names[position - 2],
            position == 1,
        )
        for position, title in enumerate(names, 1)
    )
    settings = {"length": 30, "top_k": 50, "temperature": 1.0, "eop_weight": 0.0}
    return GeneratedPlaylist(name, (), tracks, "length", (), settings, 0)


@pytest.fixture
def playlists():
    return [make_playlist(NASTY, name, 100 * number) for number, name in enumerate(["Same", "Same", None, *NASTY])]


def read(text, format):
    return parse_seeds(text.encode(), source="file", format={"m3u8": "m3u", "uris": "text"}.get(format, format))


def list_uris(playlist):
    return tuple(track.uri for track in playlist.tracks)


@pytest.mark.parametrize("format", ["json", "csv", "uris"])
def test_several_playlists_come_back_as_the_same_tracks(format, playlists):
    found = read(format_as(playlists, format), format)
    assert [given.seeds for given in found] == [list_uris(playlist) for playlist in playlists]
    if format != "uris":
        # Blanks around a title do not count; the rest is unchanged.
        assert [given.name for given in found] == [(playlist.name or "").strip() or None for playlist in playlists]


@pytest.mark.parametrize("format", ["m3u8", "xspf"])
def test_one_playlist_comes_back_as_the_same_tracks(format, playlists):
    for playlist in playlists:
        (found,) = read(format_as([playlist], format), format)
        assert found.seeds == list_uris(playlist)


def test_random_names_come_back():
    """Any text can be a name: every format gives the same tracks, JSON and CSV the same names."""
    generator = random.Random(7)
    alphabet = [chr(code) for code in range(0x80)] + list(
        "\x85\u200b\u200f\u2028\u202e\u2066\ufeff\ufffeé宇👩\u200d🎤\uff1d"
    )

    def make_text():
        return "".join(generator.choices(alphabet, k=generator.randrange(12)))

    for _ in range(200):
        playlist = make_playlist([make_text() for _ in range(4)], make_text())
        for format in FORMATS:
            (found,) = read(format_as([playlist], format), format)
            assert found.seeds == list_uris(playlist), (format, playlist)
        for track, row in zip(playlist.tracks, read_rows(format_csv([playlist])), strict=True):
            assert strip_marks(row) == [track.artist, track.name, track.album]
        titles = ElementTree.fromstring(format_xspf(playlist)).iter("{http://xspf.org/ns/0/}track")
        for track, element in zip(playlist.tracks, titles, strict=True):
            held = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", " ", track.name)
            assert (element.findtext("{http://xspf.org/ns/0/}title") or "") == held
        lines = format_m3u8(playlist).split("\n")
        assert len(lines) <= 3 + 2 * len(playlist.tracks)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x85\u2028]", format_m3u8(playlist))


def read_rows(text):
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def strip_marks(row):
    names = [row[column] for column in ("artist", "name", "album")]
    return [name[1:] if re.match(r"'+" + FORMULA_START, name) else name for name in names]


def test_json_is_the_dictionaries(playlists):
    assert json.loads(format_json(playlists)) == [playlist.to_dict() for playlist in playlists]
    assert format_json([playlist.to_dict() for playlist in playlists]) == format_json(playlists)
    assert "宇多田ヒカル" in format_json(playlists)


def test_csv_holds_every_name_and_no_formula(playlists):
    rows = read_rows(format_csv(playlists))
    assert len(rows) == sum(len(playlist.tracks) for playlist in playlists)
    tracks = [(number, track) for number, playlist in enumerate(playlists, 1) for track in playlist.tracks]
    for row, (number, track) in zip(rows, tracks, strict=True):
        assert (row["playlist"], row["position"], row["uri"]) == (str(number), str(track.position), track.uri)
        assert row["link"] == track.link
        assert row["seed"] == ("true" if track.seed else "false")
        assert strip_marks(row) == [track.artist or "", track.name or "", track.album or ""]
        for column in ("playlist_name", "artist", "name", "album"):
            assert not re.match(FORMULA_START, row[column])


def test_m3u8_is_what_players_read():
    playlist = make_playlist(["A", "Two\nlines"], "Road\x07trip")
    playlist = replace(playlist, tracks=(*playlist.tracks, PlaylistTrack(3, make_uri(3), None, None, None, False)))
    assert format_m3u8(playlist) == (
        "#EXTM3U\n#PLAYLIST:Road trip\n"
        f"#EXTINF:-1,Two lines - A\n{make_uri(1)}\n"
        f"#EXTINF:-1,A - Two lines\n{make_uri(2)}\n"
        f"{make_uri(3)}\n"
    )


def test_xspf_is_what_players_read():
    playlist = make_playlist(["A & B", "\x07<i>\r"], None)
    assert format_xspf(playlist).startswith('<?xml version="1.0" encoding="UTF-8"?>\n<playlist version="1"')
    root = ElementTree.fromstring(format_xspf(playlist).encode())
    space = "{http://xspf.org/ns/0/}"
    assert root.tag == f"{space}playlist"
    assert root.find(f"{space}title") is None
    (first, _) = root.findall(f"{space}trackList/{space}track")
    assert {element.tag.removeprefix(space): element.text for element in first} == {
        "location": make_uri(1),
        "identifier": make_uri(1),
        "title": "A & B",
        "creator": " <i>\r",
        "album": " <i>\r",
        "trackNum": "1",
        "info": f"https://open.spotify.com/track/{1:022d}",
    }


def test_uris_are_lines():
    playlists = [make_playlist(["A", "B"]), make_playlist([]), make_playlist(["C"], None, 5)]
    assert format_uris(playlists) == f"{make_uri(1)}\n{make_uri(2)}\n\n{make_uri(6)}\n"
    assert format_uris([make_playlist([])]) == ""


@pytest.mark.parametrize("format", ["json", "csv"])
def test_playlists_without_tracks_come_back(format):
    playlists = [make_playlist([], "X"), make_playlist(["A"]), make_playlist([], None)]
    found = read(format_as(playlists, format), format)
    assert [(given.name, given.seeds) for given in found] == [("X", ()), ("Name", (make_uri(1),)), (None, ())]
    assert read(format_as([], format), format) == []


def test_lone_surrogates_do_no_harm():
    playlist = make_playlist(["a\udc80b"], "c\ud800")
    for format in FORMATS:
        text = format_as([playlist], format)
        text.encode()
        assert read(text, format)[0].seeds == list_uris(playlist)


def test_what_a_format_cannot_do_is_one_line(tmp_path):
    two = [make_playlist(["A"]), make_playlist(["B"])]
    with pytest.raises(UserError, match=r"^xspf holds one playlist, these are 2: .* choose one of json, csv, uris$"):
        format_as(two, "xspf")
    with pytest.raises(UserError, match=r"^format 'pls' is unknown: give one of json, csv, m3u8, xspf, uris$"):
        write_playlists(tmp_path / "x.pls", two, format="pls")
    with pytest.raises(UserError, match=r"x\.pls: the suffix names no format: end it with one of \.json, \.csv"):
        write_playlists(tmp_path / "x.pls", two)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "format"), [("a.json", "json"), ("a.CSV", "csv"), ("a.m3u", "m3u8"), ("a.xspf", "xspf"), ("a.txt", "uris")]
)
def test_suffix_names_the_format(name, format, tmp_path):
    playlist = make_playlist(NASTY)
    path = tmp_path / "new" / "folder" / name
    assert write_playlists(path, [playlist]) == [path]
    assert path.read_bytes() == format_as([playlist], format).encode()
    assert [given.seeds for given in read_seed_file(path)] == [list_uris(playlist)]
    other = tmp_path / "other"
    assert write_playlists(other, [playlist], format=format) == [other]
    assert other.read_bytes() == path.read_bytes()


def test_one_file_each_has_a_safe_name(tmp_path, playlists):
    written = write_playlists(tmp_path / "mix.m3u8", playlists)
    assert sorted(written) == sorted(tmp_path.iterdir())
    assert [read_seed_file(path)[0].seeds for path in written] == [list_uris(playlist) for playlist in playlists]
    names = [path.name for path in written]
    assert names[:3] == ["mix-01-Same.m3u8", "mix-02-Same.m3u8", "mix-03.m3u8"]
    assert {"mix-05-Comma-quote-it-s-semi-tab.m3u8", "mix-17-宇多田ヒカル.m3u8", "mix-25-etc-passwd.m3u8"} <= set(names)
    assert all(re.fullmatch(r"mix-\d\d(-[\w\-\u0300-\u0301]+)?\.m3u8", name) for name in names)
    (path, _) = write_playlists(tmp_path / "long.xspf", [make_playlist(["A"], "é" * 300)] * 2)
    assert path.name == f"long-1-{'é' * 40}.xspf"


def test_files_are_replaced_whole_and_keep_their_permissions(tmp_path):
    path, link = tmp_path / "a.txt", tmp_path / "link.txt"
    path.write_text("before", "utf-8")
    path.chmod(0o640)
    link.symlink_to(path)
    write_playlists(link, [make_playlist(["A"])])
    assert path.read_text("utf-8") == f"{make_uri(1)}\n"
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    fresh = tmp_path / "fresh"
    fresh.write_text("", "utf-8")
    write_playlists(tmp_path / "b.txt", [make_playlist(["A"])])
    assert (tmp_path / "b.txt").stat().st_mode == fresh.stat().st_mode


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("before", "utf-8")
    second.mkdir()
    with pytest.raises(UserError, match=r"b\.txt is a folder: give the name of a file$"):
        write_files({first: "after", second: "after"})
    assert first.read_text("utf-8") == "before"
    second.rmdir()

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"a\.txt cannot be written \(No space left on device\): make room, or choose"):
        write_files({first: "after"})
    assert first.read_text("utf-8") == "before"
    assert list(tmp_path.iterdir()) == [first]
    with pytest.raises(UserError, match=r"below\.txt cannot be written \((Not a directory|File exists)\)"):
        write_files({first / "below.txt": "x"})


def test_devices_and_pipes_are_written_to(tmp_path):
    write_files({Path(os.devnull): "text"})
    assert Path(os.devnull).is_char_device()
