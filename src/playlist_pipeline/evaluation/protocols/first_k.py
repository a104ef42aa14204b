"""The protocol ``first_k``: the first K tracks and the title are given, all later tracks are the truth."""

import logging

import numpy as np

from playlist_pipeline.config import EvaluateConfig
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.cases import TestCases
from playlist_pipeline.evaluation.protocols.playlists import (
    PartPlaylists,
    cut_playlists,
    number_tracks,
    sample_by_digest,
)

logger = logging.getLogger(__name__)

FIRST_K = "first_k"


def list_cases(config: EvaluateConfig) -> list[str]:
    """Return the numbers of seeds as text, rising."""
    return [str(number) for number in sorted(set(config.num_seeds))]


def build_cases(playlists: PartPlaylists, config: EvaluateConfig) -> tuple[dict[str, TestCases], dict[str, int]]:
    """Choose the playlists for each number of seeds, and part them into seeds and truth.

    A playlist is used where it has ``config.min_truth`` unique tracks or more behind its seeds. Of those, the
    ``config.max_playlists`` with the lowest digest of their pid are kept: a choice that other playlists do not sway.

    Args:
        playlists: The part.
        config: ``num_seeds``, ``min_truth`` and ``max_playlists`` count here.

    Returns:
        Number of seeds to cases; numbers for which no playlist is long enough are left out, with a log line. And how
        many playlists there are, and how many of them are too short for any number of seeds.

    Raises:
        UserError: No playlist is long enough for any number of seeds.
    """
    cases = {}
    for case in list_cases(config):
        num_seeds = int(case)
        long_enough = np.flatnonzero(playlists.lengths >= num_seeds + config.min_truth)
        if not len(long_enough):
            logger.warning(
                "nothing is measured with %d seeds: no %s playlist has %d unique tracks after them",
                num_seeds,
                playlists.part,
                config.min_truth,
            )
            continue
        chosen = sample_by_digest(playlists, long_enough, config.max_playlists)
        is_seed = number_tracks(playlists, chosen) < num_seeds
        cases[case] = cut_playlists(playlists, chosen, is_seed, protocol=FIRST_K, case=case, give_titles=True)
    needed = min(config.num_seeds) + config.min_truth
    if not cases:
        raise UserError(
            f"evaluate: none of the {len(playlists)} {playlists.part} playlists has {needed} or more different tracks; "
            "lower evaluate.min_truth or evaluate.num_seeds, or give that part more playlists"
        )
    return cases, {"playlists": len(playlists), "too_short": int((playlists.lengths < needed).sum())}
