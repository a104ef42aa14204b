import json

import numpy as np
import pyarrow as pa
import pytest

from playlist_pipeline.evaluation import summary
from playlist_pipeline.evaluation.metrics import MAIN_METRICS
from playlist_pipeline.evaluation.summary import average, average_by_length, compare, summarise

SECTIONS = [
    "ranking",
    "differences",
    "cohorts",
    "popularity_deciles",
    "beyond_accuracy",
    "playlists",
    "ceiling",
]


@pytest.fixture(scope="module")
def rankings(cases, make_rankings):
    return pa.concat_tables([make_rankings(cases, "model", k1_p0=[4, 5, 6]), make_rankings(cases, "popularity")])


@pytest.fixture(scope="module")
def report(cases, rankings, facts, make_config):
    return summarise({"first_k": cases}, rankings, facts, make_config())


def test_every_section_has_protocol_system_and_case(report):
    assert list(report) == SECTIONS
    assert report["playlists"] == {"first_k": {"1": 3, "2": 2}}
    assert report["ceiling"]["first_k"]["1"] == pytest.approx((3 / 4 + 1 + 1) / 3)
    for name in ("ranking", "cohorts", "popularity_deciles", "beyond_accuracy"):
        systems = report[name]["first_k"]
        assert {system: list(by_case) for system, by_case in systems.items()} == {
            "model": ["1", "2"],
            "popularity": ["1", "2"],
        }
    assert list(report["differences"]["first_k"]) == ["popularity"]
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_means_and_intervals(report):
    ranking = report["ranking"]["first_k"]
    recall = ranking["model"]["1"]["recall@500"]
    assert recall["mean"] == pytest.approx(3 / 4 / 3)
    assert 0 == recall["low"] <= recall["mean"] <= recall["high"] <= 3 / 4
    assert ranking["popularity"]["2"]["clicks"] == {"mean": 51, "low": 51, "high": 51}
    assert {type(value) for value in recall.values()} == {float}


def test_differences_by_hand(report):
    difference = report["differences"]["first_k"]["popularity"]["1"]
    assert difference["recall@500"]["mean"] == pytest.approx(3 / 4 / 3)
    assert difference["recall@500"]["ratio"] is None  # popularity found nothing
    assert difference["clicks"]["mean"] == pytest.approx(0 / 3 + 51 * 2 / 3 - 51)
    assert difference["clicks"]["ratio"] == pytest.approx(2 / 3)


def test_deciles_and_beyond_accuracy_are_those_of_the_lists(report):
    deciles = report["popularity_deciles"]["first_k"]["model"]["1"]
    assert sum(group["truth"] for group in deciles.values()) == 4 + 2 + 3
    assert deciles["unknown"] == {"recall": 0, "truth": 1}
    beyond = report["beyond_accuracy"]["first_k"]["model"]["1"]
    assert beyond["coverage@500"] == 5 / 20  # tokens 4, 5, 6, 15, 16


def test_number_of_seeds_that_no_playlist_allows_has_no_playlists(build, make_rankings, facts, make_config):
    cases = build([[0, 1, 2]], num_seeds=[1, 2])
    report = summarise({"first_k": cases}, make_rankings(cases), facts, make_config())
    assert report["playlists"] == {"first_k": {"1": 1, "2": 0}}
    assert list(report["ceiling"]["first_k"]) == list(report["ranking"]["first_k"]["model"]) == ["1"]


def test_intervals_do_not_depend_on_the_other_systems(cases, make_rankings, facts, make_config):
    alone = make_rankings(cases, "model", k1_p0=[4, 5, 6], k1_p2=[11])
    both = pa.concat_tables([make_rankings(cases, "popularity", k1_p1=[9]), alone])
    expected, report = (
        summarise({"first_k": cases}, table, facts, make_config())["ranking"]["first_k"] for table in (alone, both)
    )
    assert report["model"] == expected["model"]


def test_no_systems_leave_the_sections_empty(cases, make_rankings, facts, make_config):
    report = summarise({"first_k": cases}, make_rankings(cases).slice(0, 0), facts, make_config())
    assert report["ranking"] == report["differences"] == report["cohorts"] == {"first_k": {}}
    assert report["playlists"] == {"first_k": {"1": 3, "2": 2}}


