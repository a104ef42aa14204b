import numpy as np
import pyarrow.parquet as pq
import pytest

from playlist_pipeline.evaluation.cases import (
    TEST_CASES_SCHEMA,
    TestCases,
    cases_from_table,
    cases_to_table,
    compute_ceiling,
    pool_cases,
)
from playlist_pipeline.evaluation.ragged import RaggedArray


def assert_same(left: TestCases, right: TestCases) -> None:
    for name, value in vars(left).items():
        other = getattr(right, name)
        if isinstance(value, RaggedArray):
            np.testing.assert_array_equal(value.values, other.values, strict=True)
            np.testing.assert_array_equal(value.offsets, other.offsets, strict=True)
        else:
            np.testing.assert_array_equal(value, other)


def test_table_and_back(build_all, tmp_path):
    playlists = [[0, 1, 0, 2, 25, 3], [5, 6, 7], [21, 8, 9, 10]]
    by_protocol, _ = build_all(playlists, protocols=["first_k", "challenge"], challenge_closed=False, num_seeds=[2, 1])
    table = cases_to_table(by_protocol)
    assert table.schema == TEST_CASES_SCHEMA
    assert table["case"].to_pylist()[:5] == ["1", "1", "1", "2", "2"]
    pq.write_table(table, tmp_path / "cases.parquet")
    for copy in (table, pq.read_table(tmp_path / "cases.parquet")):
        back = cases_from_table(copy)
        assert {name: list(cases) for name, cases in back.items()} == {
            name: list(cases) for name, cases in by_protocol.items()
        }
        for protocol, cases in back.items():
            for case, part in cases.items():
                assert_same(part, by_protocol[protocol][case])


def test_one_table_of_several_cases_is_not_one_case(cases):
    table = cases_to_table({"first_k": cases})
    with pytest.raises(ValueError, match="a table of 2 cases, where one is wanted"):
        TestCases.from_table(table)
    with pytest.raises(ValueError, match="a table of 0 cases"):
        TestCases.from_table(table.slice(0, 0))


def test_pooled_cases_stand_one_after_the_other(build):
    one, two = (build([[0, 1, 2, 3], [4, 5, 6, 7]], parts, num_seeds=[1])["1"] for parts in (["test", "train"], None))
    assert pool_cases({"1": one, "2": two}, "all") is None  # playlist 0 is in both
    assert pool_cases({"1": one}, "all") is None
    other = build([[0, 1, 2, 3], [4, 5, 6, 7]], ["train", "test"], num_seeds=[2])["2"]
    pooled = pool_cases({"2": other, "1": one}, "all")
    assert (pooled.protocol, pooled.case, len(pooled)) == ("first_k", "all", 2)
    assert pooled.playlist_ids.tolist() == [1, 0]
    assert [tokens.tolist() for tokens in pooled.seeds] == [[7, 8], [3]]
    assert [tokens.tolist() for tokens in pooled.truth] == [[9, 10], [4, 5, 6]]
    assert pooled.titles == ["Title 1", "Title 0"]
    assert pooled.num_truth.tolist() == [2, 3]
    assert [artists.tolist() for artists in pooled.truth_artists] == [[3], [0, 1]]


def test_ceiling_counts_known_truth_up_to_the_length_of_a_list(cases):
    assert compute_ceiling(cases["1"]) == pytest.approx((3 / 4 + 1 + 1) / 3)
    assert compute_ceiling(cases["1"], k=2) == pytest.approx((2 / 4 + 1 + 2 / 3) / 3)
