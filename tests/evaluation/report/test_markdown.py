import json
from pathlib import Path

import pandas as pd
import pytest

from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.report.markdown import render_results, replace_block, write_results, write_study

FIGURES = {
    "model": {"1": (0.25, 0.2, 0.3), "25": (0.5, 0.4, 0.6)},
    "item_knn": {"1": (0.125, 0.1, 0.1504), "25": (0.75, 0.7, 0.8)},
}
METRICS = {
    "ranking": {
        "first_k": {
            system: {
                case: {
                    metric: dict(zip(("mean", "low", "high"), figures, strict=True))
                    for metric in ("ndcg@500", "r_precision")
                }
                for case, figures in cases.items()
            }
            for system, cases in FIGURES.items()
        }
    },
    "playlists": {"first_k": {"1": 1234, "25": 7}},
    "ceiling": {"first_k": {"1": 0.916, "25": 0.5}},
}
TABLE = """\
| NDCG@500 | K = 1 | K = 25 |
| --- | --- | --- |
| model | **0.250** [0.200, 0.300] | 0.500 [0.400, 0.600] |
| item-kNN | 0.125 [0.100, 0.150] | **0.750** [0.700, 0.800] |
| playlists; highest recall the vocabulary allows | 1,234; 0.92 | 7; 0.50 |
"""
MARKED = "é before\n<!-- results:it -->\nold\n<!-- /results:it -->\nafter  \n\n<!-- results:other -->\n"


@pytest.fixture
def files(tmp_path):
    readme, metrics = tmp_path / "README.md", tmp_path / "metrics.json"
    readme.write_bytes(MARKED.encode())
    metrics.write_text(json.dumps(METRICS), "utf-8")
    return readme, metrics


def test_tables_have_systems_as_rows_and_seeds_as_columns():
    assert render_results(METRICS) == TABLE + "\n" + TABLE.replace("NDCG@500", "R-precision")


def test_a_case_without_playlists_has_no_column():
    more = METRICS | {"playlists": {"first_k": {"1": 1234, "25": 7, "100": 0}}}
    assert render_results(more) == render_results(METRICS)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_only_what_stands_between_the_markers_is_written(files, line_end):
    readme, metrics = files
    readme.write_bytes(MARKED.replace("\n", line_end).encode())
    for _ in range(2):  # the second time changes nothing
        write_results(readme, metrics, name="it", command="kedro run", commit="abc")
        block = f"`kedro run`, commit abc:\n\n{render_results(METRICS)}"
        assert readme.read_bytes() == MARKED.replace("old\n", block).replace("\n", line_end).encode()


def test_a_commit_that_is_not_given_is_not_named(files):
    readme, metrics = files
    write_results(readme, metrics, name="it", command="kedro run", commit=None)
    assert "`kedro run`:\n" in readme.read_text("utf-8")
    assert "commit" not in readme.read_text("utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- results:it -->",
        "<!-- /results:it -->\n<!-- results:it -->",
        "<!-- results:it --><!-- /results:it --><!-- results:it --><!-- /results:it -->",
        "<!-- results:item -->\n<!-- /results:item -->",
    ],
)
def test_markers_that_do_not_stand_there_once_and_in_order_are_refused(text, tmp_path):
    with pytest.raises(UserError) as error:
        replace_block(text, "it", "new", path=tmp_path / "README.md")
    assert str(error.value) == (
        f"{tmp_path}/README.md must have the line <!-- results:it --> once, and <!-- /results:it --> once below it: "
        "put them where results go"
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "metrics {} cannot be read (No such file or directory); make them with: kedro run"),
        ("{", "{} is not a metrics.json ("),
        ("[]", "{} has no results of the protocol first_k: name it in evaluate.protocols and run again"),
        ('{"ranking": {"challenge": {"model": {}}}}', "{} has no results of the protocol first_k: "),
    ],
)
def test_metrics_that_cannot_be_used_are_refused_and_the_file_stays(files, content, line):
    readme, metrics = files
    metrics.unlink()
    if content is not None:
        metrics.write_text(content, "utf-8")
    with pytest.raises(UserError) as error:
        write_results(readme, metrics, name="it", command="kedro run", commit=None)
    assert str(error.value).startswith(line.format(metrics))
    assert "\n" not in str(error.value)
    assert readme.read_bytes() == MARKED.encode()


def test_a_file_that_is_not_there_or_no_text_is_refused(files, tmp_path):
    readme, metrics = files
    readme.write_bytes(b"\xff")
    for path in (readme, tmp_path / "none.md"):
        with pytest.raises(UserError, match=f"^{path} cannot be read as text in UTF-8"):
            write_results(path, metrics, name="it", command="kedro run", commit=None)


def test_the_readme_has_a_place_for_the_results_of_the_sample():
    readme = Path(__file__).parents[3] / "README.md"
    written = replace_block(readme.read_text("utf-8"), "sample", render_results(METRICS), path=readme)
    assert TABLE in written


class TestStudy:
    rows = pd.DataFrame(
        {
            "history": ["(0,50]", "(0,50]", ">150", ">150"],
            "system": ["gbce, mask, positions", "skip_gram"] * 2,
            "chosen": [True, False] * 2,
            "metric": "f1@10",
            "playlists": [12, 12, 1234, 1234],
            "mean": [0.02, 0.01, 0.04, 0.03],
            "low": [0.01, 0.005, 0.03, 0.02],
            "high": [0.03, 0.015, 0.05, 0.04],
            "ratio": [2.0, 1.0, 1.3333, 1.0],
        }
    )

    @pytest.fixture
    def folder(self, tmp_path):
        overall = self.rows[self.rows["history"] == "(0,50]"].drop(columns="history")
        overall.to_csv(tmp_path / "study_overall.csv", index=False)
        self.rows.to_csv(tmp_path / "study_by_history.csv", index=False)
        return tmp_path

    def test_both_tables_have_systems_as_rows_and_the_chosen_in_bold(self, files, folder):
        readme, _ = files
        write_study(readme, folder, name="it", command="uv run kedro run --pipelines=study", commit="abc")
        assert readme.read_text("utf-8") == MARKED.replace(
            "old\n",
            """\
`uv run kedro run --pipelines=study`, commit abc:

|  | F1@10 |
| --- | --- |
| **gbce, mask, positions** | 0.0200 [0.0100, 0.0300], 2.00 |
| skip-gram | 0.0100 [0.0050, 0.0150], 1.00 |

|  | F1@10, (0,50]: 12 playlists | F1@10, >150: 1,234 playlists |
| --- | --- | --- |
| **gbce, mask, positions** | 0.0200 [0.0100, 0.0300], 2.00 | 0.0400 [0.0300, 0.0500], 1.33 |
| skip-gram | 0.0100 [0.0050, 0.0150], 1.00 | 0.0300 [0.0200, 0.0400], 1.00 |
""",
        )

    def test_without_the_study_nothing_is_written(self, files, tmp_path):
        readme, _ = files
        with pytest.raises(UserError, match=r"study_overall.csv cannot be read .*kedro run --pipelines=study"):
            write_study(readme, tmp_path, name="it", command="x", commit=None)
        assert readme.read_text("utf-8") == MARKED
