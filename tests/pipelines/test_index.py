"""The index pipeline as Kedro runs it, on a tiny archive."""

import shutil
from pathlib import Path

import numpy as np

from playlist_pipeline.generation.index import ApproximateSearcher, load_index, make_searcher
from playlist_pipeline.generation.search import ExactSearcher
from playlist_pipeline.model.weights import load_model

FOLDER = Path("06_models", "search_index")


def test_few_tracks_are_searched_exactly(finished_workspace: Path) -> None:
    assert {file.name for file in (finished_workspace / FOLDER).iterdir()} == {"config.json", "digests.json"}
    assert load_index(finished_workspace / FOLDER).partition is None


def test_an_index_of_the_trained_model(finished_workspace: Path, tiny_archive: Path, run_pipeline, tmp_path) -> None:
    workspace = Path(shutil.copytree(finished_workspace, tmp_path / "workspace"))
    settings = {"kind": "approximate", "num_lists": 4, "num_probes": 4}
    assert run_pipeline(workspace, tiny_archive, "index", only_missing_outputs=True, index=settings) == [
        "build_index_node"
    ]
    table = np.asarray(load_model(workspace / "06_models" / "model").model.scoring.table[...])
    searcher = make_searcher(table, load_index(workspace / FOLDER))
    assert isinstance(searcher, ApproximateSearcher)
    queries, exclude = table[5:9], np.array([[5], [6], [7], [8]], np.int32)
    expected = ExactSearcher(table).search(queries, 5, exclude)
    np.testing.assert_array_equal(searcher.search(queries, 5, exclude)[1], expected[1])
