"""The protocol ``challenge``: the ten scenarios of the RecSys Challenge 2018, mirrored on a part of any archive.

The challenge gave 1,000 playlists to each scenario; all their tracks, given and withheld, occur in the Million
Playlist Dataset (its README and Chen et al. 2018). The mirror takes the part's playlists whose every track occurs in
the training part. Here a playlist is its unique tracks.
"""

import hashlib
import logging
from dataclasses import dataclass
from typing import Literal

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

CHALLENGE = "challenge"


@dataclass(frozen=True)
class Scenario:
    """What is given of a playlist.

    Attributes:
        case: Its name.
        num_seeds: Given tracks.
        order: Which: the ``first`` ones, or ``random`` ones, in the order of the playlist.
        title: Whether the title is given.
    """

    case: str
    num_seeds: int
    order: Literal["first", "random"]
    title: bool


SCENARIOS = (
    Scenario("title_only", 0, "first", True),
    Scenario("title_first_1", 1, "first", True),
    Scenario("title_first_5", 5, "first", True),
    Scenario("first_5", 5, "first", False),
    Scenario("title_first_10", 10, "first", True),
    Scenario("first_10", 10, "first", False),
    Scenario("title_first_25", 25, "first", True),
    Scenario("title_random_25", 25, "random", True),
    Scenario("title_first_100", 100, "first", True),
    Scenario("title_random_100", 100, "random", True),
)


def list_cases(config: EvaluateConfig) -> list[str]:
    """Return the scenarios' names."""
    return [scenario.case for scenario in SCENARIOS]


def build_cases(playlists: PartPlaylists, config: EvaluateConfig) -> tuple[dict[str, TestCases], dict[str, int]]:
    """Deal playlists to the scenarios, and part them into seeds and truth.

    A playlist fits a scenario if ``config.min_truth`` tracks or more are left to find, and if it has a title where one
    is given. It goes to one of the scenarios that it fits, which a digest of its pid chooses, or to all of them if
    ``config.challenge_reuse``. What is chosen of a playlist depends on its pid and on itself alone; of a scenario's
    playlists the ``config.max_playlists`` with the lowest digest are kept.

    Args:
        playlists: The part.
        config: ``min_truth``, ``max_playlists``, ``challenge_closed`` and ``challenge_reuse`` count here.

    Returns:
        Scenario to cases, those without playlists left out. And how many playlists there are; how many are left out
        because a track of theirs does not occur in training (``unseen_tracks``; 0 unless ``config.challenge_closed``);
        and how many of the others fit no scenario (``too_short``).

    Raises:
        UserError: No playlist fits any scenario.
    """
    usable = np.ones(len(playlists), bool)
    if config.challenge_closed:
        usable[playlists.tokens.rows[~playlists.in_training]] = False
    fits = np.stack(
        [usable & _fit_scenario(playlists, scenario, config.min_truth) for scenario in SCENARIOS]
    )  # [10, p]
    placed = fits.any(axis=0)
    if not placed.any():
        raise UserError(
            f"evaluate: none of the {len(playlists)} {playlists.part} playlists fits a scenario of the challenge; "
            "lower evaluate.min_truth, or set evaluate.challenge_closed to false to admit unseen tracks"
        )
    if not usable.all():
        logger.warning(
            "challenge: %d of %d %s playlists are left out, as training lacks a track of theirs (challenge_closed)",
            (~usable).sum(),
            len(playlists),
            playlists.part,
        )
    if not config.challenge_reuse:
        fits &= _deal_scenarios(playlists, fits) == np.arange(len(SCENARIOS))[:, None]
    cases = {}
    for scenario, fitting in zip(SCENARIOS, fits, strict=True):
        if fitting.any():
            chosen = sample_by_digest(playlists, np.flatnonzero(fitting), config.max_playlists)
            is_seed = _choose_seeds(playlists, chosen, scenario)
            cases[scenario.case] = cut_playlists(
                playlists, chosen, is_seed, protocol=CHALLENGE, case=scenario.case, give_titles=scenario.title
            )
    unseen, short = int((~usable).sum()), int((usable & ~placed).sum())
    return cases, {"playlists": len(playlists), "unseen_tracks": unseen, "too_short": short}


def _fit_scenario(playlists: PartPlaylists, scenario: Scenario, min_truth: int) -> np.ndarray:
    """Return whether each playlist is long enough and has a title if one is given, bool [p]."""
    fits = playlists.lengths >= scenario.num_seeds + min_truth
    return fits & np.array([title is not None for title in playlists.titles]) if scenario.title else fits


def _deal_scenarios(playlists: PartPlaylists, fits: np.ndarray) -> np.ndarray:
    """Choose one of the scenarios that each playlist fits by the digest of its pid: int [p], -1 where it fits none."""
    dealt = np.full(len(playlists), -1)
    for index in np.flatnonzero(fits.any(axis=0)).tolist():
        choices = np.flatnonzero(fits[:, index])
        dealt[index] = choices[_digest(f"scenario:{playlists.pids[index]}") % len(choices)]
    return dealt


def _choose_seeds(playlists: PartPlaylists, chosen: np.ndarray, scenario: Scenario) -> np.ndarray:
    """Mark the given tracks of the chosen playlists, bool [m]."""
    numbers = number_tracks(playlists, chosen)
    if scenario.order == "first":
        return numbers < scenario.num_seeds
    is_seed = np.zeros(len(numbers), bool)
    ends = np.cumsum(playlists.lengths[chosen])
    for index, start, end in zip(
        chosen.tolist(), (ends - playlists.lengths[chosen]).tolist(), ends.tolist(), strict=True
    ):
        pid = playlists.pids[index]
        digests = [_digest(f"seed:{pid}:{number}") for number in range(end - start)]
        is_seed[start + np.argsort(np.array(digests, np.uint64), kind="stable")[: scenario.num_seeds]] = True
    return is_seed


def _digest(text: str) -> int:
    """Return a uniform number below 2**64 that is the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
