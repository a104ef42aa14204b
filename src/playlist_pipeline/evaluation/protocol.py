"""The protocol ``first_k``: which test playlists are continued, from which seeds, and how the lists are judged.

A playlist counts as its unique tracks in the order of their first position. The first K are the seeds, all later ones
the truth. A seed that the vocabulary does not know is given as ``<unk>``; truth that it does not know counts as missed.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playlist_pipeline.config import EvaluateConfig
from playlist_pipeline.corpus.vocabulary import SPECIALS, UNK, Vocabulary
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.baselines import Ranker
from playlist_pipeline.evaluation.bootstrap import bootstrap_means
from playlist_pipeline.evaluation.metrics import LIST_LENGTH, METRICS, PADDING, compute_hits, compute_metrics

logger = logging.getLogger(__name__)

FIRST_K = "first_k"
PLAYLISTS_PER_CHUNK = 4096

TEST_CASES_SCHEMA = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("num_seeds", pa.int32(), nullable=False),
        pa.field("playlist_id", pa.int32(), nullable=False),
        pa.field("pid", pa.int32(), nullable=False),
        pa.field("seeds", pa.list_(pa.int32()), nullable=False),
        pa.field("truth", pa.list_(pa.int32()), nullable=False),
        pa.field("num_truth", pa.int32(), nullable=False),
    ]
)
RANKINGS_SCHEMA = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("system", pa.string(), nullable=False),
        pa.field("num_seeds", pa.int32(), nullable=False),
        pa.field("playlist_id", pa.int32(), nullable=False),
        pa.field("tokens", pa.list_(pa.int32()), nullable=False),
    ]
)


@dataclass(frozen=True, eq=False)
class TestCases:
    """Test playlists to be continued from the same number of seeds, n of them.

    Attributes:
        num_seeds: Given tracks of each playlist, K.
        playlist_ids: int32 [n], rising.
        pids: int32 [n].
        seed_tokens: int32 [n, K], in the order of the playlist; ``<unk>`` where the vocabulary lacks the track.
        truth_tokens: The known truth of all playlists, one after the other, int32 [m].
        truth_offsets: Playlist ``p`` owns ``truth_tokens[truth_offsets[p]:truth_offsets[p + 1]]``, int64 [n + 1].
        num_truth: Tracks of the truth, unknown ones included, int32 [n].
    """

    __test__ = False  # not a test class, whatever its name says to pytest

    num_seeds: int
    playlist_ids: np.ndarray
    pids: np.ndarray
    seed_tokens: np.ndarray
    truth_tokens: np.ndarray
    truth_offsets: np.ndarray
    num_truth: np.ndarray

    def __len__(self) -> int:
        return len(self.playlist_ids)

    @property
    def seeds(self) -> list[np.ndarray]:
        """Seeds of each playlist: n arrays int32 [K]."""
        return list(self.seed_tokens)

    def truth(self, index: int) -> np.ndarray:
        """Return the known truth of one playlist, int32, in the order of the playlist."""
        return self.truth_tokens[self.truth_offsets[index] : self.truth_offsets[index + 1]]

    def to_table(self) -> pa.Table:
        """Return the cases as a table of ``TEST_CASES_SCHEMA``."""
        seed_offsets = np.arange(len(self) + 1, dtype=np.int32) * self.num_seeds
        columns = {
            "protocol": pa.repeat(FIRST_K, len(self)),
            "num_seeds": pa.repeat(pa.scalar(self.num_seeds, pa.int32()), len(self)),
            "playlist_id": self.playlist_ids,
            "pid": self.pids,
            "seeds": pa.ListArray.from_arrays(seed_offsets, self.seed_tokens.ravel()),
            "truth": pa.ListArray.from_arrays(self.truth_offsets.astype(np.int32), self.truth_tokens),
            "num_truth": self.num_truth,
        }
        return pa.Table.from_pydict(columns, schema=TEST_CASES_SCHEMA)

    @classmethod
    def from_table(cls, table: pa.Table) -> "TestCases":
        """Read the cases of one number of seeds from a table of ``TEST_CASES_SCHEMA``.

        Args:
            table: One row or more, all of the same ``num_seeds``.

        Raises:
            ValueError: The rows are of several numbers of seeds, or there is none.
        """
        numbers = table["num_seeds"].unique().to_pylist()
        if len(numbers) != 1:
            raise ValueError(f"test cases with {numbers} seeds, where one number is wanted")
        seeds, _ = _read_lists(table["seeds"])
        truth_tokens, truth_offsets = _read_lists(table["truth"])
        return cls(
            num_seeds=numbers[0],
            playlist_ids=table["playlist_id"].to_numpy(),
            pids=table["pid"].to_numpy(),
            seed_tokens=seeds.reshape(-1, numbers[0]),  # [n, K]
            truth_tokens=truth_tokens,
            truth_offsets=truth_offsets,
            num_truth=table["num_truth"].to_numpy(),
        )


def _read_lists(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a list column, flat, and offsets int64 [n + 1]."""
    lengths = pc.list_value_length(column).to_numpy()
    values = pc.list_flatten(column).to_numpy()
    return values, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def cases_to_table(cases: Mapping[int, TestCases]) -> pa.Table:
    """Put the cases of all numbers of seeds into one table of ``TEST_CASES_SCHEMA``."""
    return pa.concat_tables([part.to_table() for part in cases.values()])


