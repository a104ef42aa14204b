"""The star schema of an archive: content, determinism, texts, and the real archive where it is there."""

import json
import random
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recipes import make_extract_config

from playlist_pipeline.mpd import Archive, extract_tables
from playlist_pipeline.mpd import schema as schemas

STRICT = make_extract_config(strict=True)
TABLES = ("playlists", "artists", "albums", "tracks", "memberships")
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "real_playlists.zip"


def _extract(path, **changes):
    return extract_tables(Archive(path), STRICT.replace(**changes), progress=False)


@pytest.fixture
def three(make_playlist):
    return [
        make_playlist(0, [4, 1, 4]),
        make_playlist(1, [1, 6]),
        make_playlist(2, [9], description="line\n\ttab \u0000 \u001f \u007f"),
    ]


def test_tables_have_the_schemas_and_ids_by_first_appearance(tmp_path, make_archive, three):
    tables, _ = _extract(make_archive(tmp_path, three, slice_size=2))
    for name in TABLES:
        table = getattr(tables, name)
        table.validate(full=True)
        assert table.schema.equals(getattr(schemas, f"{name.upper()}_SCHEMA"))
        assert all(column.num_chunks <= 1 for column in table.columns)
    uri = "spotify:{}:{:022d}".format
    assert tables.artists.to_pylist() == [
        {"artist_id": 0, "uri": uri("artist", 1), "name": "Artist 1"},
        {"artist_id": 1, "uri": uri("artist", 0), "name": "Artist 0"},
        {"artist_id": 2, "uri": uri("artist", 2), "name": "Artist 2"},
        {"artist_id": 3, "uri": uri("artist", 3), "name": "Artist 3"},
    ]
    assert tables.albums["name"].to_pylist() == ["Album 2", "Album 0", "Album 3", "Album 4"]
    assert tables.tracks.to_pylist() == [
        {
            "track_id": row,
            "uri": uri("track", number),
            "name": f"Track {number}",
            "artist_id": artist,
            "album_id": album,
            "duration_ms": 180_000 + number,
        }
        for row, (number, artist, album) in enumerate([(4, 0, 0), (1, 1, 1), (6, 2, 2), (9, 3, 3)])
    ]
    assert tables.memberships.to_pydict() == {
        "playlist_id": [0, 0, 0, 1, 1, 2],
        "position": [0, 1, 2, 0, 1, 0],
        "track_id": [0, 1, 0, 1, 2, 3],
    }
    assert tables.playlists.to_pylist()[0] == {
        "playlist_id": 0,
        "pid": 0,
        "name": "Playlist 0",
        "description": "About 0",
        "collaborative": False,
        "modified_at": 1_493_424_000,
        "num_tracks": 3,
        "num_albums": 2,
        "num_artists": 2,
        "num_followers": 1,
        "num_edits": 2,
        "duration_ms": 540_009,
    }
    assert tables.playlists["description"].to_pylist() == ["About 0", None, "line\n\ttab \u0000 \u001f \u007f"]


def test_report_counts_what_is_there(tmp_path, make_archive, three):
    path = make_archive(tmp_path, three, slice_size=2)
    _, report = _extract(path)
    with zipfile.ZipFile(path) as file:
        size = sum(info.file_size for info in file.infolist() if info.filename != "md5sums")
    assert report == {
        "archive": {"name": "mpd.zip", "kind": "zip", "slices": 2, "bytes": size},
        "counts": {"slices": 2, "playlists": 3, "memberships": 6, "tracks": 4, "albums": 4, "artists": 4},
        "md5": {"verified": 2, "mismatched": 0, "absent": 0},
        "repaired": {},
        "skipped": {},
        "noted": {},
        "replaced_surrogates": 0,
        "conflicting_tracks": 0,
        "problems": [],
        "problems_unlisted": 0,
    }
    assert json.loads(json.dumps(report)) == report


def test_md5_may_be_absent(tmp_path, make_archive, three):
    _, report = _extract(make_archive(tmp_path, three, md5sums=False))
    assert report["md5"] == {"verified": 0, "mismatched": 0, "absent": 1}


def test_collaborative_text_becomes_a_boolean(tiny_tables):
    rows = tiny_tables.playlists.to_pylist()
    flags = {row["pid"]: row["collaborative"] for row in rows}
    assert flags == {pid: pid % 10 == 7 for pid in range(40)}


def test_tables_say_what_the_json_says(tiny_tables, make_playlists):
    """The whole archive, turned back from the tables into lists of names."""
    tracks = tiny_tables.tracks.to_pylist()
    artists, albums = tiny_tables.artists["name"].to_pylist(), tiny_tables.albums["name"].to_pylist()
    found: dict[int, list] = {}
    for row in tiny_tables.memberships.to_pylist():
        track = tracks[row["track_id"]]
        entry = (row["position"], track["uri"], track["name"], artists[track["artist_id"]], albums[track["album_id"]])
        found.setdefault(row["playlist_id"], []).append(entry)
    keys = ("pos", "track_uri", "track_name", "artist_name", "album_name")
    expected = {p["pid"]: [tuple(t[key] for key in keys) for t in p["tracks"]] for p in make_playlists()}
    assert found == expected


