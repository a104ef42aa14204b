"""The study's cases: playlists as histories of tracks, of which the last ones are to be found.

Source: the personal preference study of Amazon Music ("Beyond Collaborative Filtering: Using Decoders for Personalized
Music Recommendation"), with a playlist in the place of a listener's history.
"""

import numpy as np
import pyarrow as pa

from playlist_pipeline.config import StudyConfig
from playlist_pipeline.corpus.vocabulary import Vocabulary
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.cases import TestCases
from playlist_pipeline.evaluation.protocols.playlists import cut_playlists, number_tracks, read_part

STUDY = "study"
PARTS = ("validation", "test")  # the first chooses the variant, the second is reported
EPSILON = 1e-9  # a share of a whole number that is whole stays so


def build_study_cases(
    playlists: pa.Table,
    memberships: pa.Table,
    tracks: pa.Table,
    splits: pa.Table,
    vocabulary: Vocabulary,
    config: StudyConfig,
) -> tuple[dict[str, dict[str, TestCases]], dict[str, dict[str, int]]]:
    """Part the validation and the test playlists into history and truth.

    A playlist counts as its unique tracks in the order of their first position. Its title is not given.

    Args:
        playlists: ``PLAYLISTS_SCHEMA``; row i is playlist_id i.
        memberships: ``MEMBERSHIPS_SCHEMA``, sorted by playlist and position.
        tracks: ``TRACKS_SCHEMA``; row i is track_id i.
        splits: playlist_id, pid, split.
        vocabulary: Gives the tokens.
        config: ``held_out_share`` and ``min_held_out`` count here.

    Returns:
        The protocol ``study``: part to its cases. And for each part the numbers of ``playlists`` and of those among
        them that are ``too_short``.

    Raises:
        UserError: A part has no playlist that is long enough.
    """
    cases, counts = {}, {}
    for part in PARTS:
        read = read_part(playlists, memberships, tracks, splits, vocabulary, part)
        num_held_out = count_held_out(read.lengths, config)
        chosen = np.flatnonzero(read.lengths > num_held_out)
        if not len(chosen):
            raise UserError(
                f"study: none of the {len(read)} {part} playlists has over {config.min_held_out} different tracks; "
                "lower study.min_held_out, or give that part more playlists"
            )
        num_given = (read.lengths - num_held_out)[chosen]
        is_given = number_tracks(read, chosen) < np.repeat(num_given, read.lengths[chosen])
        cases[part] = cut_playlists(read, chosen, is_given, protocol=STUDY, case=part, give_titles=False)
        counts[part] = {"playlists": len(read), "too_short": len(read) - len(chosen)}
    return {STUDY: cases}, counts


def count_held_out(lengths: np.ndarray, config: StudyConfig) -> np.ndarray:
    """Return how many last tracks of playlists of these lengths are held out: a share, rounded down, or the least.

    Args:
        lengths: Unique tracks of each playlist, int [n].
        config: ``held_out_share`` and ``min_held_out``.

    Returns:
        int64 [n].
    """
    share = np.floor(lengths * config.held_out_share + EPSILON).astype(np.int64)
    return np.maximum(share, config.min_held_out)
