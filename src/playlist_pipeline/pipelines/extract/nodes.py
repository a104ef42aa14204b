"""Nodes of the extract pipeline."""

from typing import Any

import pyarrow as pa

from playlist_pipeline.config import ExtractConfig
from playlist_pipeline.mpd.archive import Archive
from playlist_pipeline.mpd.parts import PartStore


def extract_tables(
    archive: Archive, parts: PartStore, config: ExtractConfig
) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table, pa.Table, dict[str, Any]]:
    """Read an archive into the star schema.

    Args:
        archive: Handle on the slices.
        parts: Keeps each slice once it is read, until all tables are saved; a killed extraction goes on from them.
        config: How to treat what is broken.

    Returns:
        Playlists, artists, albums, tracks, memberships, and the extraction report.
    """
    from playlist_pipeline.mpd.tables import extract_tables as extract  # noqa: PLC0415

    tables, report = extract(archive, config, store=parts)
    return tables.playlists, tables.artists, tables.albums, tables.tracks, tables.memberships, report
