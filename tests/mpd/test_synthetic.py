import hashlib
import json
import re
import shutil
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from playlist_pipeline.errors import UserError
from playlist_pipeline.mpd import synthetic
from playlist_pipeline.mpd.synthetic import SyntheticConfig, build_world, draw_slice, main, render_slice, write_archive

SAMPLE = Path(__file__).parents[2] / "data" / "01_raw" / "sample_mpd.zip"
TINY = replace(
    SyntheticConfig.sample(seed=7),
    num_playlists=1003,
    num_artists=300,
    num_albums=400,
    num_tracks=900,
    scenes_per_era=1,
    longest=12,
    debut_slices=2,
    compression_level=1,
)
PLAYLIST_KEYS = [
    *("name", "collaborative", "pid", "modified_at", "num_tracks", "num_albums", "num_followers"),
    *("tracks", "num_edits", "duration_ms", "num_artists"),
]
TRACK_KEYS = [
    *("pos", "artist_name", "track_uri", "artist_uri", "track_name", "album_uri", "duration_ms", "album_name"),
]


def read_members(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def read_playlists(path):
    members = read_members(path)
    return [
        playlist
        for name, data in members.items()
        if name.endswith(".json")
        for playlist in json.loads(data)["playlists"]
    ]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("synthetic") / "tiny.zip"
    return path, write_archive(path, TINY)


@pytest.fixture(scope="module")
def sample():
    return read_playlists(SAMPLE)


def test_committed_sample_is_what_the_generator_makes():
    members = read_members(SAMPLE)
    config = SyntheticConfig.sample()
    world = build_world(config)
    names = ["data/mpd.slice.0-999.json", "data/mpd.slice.1000-1499.json"]
    assert list(members) == [*names, "md5sums"]
    for number, name in enumerate(names):
        made, _, _ = render_slice(config, world, number)
        assert hashlib.sha256(members[name]).digest() == hashlib.sha256(made).digest()
    sums = "".join(f"{hashlib.md5(members[name]).hexdigest()}  {name}\n" for name in names)
    assert members["md5sums"].decode() == sums


def test_committed_sample_has_the_promised_size(sample):
    lengths = [len(playlist["tracks"]) for playlist in sample]
    assert SAMPLE.stat().st_size <= 5_000_000
    assert len(sample) == 1500
    assert 28 <= np.mean(lengths) <= 32
    assert min(lengths) >= 5
    assert max(lengths) <= 150
    assert len({track["track_uri"] for playlist in sample for track in playlist["tracks"]}) >= 10_000


def test_same_configuration_gives_same_bytes(tmp_path, tiny):
    again = tmp_path / "again.zip"
    report = write_archive(again, TINY)
    assert again.read_bytes() == tiny[0].read_bytes()
    assert report == tiny[1]


def test_two_workers_give_the_bytes_of_one(tmp_path, tiny):
    path = tmp_path / "two.zip"
    assert write_archive(path, TINY, workers=2) == tiny[1]
    assert path.read_bytes() == tiny[0].read_bytes()


def test_another_seed_gives_another_archive(tmp_path, tiny):
    other = tmp_path / "other.zip"
    write_archive(other, replace(TINY, seed=8))
    assert other.read_bytes() != tiny[0].read_bytes()


def test_slice_depends_on_its_number_alone():
    world = build_world(TINY)
    more = replace(TINY, num_playlists=5000)
    assert render_slice(TINY, world, 0)[0] == render_slice(more, build_world(more), 0)[0]


def test_a_drawn_slice_is_what_is_rendered(tiny):
    lengths, tracks = draw_slice(TINY, build_world(TINY), 1)
    rendered = json.loads(read_members(tiny[0])["data/mpd.slice.1000-1002.json"])["playlists"]
    assert lengths.tolist() == [len(playlist["tracks"]) for playlist in rendered]
    _, places, _ = render_slice(TINY, build_world(TINY), 1)
    np.testing.assert_array_equal(tracks, places)


def test_members_are_written_as_python_2_wrote_them(tiny):
    members = read_members(tiny[0])
    assert list(members) == ["data/mpd.slice.0-999.json", "data/mpd.slice.1000-1002.json", "md5sums"]
    for name, data in members.items():
        if name == "md5sums":
            continue
        content = json.loads(data)
        assert data == json.dumps(content, indent=4, separators=(", ", ": ")).encode("ascii")
        assert list(content) == ["info", "playlists"]
        assert list(content["info"]) == ["generated_on", "slice", "version"]
        assert content["info"]["slice"] == re.search(r"(\d+-\d+)\.json", name).group(1)
        for playlist in content["playlists"]:
            assert list(playlist) in (PLAYLIST_KEYS, [*PLAYLIST_KEYS, "description"])
            assert all(list(track) == TRACK_KEYS for track in playlist["tracks"])


def test_playlists_agree_with_their_tracks(tiny):
    playlists = read_playlists(tiny[0])
    assert [playlist["pid"] for playlist in playlists] == list(range(1003))
    for playlist in playlists:
        tracks = playlist["tracks"]
        assert [track["pos"] for track in tracks] == list(range(playlist["num_tracks"]))
        assert playlist["num_artists"] == len({track["artist_uri"] for track in tracks})
        assert playlist["num_albums"] == len({track["album_uri"] for track in tracks})
        assert playlist["duration_ms"] == sum(track["duration_ms"] for track in tracks)
        assert playlist["collaborative"] in ("true", "false")
        assert playlist["modified_at"] % 86400 == 0
        assert playlist["num_edits"] >= 1
        assert playlist["num_followers"] >= 1


def test_uris_and_names_belong_together(sample):
    facts: dict[str, set] = {}
    for playlist in sample:
        for track in playlist["tracks"]:
            key = tuple(track[name] for name in TRACK_KEYS[1:])
            facts.setdefault(track["track_uri"], set()).add(key)
            for kind in ("track", "artist", "album"):
                assert re.fullmatch(rf"spotify:{kind}:[0-9A-Za-z]{{22}}", track[f"{kind}_uri"])
    assert all(len(found) == 1 for found in facts.values())


def test_report_counts_what_the_archive_holds(tiny):
    path, report = tiny
    playlists = read_playlists(path)
    tracks = [track for playlist in playlists for track in playlist["tracks"]]
    assert report.slices == 2
    assert report.playlists == len(playlists)
    assert report.memberships == len(tracks)
    assert report.tracks == len({track["track_uri"] for track in tracks})
    assert report.albums == len({track["album_uri"] for track in tracks})
    assert report.artists == len({track["artist_uri"] for track in tracks})
    assert report.titles == len({playlist["name"] for playlist in playlists})
    assert report.archive_bytes == path.stat().st_size
    assert report.json_bytes == sum(len(data) for name, data in read_members(path).items() if name.endswith("json"))


def test_every_track_appears_once_its_slices_are_there(tmp_path):
    # A slice of 1,000 playlists has room for its half of the 900 tracks; the last one needs as many playlists.
    report = write_archive(tmp_path / "whole.zip", replace(TINY, num_playlists=2000))
    assert (report.tracks, report.albums, report.artists) == (900, 400, 300)


def test_sample_looks_like_playlists(sample):
    entries = sum(len(playlist["tracks"]) for playlist in sample)
    repeats = sum(len(p["tracks"]) - len({t["track_uri"] for t in p["tracks"]}) for p in sample)
    pairs = [pair for p in sample for pair in zip(p["tracks"], p["tracks"][1:], strict=False)]
    same_artist = np.mean([first["artist_uri"] == second["artist_uri"] for first, second in pairs])
    counts = Counter(track["track_uri"] for p in sample for track in p["tracks"])
    head = sum(count for _, count in counts.most_common(len(counts) // 20)) / entries
    assert 0.005 < repeats / entries < 0.02
    assert 0.1 < same_artist < 0.4
    assert 0.15 < head < 0.5
    assert 15 <= sum("description" in p for p in sample) <= 60


def test_sample_titles_leave_ascii(sample):
    text = "".join(playlist["name"] for playlist in sample)
    assert any(ord(character) > 0xFFFF for character in text)
    assert re.search("[\u0430-\u044f]", text)
    data = read_members(SAMPLE)["data/mpd.slice.0-999.json"]
    assert re.search(rb"\\ud83[c-e]\\ud[c-f][0-9a-f]{2}", data)
    assert data.isascii()


def test_artists_of_the_sample_have_different_names():
    config = SyntheticConfig.sample()
    names = synthetic._Names(build_world(config))
    assert len({names.spell_artist(artist) for artist in range(config.num_artists)}) == config.num_artists


def test_ranges_of_the_world_fit_into_each_other():
    world = build_world(TINY)
    assert world.scene_artists[-1] == len(world.artist_albums) - 1 == 300
    assert world.artist_albums[-1] == len(world.album_tracks) - 1 == 400
    assert world.album_tracks[-1] == len(world.track_weights) - 1 == 900
    for offsets in (world.scene_artists, world.artist_albums, world.album_tracks, world.track_weights):
        assert (np.diff(offsets) > 0).all()
    assert (world.artist_tracks == world.album_tracks[world.artist_albums]).all()


def test_mpd_preset_has_the_published_sizes():
    config = SyntheticConfig.mpd(1000)
    assert (config.num_playlists, config.num_slices) == (1_000_000, 1000)
    assert (config.num_tracks, config.num_albums, config.num_artists) == (2_262_292, 734_684, 295_860)
    weights = np.diff(
        synthetic._weigh_lengths(config.length_log_mean, config.length_log_sigma, config.shortest, config.longest)
    )
    assert np.average(np.arange(5, 377), weights=weights) == pytest.approx(66.35, abs=0.1)


def test_zip64_directory_is_readable(tmp_path, monkeypatch, tiny):
    monkeypatch.setattr(synthetic, "_ZIP64_LIMIT", 1000)
    path = tmp_path / "large.zip"
    write_archive(path, TINY)
    assert path.read_bytes() != tiny[0].read_bytes()
    assert read_members(path) == read_members(tiny[0])


def test_full_disk_is_named_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(UserError, match=r"big\.zip: 1000 slices need about \d+\.\d GB and 0\.0 GB are free"):
        write_archive(tmp_path / "big.zip", SyntheticConfig.mpd(1000))
    assert list(tmp_path.iterdir()) == []


def test_failure_leaves_the_old_archive(tmp_path, monkeypatch):
    path = tmp_path / "archive.zip"
    path.write_bytes(b"old")

    def fail(*arguments):
        raise OSError("disk")

    monkeypatch.setattr(synthetic, "make_slice", fail)
    with pytest.raises(UserError, match=r"archive.zip cannot be written \(disk\)"):
        write_archive(path, TINY)
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("archive.zip", b"old")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_playlists": 0}, "num_playlists is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"num_artists": 10}, "10 artists"),
        ({"num_tracks": 10}, "10 tracks"),
    ],
)
def test_impossible_configuration_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        replace(TINY, **change)


def test_no_workers_are_refused(tmp_path):
    with pytest.raises(UserError, match="workers is 0"):
        write_archive(tmp_path / "a.zip", TINY, workers=0)


def test_command_line_prints_the_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(SyntheticConfig, "mpd", lambda slices, seed: replace(TINY, num_playlists=slices * 2, seed=seed))
    assert main([str(tmp_path / "new" / "a.zip"), "--slices", "3", "--seed", "5"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["playlists"] == len(read_playlists(tmp_path / "new" / "a.zip")) == 6


def test_command_line_names_the_mistake(tmp_path, capsys):
    assert main([str(tmp_path / "a.zip"), "--slices", "0"]) == 1
    assert capsys.readouterr().err == "synthetic archive: slices is 0, must be from 1 to 1000000\n"
