"""Candidates of the first stage, and what the second stage is told of each.

Shape letters: n playlists, C candidates of each, F features, V vocabulary, A artists.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from playlist_pipeline.corpus.vocabulary import SPECIALS, read_stand_ins
from playlist_pipeline.generation.reranking.first_stage import SCORERS, FirstStage, Scores

# How much each scorer, its artists and popularity count for what is a candidate at all.
CANDIDATE_WEIGHTS = {
    "transformer": 3.0,
    "playlists": 2.0,
    "title_characters": 0.75,
    "title_words": 0.75,
    "title_transformer": 1.5,
}
POPULARITY_WEIGHT = 0.3
ARTIST_WEIGHT = 0.3
SMALLEST_SCORE = 1e-3  # scores enter as logarithms too
FEATURES = (
    *(f"{form}{name}" for name in SCORERS for form in ("", "log_")),
    *(f"artist_{form}{name}" for name in SCORERS for form in ("", "log_")),
    "log_count",
    "log_artist_count",
    "share_of_artist",
    "log_same_artist",
    "share_same_artist",
    "is_same_artist",
    "is_last_artist",
    "artist_in_title",
    "log_seeds",
    "log_known_seeds",
    "share_known_seeds",
    "artists_per_seed",
    "share_of_main_artist",
    "seed_log_count",
    *(f"log_highest_{name}" for name in SCORERS),
)


@dataclass(frozen=True, eq=False)
class Candidates:
    """The candidates of some playlists.

    Attributes:
        tokens: int32 [n, C].
        features: float16 [n, C, F], in the order of ``FEATURES``.
        is_valid: bool [n, C]; the others only fill the array.
    """

    tokens: np.ndarray
    features: np.ndarray
    is_valid: np.ndarray


def describe_candidates(
    stage: FirstStage,
    seeds: Sequence[np.ndarray],
    titles: Sequence[str | None],
    num_candidates: int,
    is_allowed: np.ndarray | None = None,
) -> Candidates:
    """Choose the candidates of playlists and describe them.

    Args:
        stage: The scorers.
        seeds: Tokens of each playlist's given tracks; ``<unk>`` allowed.
        titles: Their titles; None where there is none.
        num_candidates: C, if the vocabulary is larger.
        is_allowed: bool [V], which tracks may be candidates; None for all.
    """
    seeds = [np.asarray(given) for given in seeds]
    scores = stage.score(seeds, titles)
    tokens, is_valid = _choose(stage, scores, seeds, num_candidates, is_allowed)
    artist = stage.artists.of_token[tokens]  # [n, C]
    columns = [*_describe_scores(scores, tokens, artist)]
    columns += _describe_artists(stage, seeds, titles, tokens, artist)
    playlist = _describe_playlists(stage, scores, seeds)  # [n, few]
    columns += [np.broadcast_to(values[:, None], tokens.shape) for values in playlist.T]
    return Candidates(tokens, np.stack(columns, axis=-1, dtype=np.float16, casting="same_kind"), is_valid)


def _choose(
    stage: FirstStage,
    scores: Scores,
    seeds: Sequence[np.ndarray],
    num_candidates: int,
    is_allowed: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of the candidates, int32 [n, C], rising, and which are valid, bool [n, C]."""
    total = np.sum([weight * scores.tracks[name] for name, weight in CANDIDATE_WEIGHTS.items()], axis=0)
    # Without tracks the transformer only knows what is popular, which would push aside what the title says.
    is_empty = np.array([not (read_stand_ins(given) >= len(SPECIALS)).any() for given in seeds])
    total[is_empty] -= CANDIDATE_WEIGHTS["transformer"] * scores.tracks["transformer"][is_empty]
    total += POPULARITY_WEIGHT * stage.counts / max(stage.counts.max(), 1.0)
    total += ARTIST_WEIGHT * scores.artists["playlists"][:, stage.artists.of_token]
    total[:, (stage.counts == 0) | (np.arange(len(stage.counts)) < len(SPECIALS))] = -np.inf
    if is_allowed is not None:
        total[:, ~is_allowed] = -np.inf
    for row, given in zip(total, seeds, strict=True):
        row[given[given >= 0]] = -np.inf
    count = min(num_candidates, total.shape[1])
    tokens = np.sort(np.argpartition(-total, count - 1, axis=1)[:, :count], axis=1).astype(np.int32)
    return tokens, np.isfinite(np.take_along_axis(total, tokens, axis=1))


