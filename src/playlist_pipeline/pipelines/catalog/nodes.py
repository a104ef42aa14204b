"""Nodes of the catalog pipeline."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa


def build_catalog(
    playlists: pa.Table,
    artists: pa.Table,
    albums: pa.Table,
    tracks: pa.Table,
    memberships: pa.Table,
    splits: pa.Table,
) -> Callable[[Path], dict[str, int]]:
    """Return what writes the sqlite catalog: the tables with foreign keys, indexes, the split and full-text search.

    Args:
        playlists: The extracted playlists.
        artists: Their artists.
        albums: Their albums.
        tracks: Their tracks.
        memberships: Which track stands where in which playlist.
        splits: The part of each playlist.

    Returns:
        A function of the database's path; the catalog entry calls it.
    """
    from playlist_pipeline.corpus.database_build import build_database  # noqa: PLC0415

    return partial(
        build_database,
        playlists=playlists,
        artists=artists,
        albums=albums,
        tracks=tracks,
        memberships=memberships,
        splits=splits,
    )
