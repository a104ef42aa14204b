"""Nodes of the challenge pipeline.

JAX is imported inside the functions: Kedro imports this module on every command.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from playlist_pipeline.config import ChallengeConfig
from playlist_pipeline.mpd.challenge import ChallengeSet
from playlist_pipeline.mpd.submission import RULES, Submission, verify_submission


def rank_challenge(challenge_set: ChallengeSet, model: Any, reranker: Any) -> pa.Table:
    """Rank 500 tracks for each playlist of a challenge set.

    Args:
        challenge_set: Titles and seeds.
        model: The trained ``LoadedModel``.
        reranker: The ``RerankerState`` of the second stage.

    Returns:
        One list for each playlist, and how many of its seeds the model knows.
    """
    from playlist_pipeline.generation import challenge  # noqa: PLC0415
    from playlist_pipeline.generation.recommender import Recommender  # noqa: PLC0415

    return challenge.rank_challenge(Recommender(model, reranker=reranker), challenge_set.playlists)


def build_submission(challenge_rankings: pa.Table, config: ChallengeConfig) -> Submission:
    """Put the team before the lists.

    Args:
        challenge_rankings: The lists.
        config: The team.

    Returns:
        The submission.
    """
    pids, uris = (challenge_rankings[name].to_pylist() for name in ("pid", "track_uris"))
    return Submission(config.team, config.track, config.mail, dict(zip(pids, uris, strict=True)))


def check_submission(submission: Path, challenge_set: ChallengeSet, challenge_rankings: pa.Table) -> dict[str, Any]:
    """Read the submission back from disk, and check it by the rules.

    Args:
        submission: The file.
        challenge_set: What it answers.
        challenge_rankings: The lists, and what they were made from.

    Returns:
        Counts of playlists, seeds and filled lists, and the rules that the file keeps.
    """
    from playlist_pipeline.generation.challenge import summarise_rankings  # noqa: PLC0415

    verify_submission(submission, challenge_set)
    return summarise_rankings(challenge_rankings) | {"rules_kept": list(RULES.values())}