def test_challenge_pools_its_cases_unless_playlists_are_reused(build_all, make_rankings, facts, make_config):
    playlists, changes = [list(range(20))] * 30, {"protocols": ["challenge"], "challenge_closed": False}
    for reuse in (False, True):
        cases, _ = build_all(playlists, challenge_reuse=reuse, **changes)
        config = make_config(challenge_reuse=reuse, **changes)
        parts = cases["challenge"]
        first = parts["title_only"].playlist_ids[0]
        table = make_rankings(parts, **{f"ktitle_only_p{first}": [3, 4, 5]}) if not reuse else make_rankings(parts)
        table = table if reuse else drop_seeds(table, parts)
        report = summarise(cases, table if not reuse else drop_seeds(table, parts), facts, config)
        names = [*report["playlists"]["challenge"]]
        assert ("all" in names) != reuse
        assert len(names) == 10 + (not reuse)
        assert report["playlists"]["challenge"]["title_first_100"] == 0
        if not reuse:
            ranking, sizes = report["ranking"]["challenge"]["model"], report["playlists"]["challenge"]
            assert sizes["all"] == 30
            pooled = sum(sizes[case] * ranking[case]["recall@500"]["mean"] for case in ranking if case != "all") / 30
            assert ranking["all"]["recall@500"]["mean"] == pytest.approx(pooled)
            assert pooled > 0


def drop_seeds(table, parts):
    """The same rankings without the seeds of the playlists."""
    rows = table.to_pylist()
    for row in rows:
        part = parts[row["case"]]
        seeds = part.seeds[part.playlist_ids.tolist().index(row["playlist_id"])]
        row["tokens"] = [token for token in row["tokens"] if token not in seeds]
    return pa.Table.from_pylist(rows, schema=table.schema)


def test_paired_intervals_are_narrower_than_those_of_the_parts(make_config):
    rng = np.random.default_rng(0)
    hard = rng.random(400)
    measured = {"model": {"x": hard + 0.01}, "other": {"x": hard + 0.002 * rng.standard_normal(400)}}
    config = make_config()
    (difference,) = (found["x"] for found in compare(measured, config, seed=(0,)).values())
    assert difference["low"] > 0.009
    assert difference["high"] < 0.011
    ends = average(measured, config, seed=(0,))
    assert ends["model"]["x"]["low"] < ends["other"]["x"]["high"]  # unpaired intervals overlap
    assert difference["ratio"] == pytest.approx(measured["model"]["x"].mean() / measured["other"]["x"].mean())


def test_a_difference_and_its_parts_share_their_resamples(make_config):
    # With one resample its ends are its mean, so differences of ends are ends of differences.
    rng = np.random.default_rng(0)
    measured = {"model": {"x": rng.random(50)}, "other": {"x": rng.random(50)}}
    config = make_config(bootstrap_samples=1)
    ends = average(measured, config, seed=(3,))
    found = compare(measured, config, seed=(3,))["other"]["x"]
    assert found["low"] == pytest.approx(ends["model"]["x"]["low"] - ends["other"]["x"]["low"])


def test_without_a_model_there_is_nothing_to_compare(make_config):
    assert compare({"other": {"x": np.ones(3)}}, make_config(), seed=(0,)) == {}


def test_cohorts_part_playlists_by_length(make_config):
    lengths = np.array([1, 50, 51, 100, 150, 151, 400])
    values = np.arange(7.0)
    found = average_by_length({"a": dict.fromkeys(MAIN_METRICS, values)}, lengths, make_config(), seed=(0,))["a"]
    assert {cohort: figures["playlists"] for cohort, figures in found.items()} == {
        "(0,50]": 2,
        "(50,100]": 2,
        "(100,150]": 1,
        ">150": 2,
    }
    means = [figures["ndcg@500"]["mean"] for figures in found.values()]
    assert means == [0.5, 2.5, 4, 5.5]
    assert all(list(figures) == ["playlists", *MAIN_METRICS] for figures in found.values())


def test_a_cohort_without_playlists_has_no_figures(make_config):
    found = average_by_length(
        {"a": dict.fromkeys(MAIN_METRICS, np.ones(2))}, np.array([5, 6]), make_config(), seed=(0,)
    )
    assert found["a"]["(50,100]"] == {"playlists": 0}
    assert found["a"]["(0,50]"]["clicks"] == {"mean": 1, "low": 1, "high": 1}


def test_resamples_of_a_case_follow_from_seed_protocol_and_case(cases, make_config):
    seeds = {summary._seed_of(case, make_config(seed=seed)) for case in cases.values() for seed in (0, 1)}
    assert len(seeds) == 4