def _as_bytes(tables, folder):
    for name in TABLES:
        pq.write_table(getattr(tables, name), folder / f"{name}.parquet", compression="zstd")
    return {name: (folder / f"{name}.parquet").read_bytes() for name in TABLES}


def _shuffle(path, target, seed):
    """Copy a zip with its members in another order, stored instead of deflated."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as shuffled:
        infos = list(source.infolist())
        random.Random(seed).shuffle(infos)
        assert infos != source.infolist()
        for info in infos:
            shuffled.writestr(info.filename, source.read(info))


def test_same_bytes_from_any_workers_zip_folder_and_order(tmp_path, make_archive):
    path = make_archive(tmp_path, slice_size=4)
    folder = make_archive(tmp_path, slice_size=4, kind="folder")
    _shuffle(path, tmp_path / "shuffled.zip", seed=1)
    expected, report = _extract(path, num_workers=1)
    expected_bytes = _as_bytes(expected, tmp_path)
    for place, workers in ((path, 2), (path, 5), (folder, 2), (tmp_path / "shuffled.zip", 2)):
        tables, other = _extract(place, num_workers=workers)
        assert tables == expected
        assert _as_bytes(tables, tmp_path) == expected_bytes
        assert {**other, "archive": None} == {**report, "archive": None}


def test_report_names_no_place(tmp_path, make_archive):
    (tmp_path / "elsewhere").mkdir()
    reports = [_extract(make_archive(folder))[1] for folder in (tmp_path, tmp_path / "elsewhere")]
    assert reports[0] == reports[1]


def test_slices_may_cut_playlists_anywhere(tmp_path, make_archive):
    tables = [_extract(make_archive(tmp_path, slice_size=size))[0] for size in (1, 3, 40)]
    assert tables[0] == tables[1] == tables[2]


TEXTS = {
    "Arabic": "أغاني هادئة",
    "Chinese": "夜晚的歌",
    "Hindi": "पुराने गाने",
    "Hebrew with marks": "שִׁירִים",
    "Thai": "เพลงเศร้า",
    "Greek, not composed": "λοφόν e\u0301",
    "emoji, joined": "👩‍👩‍👧‍👦🏳️‍🌈🇳🇴",
    "direction marks": "\u202eabc\u202c\u200f",
    "controls": "\u0000\u0001\b\t\n\r\u001b\u007f\u0085\u2028\ufeff",
    "beyond the first plane": "𝔘𐍈\U0010ffff",
    "no characters": "",
    "only space": " \u00a0\u3000 ",
    "quotes": "\"'\\ud83d\\/<>&%s{}",
    "replacement character": "\ufffd",
    "very long": "längst " * 50_000,
}


@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "raw"])
def test_texts_survive_unchanged(tmp_path, make_playlist, write_archive, ascii_only):
    playlists = [
        make_playlist(pid, [pid * 6], name=text, description=text + "!") for pid, text in enumerate(TEXTS.values())
    ]
    for playlist in playlists:
        for name in ("track_name", "artist_name", "album_name"):
            playlist["tracks"][0][name] = name[:2] + playlist["name"]
    text = json.dumps({"info": {}, "playlists": playlists}, ensure_ascii=ascii_only)
    tables, report = _extract(write_archive(tmp_path, {"mpd.slice.0-99.json": text}), max_ratio=1000)
    texts = list(TEXTS.values())
    assert tables.playlists["name"].to_pylist() == texts
    assert tables.playlists["description"].to_pylist() == [text + "!" for text in texts]
    assert tables.tracks["name"].to_pylist() == ["tr" + text for text in texts]
    assert tables.artists["name"].to_pylist() == ["ar" + text for text in texts]
    assert tables.albums["name"].to_pylist() == ["al" + text for text in texts]
    assert report["replaced_surrogates"] == 0


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("written", "read", "count"),
    [
        (r"a\ud83d", "a\ufffd", 1),
        (r"\ude00b", "\ufffdb", 1),
        (r"\ud83d\ud83d\ude00", "\ufffd😀", 1),
        (r"\ud83d\ude00\ude00", "😀\ufffd", 1),
        (r"\ud83dx\ude00", "\ufffdx\ufffd", 2),
        (r"\uD83D\n\\ud83d", "\ufffd\n\\ud83d", 1),
        (r"\\\ud83d", "\\\ufffd", 1),
        (r"\\\\ud83d \ud83d", "\\\\ud83d \ufffd", 1),
        (b"raw \xed\xa0\xbd.", "raw \ufffd.", 1),
    ],
)
def test_lone_surrogates_become_the_replacement_character(
    tmp_path, three, slice_text, write_archive, written, read, count, strict
):
    three[1]["name"] = "HERE"
    data = slice_text(three, 0, 9).encode().replace(b"HERE", written if type(written) is bytes else written.encode())
    tables, report = _extract(write_archive(tmp_path, {"mpd.slice.0-9.json": data}), strict=strict)
    assert tables.playlists["name"].to_pylist() == ["Playlist 0", read, "Playlist 2"]
    assert tables.playlists["description"].to_pylist()[2] == three[2]["description"]
    assert report["replaced_surrogates"] == count
    assert report["problems"] == []


def test_surrogates_are_counted_beside_other_defects(tmp_path, three, slice_text, write_archive):
    three[1]["name"] = "\ud83d"
    three[0]["num_tracks"] = 9
    three[2]["collaborative"] = False
    tables, report = _extract(write_archive(tmp_path, {"mpd.slice.0-9.json": slice_text(three, 0, 9)}), strict=False)
    assert tables.playlists["name"].to_pylist() == ["Playlist 0", "\ufffd"]
    assert report["replaced_surrogates"] == 1
    assert report["repaired"] == {"num_tracks": 1}
    assert report["skipped"] == {"wrong_type": 1}


@pytest.mark.parametrize("slice_size", [1, 2, 4])
@pytest.mark.parametrize("name", ["track_name", "artist_uri", "album_uri", "duration_ms"])
def test_first_description_of_a_track_counts(tmp_path, make_playlist, make_archive, slice_size, name):
    playlists = [make_playlist(0, [0, 30]), make_playlist(1, [6]), make_playlist(2, [6, 30]), make_playlist(3, [30, 6])]
    for playlist in playlists[2:]:
        for track in playlist["tracks"]:
            if track["track_uri"].endswith("30"):
                track[name] = 5 if name == "duration_ms" else "other"
        playlist["duration_ms"] = sum(track["duration_ms"] for track in playlist["tracks"])
    tables, report = _extract(make_archive(tmp_path, playlists, slice_size=slice_size))
    track = tables.tracks.to_pylist()[1]
    assert (track["name"], track["duration_ms"]) == ("Track 30", 180_030)
    assert tables.artists["name"].to_pylist()[track["artist_id"]] == "Artist 10"
    assert tables.albums["name"].to_pylist()[track["album_id"]] == "Album 15"
    assert report["conflicting_tracks"] == 1


@pytest.mark.parametrize("slice_size", [1, 2, 3])
def test_artists_are_those_of_the_tracks(tmp_path, make_playlist, make_archive, slice_size):
    """A known track that is given another artist later brings no artist into the table, and no number is lost."""
    playlists = [make_playlist(0, [0, 3]), make_playlist(1, [3]), make_playlist(2, [9, 6])]
    playlists[1]["tracks"][0].update(artist_uri="spotify:artist:other", artist_name="Other")
    tables, report = _extract(make_archive(tmp_path, playlists, slice_size=slice_size))
    assert tables.artists["name"].to_pylist() == ["Artist 0", "Artist 1", "Artist 3", "Artist 2"]
    assert tables.artists["artist_id"].to_pylist() == tables.tracks["artist_id"].to_pylist() == [0, 1, 2, 3]
    assert report["conflicting_tracks"] == 1
    assert tables.playlists["num_artists"].to_pylist() == [2, 1, 2]


def test_many_tracks_over_many_slices(tmp_path, make_playlist, make_archive):
    """More tracks than the first sizes of the inner arrays hold; every number known."""
    playlists = [make_playlist(pid, list(range(pid * 50, pid * 50 + 100))) for pid in range(60)]
    tables, report = _extract(make_archive(tmp_path, playlists, slice_size=7))
    assert report["counts"]["tracks"] == 3050
    assert tables.tracks["uri"].to_pylist() == [f"spotify:track:{number:022d}" for number in range(3050)]
    assert tables.memberships["track_id"].to_pylist() == [p * 50 + i for p in range(60) for i in range(100)]


def test_progress_bar_stays_off_without_a_terminal(tmp_path, make_archive, three, capfd):
    extract_tables(Archive(make_archive(tmp_path, three)), STRICT, progress=True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="../shared/data/real_playlists.zip is missing")
def test_real_archive_is_whole_and_agrees_with_a_plain_reader():
    tables, report = _extract(REAL)
    rows, uris, artists, albums = 0, set(), set(), set()
    with zipfile.ZipFile(REAL) as file:
        names = [name for name in file.namelist() if name.endswith(".json")]
        for name in names:
            for playlist in json.loads(file.read(name))["playlists"]:
                rows += len(playlist["tracks"])
                uris.update(track["track_uri"] for track in playlist["tracks"])
                artists.update(track["artist_uri"] for track in playlist["tracks"])
                albums.update(track["album_uri"] for track in playlist["tracks"])
    assert report["counts"] == {
        "slices": len(names),
        "playlists": 4013,
        "memberships": rows,
        "tracks": len(uris),
        "albums": len(albums),
        "artists": len(artists),
    }
    assert set(tables.tracks["uri"].to_pylist()) == uris
    assert isinstance(tables.memberships, pa.Table)
    assert report["md5"]["verified"] == len(names)
