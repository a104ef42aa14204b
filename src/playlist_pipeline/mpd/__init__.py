"""The Million Playlist Dataset's format: read it, check it, make it."""

from playlist_pipeline.mpd.archive import Archive, ArchiveError, DamagedMemberError, Slice
from playlist_pipeline.mpd.slices import parse_slice, read_slice
from playlist_pipeline.mpd.tables import ExtractedTables, extract_tables

__all__ = [
    "Archive",
    "ArchiveError",
    "DamagedMemberError",
    "ExtractedTables",
    "Slice",
    "extract_tables",
    "parse_slice",
    "read_slice",
]
