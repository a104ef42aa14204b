"""Numbers in order of first appearance, however many slices are numbered at a time."""

import numpy as np
import pyarrow as pa
import pytest

from playlist_pipeline.mpd import merge
from playlist_pipeline.mpd.merge import Merger
from playlist_pipeline.mpd.schema import PLAYLISTS_SCHEMA
from playlist_pipeline.mpd.slices import SliceColumns


def make_slice(rng, pid):
    """Three playlists over few tracks; their artists, albums and descriptions differ between slices."""
    lengths = rng.integers(1, 6, 3)
    entries = rng.integers(0, 30, lengths.sum())
    distinct, first, tracks = np.unique(entries, return_index=True, return_inverse=True)
    order = np.argsort(first)
    distinct, tracks = distinct[order], np.argsort(order)[tracks].astype(np.int32)
    artists, albums = ([int(number) for number in rng.permutation(count)] for count in (6, 9))
    columns = {field.name: [1] * 3 for field in PLAYLISTS_SCHEMA if field.name not in ("playlist_id", "pid")}
    columns |= {
        "pid": [pid, pid + 1, pid + 2],
        "name": ["x"] * 3,
        "description": [None] * 3,
        "collaborative": [False] * 3,
    }
    schema = pa.schema(list(PLAYLISTS_SCHEMA)[1:])
    return SliceColumns(
        playlists=pa.table({name: columns[name] for name in schema.names}, schema=schema),
        lengths=lengths,
        tracks=tracks,
        track_uri=pa.array([f"t{number}" for number in distinct]),
        track_name=pa.array([f"name {number} of {pid}" for number in distinct]),
        track_artist=rng.integers(0, 6, len(distinct)).astype(np.int32),
        track_album=rng.integers(0, 9, len(distinct)).astype(np.int32),
        track_duration=(distinct * 1000 + pid).astype(np.int32),
        track_digest=(distinct * 7 + (pid % 5 == 0)).astype(np.uint64),
        track_varies=rng.random(len(distinct)) < 0.1,
        artist_uri=pa.array([f"ar{number}" for number in artists]),
        artist_name=pa.array([f"artist {number} of {pid}" for number in artists]),
        album_uri=pa.array([f"al{number}" for number in albums]),
        album_name=pa.array([f"album {number} of {pid}" for number in albums]),
    )


def merge_one_by_one(slices):
    """The same with dictionaries, entry by entry."""
    tracks, artists, albums, entries, digests, varies = {}, {}, {}, [], {}, set()
    for part in slices:
        for row, uri in enumerate(part.track_uri.to_pylist()):
            if uri not in tracks:
                numbers = []
                for known, kind, at in ((artists, "artist", part.track_artist), (albums, "album", part.track_album)):
                    key = getattr(part, f"{kind}_uri")[int(at[row])].as_py()
                    known.setdefault(key, (len(known), key, getattr(part, f"{kind}_name")[int(at[row])].as_py()))
                    numbers.append(known[key][0])
                name, duration = part.track_name[row].as_py(), int(part.track_duration[row])
                tracks[uri] = (len(tracks), uri, name, *numbers, duration)
                digests[uri] = part.track_digest[row]
            if part.track_varies[row] or part.track_digest[row] != digests[uri]:
                varies.add(uri)
        rows = iter(part.tracks.tolist())
        for length in part.lengths.tolist():
            entries.append([tracks[part.track_uri[next(rows)].as_py()][0] for _ in range(length)])
    return [list(known.values()) for known in (tracks, artists, albums)], entries, len(varies)


@pytest.mark.parametrize("slices_at_a_time", [1, 2, 5, 32])
@pytest.mark.parametrize("seed", range(5))
def test_tables_are_those_of_dictionaries(monkeypatch, slices_at_a_time, seed):
    monkeypatch.setattr(merge, "SLICES_AT_A_TIME", slices_at_a_time)
    rng = np.random.default_rng(seed)
    slices = [make_slice(rng, pid) for pid in range(0, 36, 3)]
    merger = Merger()
    for part in slices:
        merger.add(part)
    assert merger.num_playlists == 36
    tables, varying = merger.finish()
    expected, entries, expected_varying = merge_one_by_one(slices)
    found = [
        [tuple(row.values()) for row in getattr(tables, name).to_pylist()] for name in ("tracks", "artists", "albums")
    ]
    assert found == expected
    assert varying == expected_varying > 0
    assert tables.memberships.to_pylist() == [
        {"playlist_id": playlist, "position": position, "track_id": track}
        for playlist, tracks in enumerate(entries)
        for position, track in enumerate(tracks)
    ]
    assert tables.playlists["pid"].to_pylist() == tables.playlists["playlist_id"].to_pylist() == list(range(36))


def test_slices_without_a_new_track(monkeypatch):
    monkeypatch.setattr(merge, "SLICES_AT_A_TIME", 1)
    rng = np.random.default_rng(0)
    part = make_slice(rng, 0)
    merger = Merger()
    for _ in range(3):
        merger.add(part)
    tables, _ = merger.finish()
    assert tables.tracks["uri"].to_pylist() == part.track_uri.to_pylist()
    assert tables.memberships["track_id"].to_pylist() == part.tracks.tolist() * 3
