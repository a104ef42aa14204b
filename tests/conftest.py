"""Fixtures that make tiny archives in MPD format with known content."""

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Playlist = dict[str, Any]

# Tiny models run for milliseconds and compile for seconds: LLVM need not optimise them. XLA's own passes stay on.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()
# hypothesis keeps no examples here, but tables of its own.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(tempfile.gettempdir()) / "hypothesis"))


def _make_track(number: int, *, position: int = 0) -> Playlist:
    """Entry of track ``number``: three tracks share an artist, two an album; names follow the number."""
    artist, album = number // 3, number // 2
    return {
        "pos": position,
        "artist_name": f"Artist {artist}",
        "track_uri": f"spotify:track:{number:022d}",
        "artist_uri": f"spotify:artist:{artist:022d}",
        "track_name": f"Track {number}",
        "album_uri": f"spotify:album:{album:022d}",
        "duration_ms": 180_000 + number,
        "album_name": f"Album {album}",
    }


def _make_playlist(pid: int, tracks: list[int], **fields: Any) -> Playlist:
    """Playlist of the tracks with these numbers, its own counts right; ``fields`` replace what they name."""
    entries = [_make_track(number, position=position) for position, number in enumerate(tracks)]
    return {
        "name": f"Playlist {pid}",
        "collaborative": "true" if pid % 10 == 7 else "false",
        "pid": pid,
        "modified_at": 1_493_424_000 + 86_400 * pid,
        "num_tracks": len(entries),
        "num_albums": len({entry["album_uri"] for entry in entries}),
        "num_followers": 1 + pid % 5,
        "tracks": entries,
        "num_edits": 2 + pid % 7,
        "duration_ms": sum(entry["duration_ms"] for entry in entries),
        "num_artists": len({entry["artist_uri"] for entry in entries}),
        **({"description": f"About {pid}"} if pid % 4 == 0 else {}),
        **fields,
    }


def _make_playlists(count: int = 40, num_tracks: int = 60, *, groups: int = 3, seed: int = 0) -> list[Playlist]:
    """Playlists of 8 to 40 tracks, nine tenths of them from one of ``groups`` equal groups of tracks."""
    rng = np.random.default_rng(seed)
    size = num_tracks // groups
    playlists = []
    for pid in range(count):
        own = rng.permutation(np.arange(size) + size * (pid % groups)).tolist()
        other = rng.permutation(num_tracks).tolist()
        length = int(rng.integers(8, 41))
        picked = [own[i % size] if rng.random() < 0.9 else other[i % num_tracks] for i in range(length)]
        playlists.append(_make_playlist(pid, picked))
    return playlists


def _slice_text(playlists: list[Playlist], first: int, last: int) -> str:
    """One slice as MPD's own files look: indent 4, ASCII escapes, a space after each comma at a line's end."""
    content = {
        "info": {"generated_on": "2017-12-03 08:41:42.057563", "slice": f"{first}-{last}", "version": "v1"},
        "playlists": playlists,
    }
    return json.dumps(content, indent=4, separators=(", ", ": "))


def _write_archive(
    folder: Path, files: dict[str, str | bytes], *, kind: str = "zip", name: str = "mpd.zip", md5sums: bool = True
) -> Path:
    """Write slices (base name to content, in the given order) and their ``md5sums`` as a zip or a folder."""
    contents = {key: value.encode() if isinstance(value, str) else value for key, value in files.items()}
    members = {f"data/{key}": value for key, value in contents.items()}
    if md5sums:
        lines = (f"{hashlib.md5(value).hexdigest()}  data/{key}\n" for key, value in contents.items())
        members["md5sums"] = "".join(lines).encode()
    path = folder / (name if kind == "zip" else Path(name).stem)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, value in members.items():
                archive.writestr(member, value)
        return path
    for member, value in members.items():
        (path / member).parent.mkdir(parents=True, exist_ok=True)
        (path / member).write_bytes(value)
    return path


def _make_archive(folder: Path, playlists: list[Playlist] | None = None, slice_size: int = 10, **options: Any) -> Path:
    """Write ``playlists`` (pids 0..n-1) in slices of ``slice_size`` below ``folder``; give the archive's path.

    Options are those of ``write_archive``: ``kind`` ("zip" or "folder"), ``name``, ``md5sums``.
    """
    playlists = _make_playlists() if playlists is None else playlists
    files = {}
    for first in range(0, len(playlists), slice_size):
        last = first + slice_size - 1
        files[f"mpd.slice.{first}-{last}.json"] = _slice_text(playlists[first : last + 1], first, last)
    return _write_archive(folder, files, **options)


# Whether the title is given, how many tracks, and whether those are drawn at random: RecSys Challenge 2018.
SCENARIOS = [
    (True, 0, False),
    (True, 1, False),
    (True, 5, False),
    (False, 5, False),
    (True, 10, False),
    (False, 10, False),
    (True, 25, False),
    (True, 25, True),
    (True, 100, False),
    (True, 100, True),
]


