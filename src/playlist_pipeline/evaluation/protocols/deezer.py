"""The protocol ``deezer``: 1 to 10 first tracks of published playlists of the Million Playlist Dataset are given.

Source: Bendada et al. 2023, A Scalable Framework for Automatic Playlist Continuation on Music Streaming Services, and
its code, github.com/deezer/APC-RTA. The code's file ``resources/data/dataset_split/test_indices.npy`` holds the pids
of 10,000 test playlists: the first 1,000 give one seed each, the next two, and so on; all later unique tracks are the
truth. No title is given. ``split.test_pids`` keeps these playlists out of training.
"""

import logging

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playlist_pipeline.config import EvaluateConfig
from playlist_pipeline.corpus.pids import load_pids
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.cases import TestCases
from playlist_pipeline.evaluation.protocols.playlists import PartPlaylists, cut_playlists, number_tracks

logger = logging.getLogger(__name__)

DEEZER = "deezer"
NUM_CASES = 10


def list_cases(config: EvaluateConfig) -> list[str]:
    """Return the numbers of seeds as text, rising."""
    return [str(number) for number in range(1, NUM_CASES + 1)]


def build_cases(
    playlists: PartPlaylists, splits: pa.Table, config: EvaluateConfig
) -> tuple[dict[str, TestCases], dict[str, int]]:
    """Part the listed playlists into seeds and truth.

    A listed playlist gives as many seeds as its place in the file says, whether or not others can be used. Those that
    stand in another part, that the archive lacks, or that have nothing behind their seeds are left out and counted:
    a playlist that training has seen would falsify the figures.

    Args:
        playlists: The part.
        splits: playlist_id, pid, split; of all parts.
        config: ``deezer_pids`` and ``max_playlists`` count here; the first ``max_playlists`` of each number of seeds
            are kept.

    Returns:
        Number of seeds to cases, those without playlists left out. And the numbers of listed playlists in all,
        ``missing`` from the archive, in each other part (such as ``in_train``), and ``too_short``.

    Raises:
        UserError: The file cannot be used, or none of its playlists stands in the part.
    """
    path = config.deezer_pids
    assert path is not None  # the config's own check
    pids = load_pids(path, parameter="evaluate.deezer_pids")
    if len(pids) % NUM_CASES:
        raise UserError(f"evaluate.deezer_pids: {path}: {len(pids)} playlist ids instead of a multiple of {NUM_CASES}")
    num_seeds = 1 + np.arange(len(pids)) * NUM_CASES // len(pids)
    order = np.argsort(playlists.pids)
    places = np.minimum(np.searchsorted(playlists.pids, pids, sorter=order), len(playlists) - 1)
    indices = order[places]
    in_part = playlists.pids[indices] == pids
    long_enough = playlists.lengths[indices] > num_seeds
    used = in_part & long_enough

    counts = {"playlists": len(pids)} | _count_other_parts(pids, splits, playlists.part)
    counts["too_short"] = int((in_part & ~long_enough).sum())
    if not used.any():
        raise UserError(
            f"evaluate.deezer_pids: none of the {len(pids)} playlists of {path} can be used: {_describe(counts)}; "
            f"they must stand in the {playlists.part} part of the archive (see split.test_pids)"
        )
    if not used.all():
        logger.warning("%s: %d of %d playlists are used: %s", path, used.sum(), len(pids), _describe(counts))
    cases = {}
    for case in list_cases(config):
        chosen = np.sort(indices[used & (num_seeds == int(case))][: config.max_playlists])
        if len(chosen):
            is_seed = number_tracks(playlists, chosen) < int(case)
            cases[case] = cut_playlists(playlists, chosen, is_seed, protocol=DEEZER, case=case, give_titles=False)
    return cases, counts


def _count_other_parts(pids: np.ndarray, splits: pa.Table, part: str) -> dict[str, int]:
    listed = splits.filter(pc.is_in(splits["pid"], value_set=pa.array(pids).cast(pa.int64()).cast(splits["pid"].type)))
    found = {row["values"]: row["counts"] for row in pc.value_counts(listed["split"]).to_pylist()}
    counts = {"missing": len(pids) - listed.num_rows}
    return counts | {f"in_{name}": found[name] for name in sorted(found) if name != part}


def _describe(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if name != "playlists" and count)
