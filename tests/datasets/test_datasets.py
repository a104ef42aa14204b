"""The standard tests of each dataset: save and load, existence, missing data, description, what it refuses."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DataCatalog, DatasetError
from recipes import make_index_config

from playlist_pipeline.datasets import (
    ArchiveDataset,
    ChallengeSetDataset,
    CheckpointsDataset,
    DatabaseDataset,
    ModelDataset,
    PartsDataset,
    RerankerDataset,
    RunManifestDataset,
    SearchIndexDataset,
    SeedsDataset,
    SequencesDataset,
    StudyRunsDataset,
    SubmissionDataset,
    TableDataset,
    TrialsDataset,
    WholeFileDataset,
)
from playlist_pipeline.errors import UserError
from playlist_pipeline.manifest import RunManifest
from playlist_pipeline.mpd import Submission

ALL = [
    ArchiveDataset,
    ChallengeSetDataset,
    CheckpointsDataset,
    DatabaseDataset,
    ModelDataset,
    WholeFileDataset,
    PartsDataset,
    RerankerDataset,
    RunManifestDataset,
    SearchIndexDataset,
    SeedsDataset,
    SequencesDataset,
    StudyRunsDataset,
    SubmissionDataset,
    TableDataset,
    TrialsDataset,
]


@pytest.mark.parametrize("cls", ALL)
class TestEveryDataset:
    def test_is_made_from_configuration_with_metadata(self, cls, tmp_path: Path) -> None:
        entry = {
            "type": f"playlist_pipeline.datasets.{cls.__name__}",
            "filepath": str(tmp_path / "x"),
            "metadata": {"kedro-viz": {"layer": "raw"}},
        }
        dataset = DataCatalog.from_config({"it": entry})["it"]
        assert isinstance(dataset, cls)
        assert dataset.metadata == {"kedro-viz": {"layer": "raw"}}
        assert dataset._describe()["filepath"] == str(tmp_path / "x")

    def test_does_not_exist_before_it_is_saved(self, cls, tmp_path: Path) -> None:
        assert not cls(filepath=str(tmp_path / "missing")).exists()

    def test_takes_keywords_only(self, cls, tmp_path: Path) -> None:
        with pytest.raises(TypeError):
            cls(str(tmp_path))


class TestArchiveDataset:
    def test_loads_a_handle_and_refuses_to_save(self, make_archive, tmp_path: Path) -> None:
        dataset = ArchiveDataset(filepath=str(make_archive(tmp_path)))
        assert dataset.exists()
        assert dataset.fingerprint() == dataset.load().fingerprint
        with pytest.raises(DatasetError, match="raw data"):
            dataset.save("anything")

    def test_missing_archive(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"missing\.zip"):
            ArchiveDataset(filepath=str(tmp_path / "missing.zip")).fingerprint()


class TestTableDataset:
    def test_save_and_load(self, tmp_path: Path) -> None:
        dataset = TableDataset(filepath=str(tmp_path / "deep" / "table.parquet"))
        table = pa.table({"a": pa.array([1, 2], pa.int32()), "b": ["x", None]})
        dataset.save(table)
        assert dataset.exists()
        assert dataset.load().equals(table)
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["table.parquet"]

    def test_save_args(self, tmp_path: Path) -> None:
        path = tmp_path / "table.parquet"
        TableDataset(filepath=str(path), save_args={"compression": "snappy"}).save(pa.table({"a": [1]}))
        assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "SNAPPY"

    def test_a_save_that_fails_keeps_the_old_table(self, tmp_path: Path) -> None:
        dataset = TableDataset(filepath=str(tmp_path / "table.parquet"))
        dataset.save(pa.table({"a": [1]}))
        with pytest.raises(DatasetError):
            dataset.save("no table")
        assert dataset.load().to_pydict() == {"a": [1]}

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"missing\.parquet"):
            TableDataset(filepath=str(tmp_path / "missing.parquet")).load()


class TestChallengeSetDataset:
    def test_loads_a_set_and_refuses_to_save(self, make_playlists, make_challenge_set, tmp_path: Path) -> None:
        path = tmp_path / "challenge_set.json"
        path.write_text(json.dumps(make_challenge_set(make_playlists(3))), "utf-8")
        dataset = ChallengeSetDataset(filepath=str(path))
        assert dataset.exists()
        assert [playlist.pid for playlist in dataset.load().playlists] == [1_000_000, 1_000_001, 1_000_002]
        with pytest.raises(DatasetError, match="raw data"):
            dataset.save("anything")

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError) as error:
            ChallengeSetDataset(filepath=str(tmp_path / "missing.json")).load()
        assert str(error.value.__cause__).startswith(f"challenge set {tmp_path}/missing.json does not exist")


class TestSubmissionDataset:
    def test_save_and_load(self, tmp_path: Path) -> None:
        dataset = SubmissionDataset(filepath=str(tmp_path / "deep" / "submission.csv.gz"))
        dataset.save(Submission("team", "main", "mail", {7: ["a", "b"], 5: ["c"]}))
        assert dataset.exists()
        assert gzip.decompress(dataset.load().read_bytes()) == b"team_info,team,main,mail\n7,a,b\n5,c\n"


class TestSeedsDataset:
    @pytest.mark.parametrize(
        ("text", "seeds"),
        [
            ("", []),
            ("# only a comment\n#\n\n", []),
            ("#1 Crush\u2028x\n", [["#1 Crush\u2028x"]]),
            ("A - B\nC, D - E\n", [["A - B", "C, D - E"]]),
            ("\n\nA - B\n\n\n# x\nC - D\n", [["A - B"], ["C - D"]]),
            ("<start>\n", [[]]),
            ("<start>\n\nA - B\n", [[], ["A - B"]]),
            ("\ufeffA - B\r\n", [["A - B"]]),
        ],
    )
    def test_blocks_of_lines_are_playlists(self, text: str, seeds: list, tmp_path: Path) -> None:
        path = tmp_path / "seeds.txt"
        path.write_bytes(text.encode())
        assert [list(given.seeds) for given in SeedsDataset(filepath=str(path)).load()] == seeds

    def test_an_optional_file_may_be_missing(self, tmp_path: Path) -> None:
        assert SeedsDataset(filepath=str(tmp_path / "missing.txt"), optional=True).load() == []

    def test_save_and_load(self, tmp_path: Path) -> None:
        dataset = SeedsDataset(filepath=str(tmp_path / "seeds.txt"))
        dataset.save([["A - B", "é"], [], ["C"]])
        assert dataset.exists()
        assert [list(given.seeds) for given in dataset.load()] == [["A - B", "é"], [], ["C"]]

    def test_other_formats_by_suffix(self, tmp_path: Path) -> None:
        path = tmp_path / "seeds.m3u8"
        path.write_text("#EXTM3U\n#PLAYLIST:Night\n#EXTINF:1,A - B\nb.mp3\n", "utf-8")
        (given,) = SeedsDataset(filepath=str(path)).load()
        assert (given.name, given.seeds) == ("Night", ("A - B",))

    @pytest.mark.parametrize("content", [None, b"\xff\xfe\xfa"])
    def test_unreadable_files_are_named(self, content: bytes | None, tmp_path: Path) -> None:
        path = tmp_path / "seeds.txt"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DatasetError) as error:
            SeedsDataset(filepath=str(path)).load()
        assert str(error.value.__cause__).startswith(f"{path} cannot be read as seeds")
        assert "\n" not in str(error.value.__cause__)


class TestRunManifestDataset:
    def test_save_and_load(self, tmp_path: Path) -> None:
        dataset = RunManifestDataset(filepath=str(tmp_path / "manifest.json"))
        manifest = dataset.load()
        assert isinstance(manifest, RunManifest)
        manifest.run = {"commit": "abc"}
        dataset.save(manifest)
        assert dataset.exists()
        assert dataset.load().run == {"commit": "abc"}


class TestCheckpointsDataset:
    def test_loads_a_store_and_refuses_to_save(self, tmp_path: Path) -> None:
        dataset = CheckpointsDataset(filepath=str(tmp_path / "checkpoints"))
        assert Path(dataset.load().root) == tmp_path / "checkpoints"
        assert dataset.fingerprint() == "checkpoints"
        with pytest.raises(DatasetError, match="handle"):
            dataset.save("anything")


class TestWholeFileDataset:
    def test_a_missing_file_is_none_and_a_saved_one_is_loaded(self, tmp_path: Path) -> None:
        dataset = WholeFileDataset(filepath=str(tmp_path / "report.json"), optional=True)
        assert dataset.load() is None
        with pytest.raises(DatasetError, match=r"report\.json"):
            WholeFileDataset(filepath=str(tmp_path / "report.json")).load()
        dataset.save({"a": [1, None]})
        assert dataset.exists()
        assert dataset.load() == {"a": [1, None]}

    def test_the_other_dataset_has_its_arguments_and_its_preview(self, tmp_path: Path) -> None:
        table = {"type": "pandas.CSVDataset", "save_args": {"index": False}}
        dataset = WholeFileDataset(filepath=str(tmp_path / "table.csv"), dataset=table)
        dataset.save(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
        assert (tmp_path / "table.csv").read_text() == "a,b\n1,x\n2,y\n"
        assert dataset.preview(nrows=1)["data"] == [[1, "x"]]
        assert not hasattr(WholeFileDataset(filepath=str(tmp_path / "x"), dataset="text.TextDataset"), "preview")

    @pytest.mark.parametrize(
        ("dataset", "data", "kind", "shown"),
        [
            ("pandas.CSVDataset", pd.DataFrame({"a": range(9)}), "TablePreview", "'data': [[0], [1]]"),
            ("plotly.JSONDataset", go.Figure(go.Bar(y=[7])), "PlotlyPreview", "'y': [7]"),
            ("json.JSONDataset", {"a": 7}, "JSONPreview", '{"a": 7}'),
        ],
    )
    def test_kedro_viz_shows_it(self, dataset, data, kind, shown, tmp_path: Path) -> None:
        from kedro_viz.models.flowchart.node_metadata import DataNodeMetadata  # noqa: PLC0415
        from kedro_viz.models.flowchart.nodes import GraphNode  # noqa: PLC0415

        metadata = {"kedro-viz": {"preview_args": {"nrows": 2}}} if kind == "TablePreview" else None
        whole = WholeFileDataset(filepath=str(tmp_path / "x"), dataset=dataset, metadata=metadata)
        whole.save(data)
        node = GraphNode.create_data_node("id", "name", "layer", set(), whole, None)
        seen = DataNodeMetadata(data_node=node)
        assert seen.preview_type == kind
        assert shown in str(seen.preview)
        assert seen.filepath == str(tmp_path / "x")

    def test_a_damaged_file_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "report.json").write_text("{")
        with pytest.raises(DatasetError, match=r"report\.json"):
            WholeFileDataset(filepath=str(tmp_path / "report.json")).load()


class TestTrialsDataset:
    def test_loads_a_handle_and_refuses_to_save(self, tmp_path: Path) -> None:
        from playlist_pipeline.evaluation.tuning import Trial  # noqa: PLC0415

        dataset = TrialsDataset(filepath=str(tmp_path / "trials"))
        dataset.load().save("key", Trial({"a": 1}, {"1": 0.5}, 2.0))
        assert dataset.exists()
        assert dataset.load().load("key") == Trial({"a": 1}, {"1": 0.5}, 2.0)
        assert dataset.fingerprint() == TrialsDataset(filepath=str(tmp_path / "others")).fingerprint()
        with pytest.raises(DatasetError, match="through the handle"):
            dataset.save("anything")


class TestStudyRunsDataset:
    def test_loads_a_handle_and_refuses_to_save(self, tmp_path: Path) -> None:
        from playlist_pipeline.evaluation.study.runs import StudyRun  # noqa: PLC0415

        dataset = StudyRunsDataset(filepath=str(tmp_path / "runs"))
        run = StudyRun("popularity", 1, 0.5, None, None, None, None, {"test": {"f1@10": [0.25, 0.0]}})
        dataset.load().save("key", run)
        assert dataset.exists()
        assert dataset.load().load("key") == run
        assert dataset.load().load("other") is None
        assert dataset.fingerprint() == StudyRunsDataset(filepath=str(tmp_path / "others")).fingerprint()
        with pytest.raises(DatasetError, match="through the handle"):
            dataset.save("anything")


class TestRerankerDataset:
    def test_saves_and_loads_a_second_stage(self, tmp_path: Path) -> None:
        from playlist_pipeline.corpus.sequences import PackedSequences  # noqa: PLC0415
        from playlist_pipeline.generation.reranking.first_stage import Artists  # noqa: PLC0415
        from playlist_pipeline.generation.reranking.reranker import RerankerState  # noqa: PLC0415

        sequences = PackedSequences(np.array([3, 2, 4], np.int32), np.array([0, 1, 3]), np.array([5, 7], np.int32))
        artists = Artists(np.array([0, 0, 0, 1, 1], np.int32), ["", "björk"])
        dataset = RerankerDataset(filepath=str(tmp_path / "reranker"))
        dataset.save(RerankerState(None, sequences, ["Jóga", None], artists, num_candidates=9, vocabulary="v"))
        assert dataset.exists()
        loaded = dataset.load()
        assert (loaded.network, loaded.num_candidates, loaded.vocabulary) == (None, 9, "v")
        assert (loaded.titles, loaded.artists.names) == (["Jóga", None], ["", "björk"])
        assert loaded.artists.of_token.tolist() == [0, 0, 0, 1, 1]
        assert [playlist.tolist() for playlist in loaded.sequences] == [[3], [2, 4]]
        assert loaded.sequences.playlist_ids.tolist() == [5, 7]

    def test_a_missing_folder_is_an_error_of_kedro(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"missing/digests\.json is missing"):
            RerankerDataset(filepath=str(tmp_path / "missing")).load()


class TestSearchIndexDataset:
    def test_saves_and_loads_an_index(self, tmp_path: Path) -> None:
        from playlist_pipeline.generation.index import build_index  # noqa: PLC0415

        table = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
        index = build_index(table, make_index_config(kind="approximate", num_lists=3))
        dataset = SearchIndexDataset(filepath=str(tmp_path / "search_index"))
        dataset.save(index)
        assert dataset.exists()
        loaded = dataset.load()
        assert (loaded.config, loaded.table) == (index.config, index.table)
        np.testing.assert_array_equal(loaded.partition.list_of, index.partition.list_of)

    def test_a_missing_folder_is_an_error_of_kedro(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="missing is no folder of a search index"):
            SearchIndexDataset(filepath=str(tmp_path / "missing")).load()


class TestPartsDataset:
    def test_loads_a_store_clears_it_and_refuses_to_save(self, tmp_path: Path) -> None:
        dataset = PartsDataset(filepath=str(tmp_path / "parts"))
        store = dataset.load()
        assert (store.path, len(store.code_version)) == (tmp_path / "parts", 64)
        store.path.mkdir()
        assert dataset.exists()
        dataset.clear()
        assert not dataset.exists()
        with pytest.raises(DatasetError, match="through the handle"):
            dataset.save("anything")