def _make_challenge_set(playlists: list[Playlist]) -> dict[str, Any]:
    """Challenge set that cuts the playlists by the scenarios in turn; one track or more of each is held out."""
    rng = np.random.default_rng(0)
    cut = []
    for index, playlist in enumerate(playlists):
        has_title, num_seeds, is_random = SCENARIOS[index % len(SCENARIOS)]
        length = len(playlist["tracks"])
        order = rng.permutation(length) if is_random else np.arange(length)
        places = sorted(order[: min(num_seeds, length - 1)].tolist())
        cut.append(
            {
                **({"name": playlist["name"]} if has_title else {}),
                "num_holdouts": length - len(places),
                "pid": 1_000_000 + playlist["pid"],
                "num_tracks": length,
                "tracks": [playlist["tracks"][place] for place in places],
                "num_samples": len(places),
            }
        )
    return {"date": "2018-01-16 08:47:28.198015", "version": "v1", "playlists": cut}


@pytest.fixture(scope="session")
def make_challenge_set() -> Callable[[list[Playlist]], dict[str, Any]]:
    """Give ``make_challenge_set(playlists)``, pids from 1,000,000 on."""
    return _make_challenge_set


@pytest.fixture(scope="session")
def make_track() -> Callable[..., Playlist]:
    """Give ``make_track(number, *, position=0)``."""
    return _make_track


@pytest.fixture(scope="session")
def make_playlist() -> Callable[..., Playlist]:
    """Give ``make_playlist(pid, track_numbers, **fields)``."""
    return _make_playlist


@pytest.fixture(scope="session")
def make_playlists() -> Callable[..., list[Playlist]]:
    """Give ``make_playlists(count=40, num_tracks=60, *, groups=3, seed=0)``."""
    return _make_playlists


@pytest.fixture(scope="session")
def slice_text() -> Callable[..., str]:
    """Give ``slice_text(playlists, first, last)``."""
    return _slice_text


@pytest.fixture(scope="session")
def write_archive() -> Callable[..., Path]:
    """Give ``write_archive(folder, files, *, kind="zip", name="mpd.zip", md5sums=True)``."""
    return _write_archive


@pytest.fixture(scope="session")
def make_archive() -> Callable[..., Path]:
    """Give ``make_archive(folder, playlists=None, slice_size=10, *, kind="zip", name="mpd.zip", md5sums=True)``."""
    return _make_archive


@pytest.fixture(scope="session")
def tiny_tables(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``ExtractedTables`` of 40 playlists of 8 to 40 tracks over 60 tracks (20 artists, 30 albums, three groups)."""
    from recipes import make_extract_config  # noqa: PLC0415

    from playlist_pipeline.mpd import Archive, extract_tables  # noqa: PLC0415

    archive = Archive(_make_archive(tmp_path_factory.mktemp("tiny")))
    config = make_extract_config(strict=True, num_workers=1)
    tables, _ = extract_tables(archive, config, progress=False)
    return tables


PROJECT = Path(__file__).parents[1]
# A model and a training that take seconds.
TINY_PARAMETERS: dict[str, Any] = {
    "model": {"context_length": 12, "num_layers": 1, "num_heads": 2, "embed_dim": 8, "feedforward_dim": 16},
    "train": {"max_steps": 4, "batch_size": 4, "num_negatives": 8, "validate_every": 2, "checkpoint_every": 2},
    "rerank": {"num_folds": 2, "num_epochs": 2},
    "evaluate": {"num_seeds": [1, 5], "min_truth": 3, "bootstrap_samples": 20, "batch_size": 8},
    "generate": {"length": 8, "num_examples": 1, "num_example_seeds": 2},
}


def _run_pipeline(
    workspace: Path, archive: Path, *pipelines: str, only_missing_outputs: bool = False, **parameters: Any
) -> list[str]:
    """Run pipelines of this project with tiny parameters in a workspace; return the names of the nodes that ran."""
    from kedro.framework.hooks import hook_impl  # noqa: PLC0415
    from kedro.framework.session import KedroSession  # noqa: PLC0415
    from kedro.framework.startup import bootstrap_project  # noqa: PLC0415
    from kedro.runner import SequentialRunner  # noqa: PLC0415

    class Watcher:
        def __init__(self) -> None:
            self.nodes: list[str] = []

        @hook_impl
        def before_node_run(self, node: Any) -> None:
            self.nodes.append(node.name)

    places = {"archive": str(archive), "workspace": str(workspace)}
    places |= {key: parameters.pop(key) for key in ("challenge_set", "submission", "allow_stale") if key in parameters}
    merged = {key: TINY_PARAMETERS.get(key, {}) | parameters.get(key, {}) for key in TINY_PARAMETERS | parameters}
    bootstrap_project(PROJECT)
    watcher = Watcher()
    with KedroSession.create(PROJECT, runtime_params=places | merged) as session:
        session._hook_manager.register(watcher)
        session.run(
            pipeline_names=list(pipelines) or None,
            runner=SequentialRunner(),
            only_missing_outputs=only_missing_outputs,
        )
    return watcher.nodes


@pytest.fixture(scope="session")
def run_pipeline() -> Callable[..., list[str]]:
    """Give ``run_pipeline(workspace, archive, *pipelines, only_missing_outputs=False, **parameters)``."""
    return _run_pipeline


@pytest.fixture(scope="session")
def tiny_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an archive of 40 playlists over 60 tracks."""
    return _make_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="session")
def finished_workspace(tmp_path_factory: pytest.TempPathFactory, tiny_archive: Path) -> Path:
    """Give a workspace in which the whole pipeline ran once; copy it before changing it."""
    workspace = tmp_path_factory.mktemp("workspace")
    _run_pipeline(workspace, tiny_archive)
    return workspace
