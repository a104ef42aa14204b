"""The report pipeline as Kedro runs it, on a tiny archive."""

import json
import shutil
from pathlib import Path

import pandas as pd
import plotly.io as pio
import pytest

TABLES = ("quality", "difference", "cohort", "decile", "beyond_accuracy")
PLOTS = ("quality", "difference", "cohort", "decile", "beyond_accuracy", "training")
NODES = {"tabulate_metrics_node", "plot_metrics_node", "build_report_page_node"}


@pytest.fixture(scope="module")
def reports(finished_workspace: Path) -> Path:
    return finished_workspace / "08_reporting"


def test_the_whole_way_leaves_tables_plots_and_a_page(reports: Path) -> None:
    metrics = json.loads((reports / "metrics.json").read_text())
    systems = list(metrics["ranking"]["first_k"])
    for name in TABLES:
        table = pd.read_csv(reports / f"{name}_table.csv", dtype={"case": str})
        assert table["system"].unique().tolist() == [
            system for system in systems if name != "difference" or system != "model"
        ]
        assert table["case"].unique().tolist() == ["1", "5"]
    quality = pd.read_csv(reports / "quality_table.csv", dtype={"case": str})
    for row in quality.to_dict("records"):
        figures = metrics["ranking"]["first_k"][row["system"]][row["case"]][row["metric"]]
        assert (row["mean"], row["low"], row["high"]) == (figures["mean"], figures["low"], figures["high"])
        assert row["n"] == metrics["playlists"]["first_k"][row["case"]]
    page = (reports / "report.html").read_text("utf-8")
    for name in PLOTS:
        title = pio.read_json(reports / f"{name}_plot.json").layout.title.text
        assert f"<figcaption>{title.replace(chr(39), '&#39;')}</figcaption>" in page


def test_it_runs_alone_and_gives_the_same_page(
    finished_workspace: Path, reports: Path, tiny_archive: Path, run_pipeline, tmp_path
) -> None:
    workspace = Path(shutil.copytree(finished_workspace, tmp_path / "workspace"))
    files = ["report.html", *(f"{name}_table.csv" for name in TABLES)]
    for name in files:
        (workspace / "08_reporting" / name).unlink()
    assert set(run_pipeline(workspace, tiny_archive, "report")) == NODES
    for name in files:
        assert (workspace / "08_reporting" / name).read_bytes() == (reports / name).read_bytes()


def test_it_is_not_made_again_without_need(
    finished_workspace: Path, tiny_archive: Path, run_pipeline, tmp_path
) -> None:
    workspace = Path(shutil.copytree(finished_workspace, tmp_path / "workspace"))
    assert run_pipeline(workspace, tiny_archive, "report", only_missing_outputs=True) == []
    nodes = run_pipeline(
        workspace, tiny_archive, "evaluate", "report", only_missing_outputs=True, evaluate={"bootstrap_samples": 30}
    )
    assert set(nodes) >= NODES
    assert "from 30 bootstrap resamples" in (workspace / "08_reporting" / "report.html").read_text("utf-8")