def cases_from_table(table: pa.Table) -> dict[int, TestCases]:
    """Undo ``cases_to_table``: number of seeds to cases, for those that have playlists."""
    table = table.filter(pc.field("protocol") == FIRST_K)
    numbers = sorted(table["num_seeds"].unique().to_pylist())
    return {number: TestCases.from_table(table.filter(pc.field("num_seeds") == number)) for number in numbers}


def build_test_cases(
    memberships: pa.Table,
    tracks: pa.Table,
    splits: pa.Table,
    vocabulary: Vocabulary,
    config: EvaluateConfig,
    *,
    part: str = "test",
) -> dict[int, TestCases]:
    """Choose the test playlists for each number of seeds, and part them into seeds and truth.

    A playlist is used where it has ``config.min_truth`` unique tracks or more behind its seeds. Of those, the
    ``config.max_playlists`` with the lowest digest of their pid are kept: a choice that other playlists do not sway.

    Args:
        memberships: ``MEMBERSHIPS_SCHEMA``, sorted by playlist and position.
        tracks: ``TRACKS_SCHEMA``.
        splits: playlist_id, pid, split.
        vocabulary: Gives the tokens.
        config: ``num_seeds``, ``min_truth`` and ``max_playlists`` count here.
        part: ``test``, or ``validation`` to choose between systems.

    Returns:
        Number of seeds to test cases. Numbers for which no playlist is long enough are left out, with a log line.

    Raises:
        UserError: No test playlist is long enough for any number of seeds.
    """
    test = splits.filter(pc.field("split") == part).sort_by("playlist_id")
    test_ids, pids = test["playlist_id"].to_numpy(), test["pid"].to_numpy()
    rows, track_ids = _find_unique_tracks(memberships, test_ids)
    tokens = vocabulary.tokens_of(tracks)[track_ids]
    lengths = np.bincount(rows, minlength=len(test_ids))

    cases = {}
    for num_seeds in sorted(set(config.num_seeds)):
        long_enough = np.flatnonzero(lengths >= num_seeds + config.min_truth)
        if not len(long_enough):
            logger.warning(
                "nothing is measured with %d seeds: no %s playlist has %d unique tracks after them",
                num_seeds,
                part,
                config.min_truth,
            )
            continue
        chosen = _sample_by_digest(long_enough, pids, config.max_playlists)
        cases[num_seeds] = _cut_playlists(num_seeds, test_ids, pids, rows, tokens, chosen)
    if not cases:
        needed = min(config.num_seeds) + config.min_truth
        raise UserError(
            f"evaluate: none of the {len(test_ids)} {part} playlists has {needed} or more different tracks; "
            f"lower evaluate.min_truth or evaluate.num_seeds, or give the {part} part more playlists"
        )
    return cases


def _sample_by_digest(indices: np.ndarray, pids: np.ndarray, size: int | None) -> np.ndarray:
    """Keep the ``size`` indices whose pid has the lowest digest, all if None; rising."""
    if size is None:
        return indices
    digests = [hashlib.sha256(f"test-case:{pid}".encode()).digest() for pid in pids[indices].tolist()]
    return np.sort(indices[sorted(range(len(digests)), key=digests.__getitem__)[:size]])


def _cut_playlists(
    num_seeds: int,
    playlist_ids: np.ndarray,
    pids: np.ndarray,
    rows: np.ndarray,
    tokens: np.ndarray,
    chosen: np.ndarray,
) -> TestCases:
    """Part the chosen playlists into seeds and truth; ``rows`` says whose each token is, and both are in order."""
    lengths = np.bincount(rows, minlength=len(playlist_ids))
    ranks = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    used = np.zeros(len(playlist_ids), bool)
    used[chosen] = True
    is_seed = used[rows] & (ranks < num_seeds)
    is_known_truth = used[rows] & (ranks >= num_seeds) & (tokens != UNK)
    num_known = np.bincount(rows[is_known_truth], minlength=len(playlist_ids))[chosen]
    return TestCases(
        num_seeds=num_seeds,
        playlist_ids=playlist_ids[chosen],
        pids=pids[chosen],
        seed_tokens=tokens[is_seed].reshape(-1, num_seeds),  # [n, K]
        truth_tokens=tokens[is_known_truth],
        truth_offsets=np.concatenate([[0], np.cumsum(num_known, dtype=np.int64)]),
        num_truth=(lengths[chosen] - num_seeds).astype(np.int32),
    )


