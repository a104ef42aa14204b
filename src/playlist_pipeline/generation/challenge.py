"""Lists of 500 tracks for the playlists of a challenge set."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playlist_pipeline.corpus.vocabulary import SPECIALS, UNK, Vocabulary
from playlist_pipeline.errors import UserError
from playlist_pipeline.generation.recommender import Recommender
from playlist_pipeline.generation.search import PADDING
from playlist_pipeline.mpd.challenge import ChallengePlaylist
from playlist_pipeline.mpd.submission import LIST_LENGTH

CHALLENGE_RANKINGS_SCHEMA = pa.schema(
    [
        pa.field("pid", pa.int32(), nullable=False),
        pa.field("has_title", pa.bool_(), nullable=False),
        pa.field("num_seeds", pa.int32(), nullable=False),
        pa.field("num_unknown_seeds", pa.int32(), nullable=False),
        pa.field("num_filled", pa.int32(), nullable=False),
        pa.field("track_uris", pa.list_(pa.string()), nullable=False),
    ]
)


def rank_challenge(recommender: Recommender, playlists: Sequence[ChallengePlaylist]) -> pa.Table:
    """Rank 500 tracks for each playlist.

    A seed that the vocabulary lacks is given as ``<unk>``. Where the recommender has fewer tracks to give, the list is
    filled with the tracks most frequent in training.

    Args:
        recommender: Gets seeds and titles.
        playlists: At least one.

    Returns:
        One row for each playlist, in the same order (``CHALLENGE_RANKINGS_SCHEMA``); ``num_filled`` says how many
        tracks of a list are filled in.

    Raises:
        UserError: The vocabulary has fewer than 500 tracks besides a playlist's seeds.
    """
    vocabulary = recommender.vocabulary
    seeds = [vocabulary.encode(playlist.seeds) for playlist in playlists]
    _require_enough_tracks(playlists, seeds, vocabulary)
    ranked = recommender.rank(seeds, LIST_LENGTH, titles=[playlist.title for playlist in playlists])
    tokens = fill_lists(ranked, seeds)
    offsets = np.arange(len(playlists) + 1, dtype=np.int32) * LIST_LENGTH
    columns = {
        "pid": [playlist.pid for playlist in playlists],
        "has_title": [playlist.title is not None for playlist in playlists],
        "num_seeds": [len(row) for row in seeds],
        "num_unknown_seeds": [int((row == UNK).sum()) for row in seeds],
        "num_filled": (ranked == PADDING).sum(axis=1),
        "track_uris": pa.ListArray.from_arrays(offsets, pa.array(vocabulary.decode(tokens.ravel()))),
    }
    return pa.Table.from_pydict(columns, schema=CHALLENGE_RANKINGS_SCHEMA)


def _require_enough_tracks(
    playlists: Sequence[ChallengePlaylist], seeds: Sequence[np.ndarray], vocabulary: Vocabulary
) -> None:
    num_known = [len(np.unique(row[row != UNK])) for row in seeds]
    most = int(np.argmax(num_known))
    num_tracks = len(vocabulary) - len(SPECIALS)
    if num_tracks - num_known[most] < LIST_LENGTH:
        raise UserError(
            f"a submission needs {LIST_LENGTH} tracks for each playlist, but the model's vocabulary has {num_tracks}, "
            f"of which pid {playlists[most].pid} has {num_known[most]} as seeds: train on a larger archive, or with a "
            "smaller vocabulary.min_count"
        )


def fill_lists(ranked: np.ndarray, seeds: Sequence[np.ndarray]) -> np.ndarray:
    """Put the tracks most frequent in training in the place of padding.

    Args:
        ranked: Tokens, int32 ``[n, k]``, each row padded with -1 at its end.
        seeds: Tokens of each playlist's given tracks, int32 ``[n_i]``; the vocabulary has k tracks or more beside them.

    Returns:
        int32 ``[n, k]``; what is filled in is neither in the row before nor a seed, and in the order of tokens.
    """
    filled = ranked.copy()
    for row in np.flatnonzero((ranked == PADDING).any(axis=1)).tolist():
        used = np.concatenate([ranked[row], seeds[row]])
        # Tokens are in the order of falling count; so many hold at least k that are not used.
        frequent = np.arange(len(SPECIALS), len(SPECIALS) + len(used))
        is_padding = ranked[row] == PADDING
        filled[row, is_padding] = np.setdiff1d(frequent, used)[: is_padding.sum()]
    return filled


def summarise_rankings(rankings: pa.Table) -> dict[str, Any]:
    """Count what the lists of a submission were made from.

    Args:
        rankings: ``CHALLENGE_RANKINGS_SCHEMA``.

    Returns:
        ``playlists``; ``playlists_by_seeds``, number of seeds as text to playlists; ``playlists_with_title``;
        ``seeds``; ``unknown_seeds``, those that the vocabulary lacks; ``filled_lists``, those that had to be filled
        up; and ``filled_tracks``, by how many tracks in all.
    """
    by_seeds = Counter(rankings["num_seeds"].to_pylist())
    return {
        "playlists": rankings.num_rows,
        "playlists_by_seeds": {str(number): by_seeds[number] for number in sorted(by_seeds)},
        "playlists_with_title": pc.sum(rankings["has_title"]).as_py(),
        "seeds": pc.sum(rankings["num_seeds"]).as_py(),
        "unknown_seeds": pc.sum(rankings["num_unknown_seeds"]).as_py(),
        "filled_lists": pc.sum(pc.greater(rankings["num_filled"], 0)).as_py(),
        "filled_tracks": pc.sum(rankings["num_filled"]).as_py(),
    }
