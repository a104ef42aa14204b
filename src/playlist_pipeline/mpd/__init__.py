"""The Million Playlist Dataset's format: read it, check it, make it."""

from playlist_pipeline.mpd.archive import Archive, ArchiveError, DamagedMemberError, Slice
from playlist_pipeline.mpd.challenge import ChallengePlaylist, ChallengeSet, ChallengeSetError, read_challenge_set
from playlist_pipeline.mpd.slices import parse_slice, read_slice
from playlist_pipeline.mpd.submission import (
    Fault,
    Submission,
    SubmissionError,
    find_faults,
    verify_submission,
    write_submission,
)
from playlist_pipeline.mpd.tables import ExtractedTables, extract_tables

__all__ = [
    "Archive",
    "ArchiveError",
    "ChallengePlaylist",
    "ChallengeSet",
    "ChallengeSetError",
    "DamagedMemberError",
    "ExtractedTables",
    "Fault",
    "Slice",
    "Submission",
    "SubmissionError",
    "extract_tables",
    "find_faults",
    "parse_slice",
    "read_challenge_set",
    "read_slice",
    "verify_submission",
    "write_submission",
]