def _describe_scores(scores: Scores, tokens: np.ndarray, artist: np.ndarray) -> list[np.ndarray]:
    columns = []
    for of, places in ((scores.tracks, tokens), (scores.artists, artist)):
        for name in SCORERS:
            values = np.take_along_axis(of[name], places, axis=1)
            columns += [values, np.log(np.maximum(values, 0) + SMALLEST_SCORE)]
    return columns


def _describe_artists(
    stage: FirstStage,
    seeds: Sequence[np.ndarray],
    titles: Sequence[str | None],
    tokens: np.ndarray,
    artist: np.ndarray,
) -> list[np.ndarray]:
    """Describe counts, and how candidates' artists stand to those of seeds and title."""
    counts, artist_counts = np.maximum(stage.counts[tokens], 1), np.maximum(stage.artist_counts[artist], 1)
    known = artist > 0
    same = np.take_along_axis(_count_seed_artists(stage, seeds).toarray(), artist, axis=1) * known
    num_seeds = np.array([max(len(given), 1) for given in seeds])[:, None]
    last = np.array([stage.artists.of_token[read_stand_ins(given[-1])] if len(given) else 0 for given in seeds])[
        :, None
    ]
    named = np.zeros((len(seeds), len(stage.artists.names)), np.float32)
    for row, title in zip(named, titles, strict=True):
        for number, share in stage.find_artists(title):
            row[number] = share
    return [
        np.log(counts),
        np.log(artist_counts),
        counts / artist_counts,
        np.log1p(same),
        same / num_seeds,
        same > 0,
        (artist == last) & known,
        np.take_along_axis(named, artist, axis=1),
    ]


def _count_seed_artists(stage: FirstStage, seeds: Sequence[np.ndarray]) -> sp.csr_matrix:
    """Count the seeds by each artist, float32 [n, A]; artist 0 counts those without one."""
    lengths = [len(given) for given in seeds]
    tokens = read_stand_ins(np.concatenate([np.empty(0, np.int32), *seeds]).astype(np.int64))
    numbers = stage.artists.of_token[tokens]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    matrix = sp.csr_matrix(
        (np.ones(len(numbers), np.float32), numbers, offsets), shape=(len(seeds), len(stage.artists.names))
    )
    matrix.sum_duplicates()
    return matrix


def _describe_playlists(stage: FirstStage, scores: Scores, seeds: Sequence[np.ndarray]) -> np.ndarray:
    """Describe the playlists, float32 [n, few]: how much is given, how alike it is, how sure the scorers are."""
    by_artist = _count_seed_artists(stage, seeds)[:, 1:]
    rows = []
    for row, given in enumerate(seeds):
        known = given[given >= 0]
        known = known[stage.counts[known] > 0]
        num_seeds = max(len(given), 1)
        of_artists = by_artist.data[by_artist.indptr[row] : by_artist.indptr[row + 1]]
        rows.append(
            [
                np.log1p(len(given)),
                np.log1p(len(known)),
                len(known) / num_seeds,
                len(of_artists) / num_seeds,
                of_artists.max(initial=0) / num_seeds,
                np.log(stage.counts[known]).mean() if len(known) else 0.0,
            ]
        )
    highest = np.log(np.stack([scores.highest[name] for name in SCORERS], axis=1) + SMALLEST_SCORE**2)
    return np.concatenate([np.array(rows, np.float32), highest], axis=1)