def _find_unique_tracks(memberships: pa.Table, playlist_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """List the unique tracks of some playlists in their order.

    Args:
        memberships: Sorted by playlist and position.
        playlist_ids: Playlists wanted, rising.

    Returns:
        Index into ``playlist_ids`` and track id of each entry that is the first of its track, int64 [m] each.
    """
    playlists = memberships["playlist_id"].to_numpy()
    starts = np.searchsorted(playlists, playlist_ids, side="left")
    lengths = np.searchsorted(playlists, playlist_ids, side="right") - starts
    rows = np.repeat(np.arange(len(playlist_ids)), lengths)
    places = np.arange(len(rows)) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    track_ids = memberships["track_id"].take(pa.array(places)).to_numpy().astype(np.int64)
    keys = rows * (int(track_ids.max(initial=0)) + 1) + track_ids
    first = np.sort(np.unique(keys, return_index=True)[1])
    return rows[first], track_ids[first]


def rank_cases(systems: Mapping[str, Ranker], cases: Mapping[int, TestCases], config: EvaluateConfig) -> pa.Table:
    """Let systems rank continuations of the test cases.

    Args:
        systems: Name to system. A system gets all playlists of a number of seeds at once and parts them as it likes.
        cases: Number of seeds to test cases.
        config: ``num_recommendations`` counts here: the length of a list.

    Returns:
        Table of ``RANKINGS_SCHEMA``, without padding.

    Raises:
        ValueError: A system returns a wrong shape, or padding before the end of a list.
    """
    k = config.num_recommendations
    tables = [RANKINGS_SCHEMA.empty_table()]
    for name, system in systems.items():
        for num_seeds, part in cases.items():
            logger.info("%s ranks %d playlists with %d seeds", name, len(part), num_seeds)
            ranked = system.rank(part.seeds, k)
            if ranked.shape != (len(part), k):
                raise ValueError(f"system {name} gave lists of shape {ranked.shape}, not {(len(part), k)}")
            tables.append(_make_rankings(name, num_seeds, part.playlist_ids, ranked))
    return pa.concat_tables(tables)


def _make_rankings(system: str, num_seeds: int, playlist_ids: np.ndarray, ranked: np.ndarray) -> pa.Table:
    listed = ranked != PADDING
    if (listed[:, 1:] & ~listed[:, :-1]).any():
        raise ValueError(f"system {system} gave a list with padding before its end")
    offsets = np.concatenate([[0], np.cumsum(listed.sum(axis=1))]).astype(np.int32)
    columns = {
        "protocol": pa.repeat(FIRST_K, len(ranked)),
        "system": pa.repeat(system, len(ranked)),
        "num_seeds": pa.repeat(pa.scalar(num_seeds, pa.int32()), len(ranked)),
        "playlist_id": playlist_ids,
        "tokens": pa.ListArray.from_arrays(offsets, ranked[listed].astype(np.int32)),
    }
    return pa.Table.from_pydict(columns, schema=RANKINGS_SCHEMA)


def evaluate_rankings(
    cases: Mapping[int, TestCases], rankings: pa.Table
) -> dict[str, dict[int, dict[str, np.ndarray]]]:
    """Measure ranked lists, playlist by playlist.

    Args:
        cases: Number of seeds to test cases.
        rankings: ``RANKINGS_SCHEMA``; each system has one list for each playlist of each number of seeds.

    Returns:
        System, then number of seeds, then metric to float64 [n] in the order of the cases.

    Raises:
        ValueError: A system's lists are not those of the cases, or hold a seed, a special token or a track twice.
            Such lists would falsify the figures.
    """
    rankings = rankings.filter(pc.field("protocol") == FIRST_K)
    results: dict[str, dict[int, dict[str, np.ndarray]]] = {}
    for system in rankings["system"].unique().to_pylist():
        of_system = rankings.filter(pc.field("system") == system)
        results[system] = {}
        for num_seeds, part in cases.items():
            lists = of_system.filter(pc.field("num_seeds") == num_seeds).sort_by("playlist_id")
            if not np.array_equal(lists["playlist_id"].to_numpy(), part.playlist_ids):
                raise ValueError(f"system {system} does not have one list for each playlist with {num_seeds} seeds")
            results[system][num_seeds] = _measure(f"system {system} with {num_seeds} seeds", part, lists["tokens"])
    return results


def _measure(name: str, cases: TestCases, lists: pa.ChunkedArray) -> dict[str, np.ndarray]:
    tokens, offsets = _read_lists(lists)
    chunks = []
    for start in range(0, len(cases), PLAYLISTS_PER_CHUNK):
        end = min(start + PLAYLISTS_PER_CHUNK, len(cases))
        ranked = _pad_lists(tokens, offsets[start : end + 1])
        lengths = np.diff(offsets[start : end + 1])
        _check_lists(name, ranked, lengths, cases.seed_tokens[start:end], cases.playlist_ids[start:end])
        hits = compute_hits(ranked, cases.truth_tokens, cases.truth_offsets[start : end + 1])
        chunks.append(compute_metrics(hits, cases.num_truth[start:end]))
    return {metric: np.concatenate([chunk[metric] for chunk in chunks]) for metric in METRICS}


def _pad_lists(tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the lists between ``offsets`` as int32 [n, longest], padded with -1."""
    lengths = np.diff(offsets)
    listed = np.arange(lengths.max(initial=0)) < lengths[:, None]
    ranked = np.full(listed.shape, PADDING, np.int32)
    ranked[listed] = tokens[offsets[0] : offsets[-1]]
    return ranked


def _check_lists(
    name: str, ranked: np.ndarray, lengths: np.ndarray, seeds: np.ndarray, playlist_ids: np.ndarray
) -> None:
    """Refuse lists that hold a special token, a track twice, or a seed."""
    listed = np.arange(ranked.shape[1]) < lengths[:, None]
    ordered = np.sort(ranked, axis=1)
    seed_offsets = np.arange(len(seeds) + 1) * seeds.shape[1]
    faults = {
        "a special token": listed & (ranked < len(SPECIALS)),
        "a track twice": (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PADDING),
        "a seed": compute_hits(ranked, seeds.ravel(), seed_offsets),
    }
    for fault, found in faults.items():
        if found.any():
            playlist_id = playlist_ids[found.any(axis=1).argmax()]
            raise ValueError(f"{name}: the list of playlist {playlist_id} holds {fault}")


def compute_ceiling(cases: TestCases, *, k: int = LIST_LENGTH) -> float:
    """Compute the best mean recall that lists of ``k`` tracks of the vocabulary can reach.

    Formula: mean over playlists of ``min(known truth, k) / |G|``. Bounds: 0 to 1.

    Args:
        cases: At least one playlist.
        k: Length of a list.
    """
    return float(np.mean(np.minimum(np.diff(cases.truth_offsets), k) / cases.num_truth))


def summarise(cases: Mapping[int, TestCases], rankings: pa.Table, config: EvaluateConfig) -> dict[str, Any]:
    """Measure ranked lists and average the figures over playlists, with bootstrap intervals.

    The intervals of all systems and metrics of one number of seeds come from the same resamples of the playlists.

    Args:
        cases: Number of seeds to test cases.
        rankings: ``RANKINGS_SCHEMA``; see ``evaluate_rankings``.
        config: ``num_seeds``, ``num_recommendations``, ``bootstrap_samples``, ``confidence`` and ``seed`` count here.

    Returns:
        ``ranking.first_k.<system>.<seeds>.<metric>`` = {mean, low, high}; ``playlists.first_k.<seeds>``, 0 for numbers
        of seeds that no playlist is long enough for; ``ceiling.first_k.<seeds>``, see ``compute_ceiling``. Numbers of
        seeds are text, as JSON wants its keys.
    """
    results = evaluate_rankings(cases, rankings)
    ranking: dict[str, dict[str, dict[str, Any]]] = {system: {} for system in results}
    for num_seeds in cases if results else ():
        columns = {
            (system, metric): values for system in results for metric, values in results[system][num_seeds].items()
        }
        ends = bootstrap_means(
            np.stack(list(columns.values()), axis=1),
            num_samples=config.bootstrap_samples,
            confidence=config.confidence,
            seed=(config.seed, num_seeds),
        )
        for (system, metric), *figures in zip(columns, *(end.tolist() for end in ends), strict=True):
            named = dict(zip(("mean", "low", "high"), figures, strict=True))
            ranking[system].setdefault(str(num_seeds), {})[metric] = named
    k = min(LIST_LENGTH, config.num_recommendations)
    return {
        "ranking": {FIRST_K: ranking},
        "playlists": {FIRST_K: {str(number): len(cases.get(number, ())) for number in sorted(set(config.num_seeds))}},
        "ceiling": {FIRST_K: {str(number): compute_ceiling(part, k=k) for number, part in cases.items()}},
    }
