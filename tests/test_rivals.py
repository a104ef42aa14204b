"""What tests/benchmarks/rivals.py does with the rivals' lists; RecTools itself runs in an environment of its own."""

import numpy as np
import pyarrow as pa
import pytest
import rivals

from playlist_pipeline.config import ConfigError
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.evaluation.baselines import Popularity
from playlist_pipeline.evaluation.cases import TEST_CASES_SCHEMA, TestCases, cases_to_table
from playlist_pipeline.evaluation.ragged import RaggedArray
from playlist_pipeline.evaluation.rankings import RANKINGS_SCHEMA


@pytest.fixture
def cases() -> pa.Table:
    """Three playlists with one seed each, the tokens 3, 4 and ``<unk>``; the truth is 6, 7 and 8."""
    part = TestCases(
        protocol="first_k",
        case="1",
        playlist_ids=np.array([10, 11, 12], np.int32),
        pids=np.array([100, 101, 102], np.int32),
        titles=[None, None, None],
        seeds=RaggedArray.from_lists([np.array([token], np.int32) for token in (3, 4, 2)]),
        truth=RaggedArray.from_lists([np.array([token], np.int32) for token in (6, 7, 8)]),
        num_truth=np.ones(3, np.int32),
        truth_artists=RaggedArray.from_lists([np.array([0], np.int32)] * 3),
    )
    table = cases_to_table({"first_k": {"1": part}})
    assert table.schema == TEST_CASES_SCHEMA
    return table


@pytest.fixture
def popularity() -> Popularity:
    """Most popular first: 8, 7, 6, 5, 4, 3."""
    uris = pa.array([*SPECIALS, *(f"spotify:track:{number:022d}" for number in range(6))])
    return Popularity(Vocabulary(uris, np.array([0, 0, 0, 1, 2, 3, 4, 5, 6])))


def test_lists_come_in_the_order_of_the_cases_and_are_filled(cases, popularity) -> None:
    # RecTools gives no list for a playlist without known seeds, and orders the others as it likes.
    lists = rivals.name_cases(cases).take([1, 0]).append_column("tokens", pa.array([[7], [5, 6]], pa.list_(pa.int32())))
    completed = rivals.complete_lists(lists, cases, "rival", popularity, 4)
    assert completed.schema == RANKINGS_SCHEMA
    assert completed["tokens"].to_pylist() == [[5, 6, 8, 7], [7, 8, 6, 5], [8, 7, 6, 5]]
    figures = rivals.judge(completed, cases)["rival"]["1"]
    assert figures["r_precision"] == pytest.approx(2 / 3)
    assert figures["ndcg@500"] == pytest.approx((1 / np.log2(3) + 1 + 1) / 3)


def test_the_search_space_is_allowed_and_the_start_in_it() -> None:
    for settings in rivals.SYSTEMS.values():
        for name, values in rivals.SEARCH_SPACE.items():
            assert getattr(settings, name) in values
            for value in values:
                assert rivals.RecToolsSettings(**settings.to_dict() | {name: value})
    with pytest.raises(ConfigError, match=r"rivals.lr = 0.0 is not allowed: give a positive number"):
        rivals.RecToolsSettings(**rivals.START | {"lr": 0.0})
