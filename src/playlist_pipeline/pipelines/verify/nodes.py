"""Nodes of the verify pipeline."""

from pathlib import Path

from playlist_pipeline.mpd.challenge import ChallengeSet
from playlist_pipeline.mpd.submission import verify_submission as verify


def verify_submission(submission: Path, challenge_set: ChallengeSet) -> None:
    """Check a submission by the rules of the challenge, and log that it keeps them.

    Args:
        submission: The file.
        challenge_set: What it answers.
    """
    verify(submission, challenge_set)
