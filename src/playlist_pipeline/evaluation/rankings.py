"""Ranked lists: systems make them, and they are measured playlist by playlist."""

import logging
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playlist_pipeline.config import EvaluateConfig
from playlist_pipeline.corpus.vocabulary import SPECIALS
from playlist_pipeline.evaluation.baselines import Ranker
from playlist_pipeline.evaluation.cases import CasesByProtocol, TestCases
from playlist_pipeline.evaluation.facts import TrackFacts
from playlist_pipeline.evaluation.metrics import PADDING, compute_hits, compute_metrics
from playlist_pipeline.evaluation.ragged import RaggedArray

logger = logging.getLogger(__name__)

PLAYLISTS_PER_CHUNK = 4096

RANKINGS_SCHEMA = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("case", pa.string(), nullable=False),
        pa.field("system", pa.string(), nullable=False),
        pa.field("playlist_id", pa.int32(), nullable=False),
        pa.field("tokens", pa.list_(pa.int32()), nullable=False),
    ]
)


def rank_cases(systems: Mapping[str, Ranker], cases: CasesByProtocol, config: EvaluateConfig) -> pa.Table:
    """Let systems rank continuations of the test cases.

    Args:
        systems: Name to system. A system gets all playlists of a case at once and parts them as it likes.
        cases: Protocol, then case, to its playlists.
        config: ``num_recommendations`` counts here: the length of a list.

    Returns:
        Table of ``RANKINGS_SCHEMA``, without padding.

    Raises:
        ValueError: A system returns a wrong shape, padding before the end of a list, a seed, a special token or a
            track twice. Such lists would falsify the figures.
    """
    tables = [RANKINGS_SCHEMA.empty_table()]
    for name, system in systems.items():
        for protocol, parts in cases.items():
            for case, part in parts.items():
                logger.info("%s ranks %d playlists of %s %s", name, len(part), protocol, case)
                lists = rank_lists(system, part, config.num_recommendations, name=name)
                columns = {
                    "protocol": pa.repeat(protocol, len(part)),
                    "case": pa.repeat(case, len(part)),
                    "system": pa.repeat(name, len(part)),
                    "playlist_id": part.playlist_ids,
                    "tokens": lists.to_arrow(),
                }
                tables.append(pa.Table.from_pydict(columns, schema=RANKINGS_SCHEMA))
    return pa.concat_tables(tables)


def rank_lists(system: Ranker, cases: TestCases, k: int, *, name: str) -> RaggedArray:
    """Let a system rank ``k`` continuations of each playlist of a case, and check them.

    Args:
        system: Ranks.
        cases: The playlists.
        k: Length of a list.
        name: The system's name, for errors.

    Returns:
        One list for each playlist, without padding.

    Raises:
        ValueError: As in ``rank_cases``.
    """
    ranked = system.rank(list(cases.seeds), k, titles=cases.titles)
    if ranked.shape != (len(cases), k):
        raise ValueError(f"system {name} gave lists of shape {ranked.shape}, not {(len(cases), k)}")
    listed = ranked != PADDING
    if (listed[:, 1:] & ~listed[:, :-1]).any():
        raise ValueError(f"system {name} gave a list with padding before its end")
    lists = RaggedArray.from_lengths(ranked[listed], listed.sum(axis=1))
    check_lists(lists, cases, name=name)
    return lists


def check_lists(lists: RaggedArray, cases: TestCases, *, name: str) -> None:
    """Refuse lists that hold a special token, a track twice, or a seed.

    Raises:
        ValueError: One does; it names system, case and playlist.
    """
    for start in range(0, len(cases), PLAYLISTS_PER_CHUNK):
        end = min(start + PLAYLISTS_PER_CHUNK, len(cases))
        part, seeds = lists.slice(start, end), cases.seeds.slice(start, end)
        ranked = part.pad(PADDING)
        ordered = np.sort(ranked, axis=1)
        faults = {
            "a special token": (ranked < len(SPECIALS)) & (np.arange(ranked.shape[1]) < part.lengths[:, None]),
            "a track twice": (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PADDING),
            "a seed": compute_hits(ranked, np.maximum(seeds.values, 0), seeds.offsets),  # stand-ins may be listed
        }
        for fault, found in faults.items():
            if found.any():
                playlist_id = cases.playlist_ids[start:end][found.any(axis=1).argmax()]
                where = f"system {name}, {cases.protocol} {cases.case}"
                raise ValueError(f"{where}: the list of playlist {playlist_id} holds {fault}")


def read_rankings(rankings: pa.Table, cases: CasesByProtocol) -> dict[str, dict[str, dict[str, RaggedArray]]]:
    """Read ranked lists from a table and check them.

    Args:
        rankings: ``RANKINGS_SCHEMA``; each system has one list for each playlist of each case.
        cases: Protocol, then case, to its playlists.

    Returns:
        Protocol, then case, then system to lists in the order of the cases.

    Raises:
        ValueError: A system's lists are not those of the cases, or hold what ``check_lists`` refuses.
    """
    systems = rankings["system"].unique().to_pylist()
    read: dict[str, dict[str, dict[str, RaggedArray]]] = {}
    for protocol, parts in cases.items():
        of_protocol = rankings.filter(pc.field("protocol") == protocol)
        read[protocol] = {}
        for case, part in parts.items():
            of_case = of_protocol.filter(pc.field("case") == case)
            read[protocol][case] = {}
            for system in systems:
                rows = of_case.filter(pc.field("system") == system).sort_by("playlist_id")
                if not np.array_equal(rows["playlist_id"].to_numpy(), part.playlist_ids):
                    raise ValueError(f"system {system} does not have one list for each playlist of {protocol} {case}")
                lists = RaggedArray.from_arrow(rows["tokens"])
                check_lists(lists, part, name=system)
                read[protocol][case][system] = lists
    return read


def measure_lists(lists: RaggedArray, cases: TestCases, facts: TrackFacts | None = None) -> dict[str, np.ndarray]:
    """Measure ranked lists, playlist by playlist.

    Args:
        lists: One for each playlist of the case.
        cases: The playlists.
        facts: The tracks' artists; without them the metrics that need artists are left out.

    Returns:
        Metric to float64 [n].
    """
    chunks = []
    for start in range(0, len(cases), PLAYLISTS_PER_CHUNK):
        end = min(start + PLAYLISTS_PER_CHUNK, len(cases))
        ranked, truth = lists.slice(start, end).pad(PADDING), cases.truth.slice(start, end)
        hits = compute_hits(ranked, truth.values, truth.offsets)
        artists = None if facts is None else facts.match_artists(ranked, cases.truth_artists.slice(start, end))
        names = None if facts is None else facts.match_artist_names(ranked, cases.truth_artists.slice(start, end))
        chunks.append(compute_metrics(hits, cases.num_truth[start:end], artists=artists, artist_names=names))
    return {metric: np.concatenate([chunk[metric] for chunk in chunks]) for metric in chunks[0]}
