"""Protocols: which playlists are continued, from which tracks and titles, and what counts as found.

In every protocol a playlist counts as its unique tracks in the order of their first position. What is not given is
the truth. A seed that the vocabulary does not know is given as ``<unk>``; truth that it does not know counts as missed.
"""

from collections.abc import Callable
from types import MappingProxyType

import pyarrow as pa

from playlist_pipeline.config import EvaluateConfig
from playlist_pipeline.corpus.vocabulary import Vocabulary
from playlist_pipeline.evaluation.cases import TestCases
from playlist_pipeline.evaluation.protocols import challenge, deezer, first_k
from playlist_pipeline.evaluation.protocols.challenge import CHALLENGE
from playlist_pipeline.evaluation.protocols.deezer import DEEZER
from playlist_pipeline.evaluation.protocols.first_k import FIRST_K
from playlist_pipeline.evaluation.protocols.playlists import read_part

__all__ = ["CHALLENGE", "DEEZER", "FIRST_K", "build_test_cases", "list_cases"]

CASES_OF = MappingProxyType({FIRST_K: first_k.list_cases, CHALLENGE: challenge.list_cases, DEEZER: deezer.list_cases})


def list_cases(protocol: str, config: EvaluateConfig) -> list[str]:
    """Return the names of a protocol's cases in their order."""
    return CASES_OF[protocol](config)


def build_test_cases(
    playlists: pa.Table,
    memberships: pa.Table,
    tracks: pa.Table,
    splits: pa.Table,
    vocabulary: Vocabulary,
    config: EvaluateConfig,
    *,
    part: str = "test",
) -> tuple[dict[str, dict[str, TestCases]], dict[str, dict[str, int]]]:
    """Build the cases of ``config.protocols`` from the playlists of a part.

    Args:
        playlists: ``PLAYLISTS_SCHEMA``; row i is playlist_id i.
        memberships: ``MEMBERSHIPS_SCHEMA``, sorted by playlist and position.
        tracks: ``TRACKS_SCHEMA``; row i is track_id i.
        splits: playlist_id, pid, split.
        vocabulary: Gives the tokens.
        config: ``protocols``, and what each protocol says of it.
        part: ``test``, or ``validation`` to choose between systems.

    Returns:
        Protocol, then case, to its playlists. And for each protocol how many playlists were looked at, and how many of
        them were left out, by reason.

    Raises:
        UserError: A protocol finds no playlist.
    """
    read = read_part(playlists, memberships, tracks, splits, vocabulary, part, stand_ins=True)
    builders: dict[str, Callable[[], tuple[dict[str, TestCases], dict[str, int]]]] = {
        FIRST_K: lambda: first_k.build_cases(read, config),
        CHALLENGE: lambda: challenge.build_cases(read, config),
        DEEZER: lambda: deezer.build_cases(read, splits, config),
    }
    built = {protocol: builders[protocol]() for protocol in config.protocols}
    return {name: cases for name, (cases, _) in built.items()}, {name: counts for name, (_, counts) in built.items()}
