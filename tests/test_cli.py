"""What a user sees who gives a command something it cannot use: one line, and a status that is not zero."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from playlist_pipeline.cli import explain

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def kedro_run(monkeypatch: pytest.MonkeyPatch):
    """Return a function that runs ``kedro run`` with arguments and gives its exit status and output."""
    monkeypatch.chdir(PROJECT)
    bootstrap_project(PROJECT)
    from playlist_pipeline.cli import run  # noqa: PLC0415

    def invoke(*arguments: str):
        result = CliRunner().invoke(run, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.output

    return invoke


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--params=train.learning_rat=1"], "parameter train.learning_rat is unknown: did you mean learning_rate?"),
        (["--params=trian.seed=1"], "parameter trian is unknown: did you mean train?"),
        (["--params=train=5"], "parameter train = 5 is not allowed: give its parts, such as train.NAME=VALUE"),
        (["--params=archive="], "parameter archive = None is not allowed: give a path"),
        (["--params=seeds_file=/none.txt"], "parameter seeds_file: there is no file /none.txt"),
        (
            ["--runner=ParallelRunner"],
            "--runner=ParallelRunner runs no hooks, which keep the run manifest; leave it out",
        ),
        (["--params=train.batch_size=0"], "parameter train.batch_size = 0 is not allowed: give 1 or more"),
        (
            ["--params=split.rule=random"],
            "parameter split.rule = 'random' is not allowed: give one of permutation, hash",
        ),
    ],
)
def test_bad_parameters_are_one_line(kedro_run, tmp_path: Path, arguments: list[str], line: str) -> None:
    status, output = kedro_run(*arguments)
    assert status == 1
    assert output == f"Error: {line}\n"


def test_missing_archive_is_one_line(kedro_run, tmp_path: Path) -> None:
    status, output = kedro_run(f"--params=archive={tmp_path}/none.zip,workspace={tmp_path}/workspace")
    assert status == 1
    assert output.count("\n") == 1
    assert output.startswith("Error: archive ")
    assert f"{tmp_path}/none.zip" in output


@pytest.mark.parametrize("pipeline", ["challenge", "verify"])
def test_missing_challenge_set_is_one_line(kedro_run, finished_workspace, tmp_path: Path, pipeline: str) -> None:
    workspace = shutil.copytree(finished_workspace, tmp_path / "workspace")
    places = f"workspace={workspace},challenge_set={tmp_path}/none.json,allow_stale=true"
    status, output = kedro_run(f"--pipelines={pipeline}", f"--params={places}")
    assert status == 1
    assert output == (
        f"Error: challenge set {tmp_path}/none.json does not exist: give the path of a challenge_set.json, "
        "on the command line as --params=challenge_set=PATH\n"
    )


@pytest.mark.parametrize("option", ["--pipeline=train", "--pipelines=train"])
def test_a_pipeline_without_its_inputs_says_what_to_run(kedro_run, tmp_path: Path, option: str) -> None:
    status, output = kedro_run(option, f"--params=workspace={tmp_path}")
    assert status == 1
    assert output.count("\n") == 1
    assert "make it with: kedro run --pipelines=extract,split,vocabulary and the same --params and --env\n" in output


def test_a_pipeline_whose_inputs_are_stale_says_so(kedro_run, finished_workspace: Path) -> None:
    status, output = kedro_run("--pipelines=generate", f"--params=workspace={finished_workspace}")
    assert status == 1
    assert output.count("\n") == 1
    assert output.startswith(
        "Error: catalog_db is not what would be made today (mpd_archive has changed): make it again"
    )
    assert output.endswith("or use it as it is with --params=allow_stale=true\n")


def test_unknown_pipelines_and_nodes_are_named(kedro_run) -> None:
    status, output = kedro_run("--pipelines=trian")
    assert status == 1
    assert "Failed to find the pipeline named 'trian'" in output
    assert "Traceback" not in output
    status, output = kedro_run("--from-nodes=nothing")
    assert status == 1
    assert "nothing" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("seed", "text"),
    [
        ("Artist 3 - Nothing like it", "nearest"),
        ("spotify:track:short", "spotify:track:short"),
    ],
)
def test_seeds_that_cannot_be_used_are_one_line(kedro_run, finished_workspace, tmp_path: Path, seed: str, text: str):
    workspace = shutil.copytree(finished_workspace, tmp_path / "workspace")
    (tmp_path / "seeds.txt").write_text(seed + "\n", "utf-8")
    before = (workspace / "07_model_output" / "generated_playlists.json").read_bytes()
    parameters = f"workspace={workspace},seeds_file={tmp_path}/seeds.txt,generate.length=8,allow_stale=true"
    status, output = kedro_run("--pipelines=generate", f"--params={parameters}")
    assert status == 1
    assert output.count("\n") == 1
    assert text in output
    assert (workspace / "07_model_output" / "generated_playlists.json").read_bytes() == before


def test_seeds_by_name_are_completed(kedro_run, finished_workspace, tmp_path: Path) -> None:
    workspace = shutil.copytree(finished_workspace, tmp_path / "workspace")
    (tmp_path / "seeds.txt").write_text("Artist 1 - Track 4\nspotify:track:" + "z" * 22 + "\n\n<start>\n", "utf-8")
    parameters = f"workspace={workspace},seeds_file={tmp_path}/seeds.txt,generate.length=8,allow_stale=true"
    status, output = kedro_run("--pipelines=generate", f"--params={parameters}")
    assert status == 0, output
    assert "Track 4" in output
    assert "z" * 22 in output  # the unknown seed is named
    assert output.count("Playlist ") >= 2


def test_seeds_and_titles_come_from_the_files_of_players(kedro_run, finished_workspace, tmp_path: Path) -> None:
    workspace = shutil.copytree(finished_workspace, tmp_path / "workspace")
    path = tmp_path / "seeds.csv"
    path.write_text("playlist,artist,title\nNight,Artist 1,Track 4\n,Artist 1,Track 3\n", "utf-8")
    parameters = f"workspace={workspace},seeds_file={path},allow_stale=true"
    status, output = kedro_run("--pipelines=generate", f"--params={parameters}")
    assert status == 0, output
    playlists = json.loads((workspace / "07_model_output" / "generated_playlists.json").read_text("utf-8"))
    assert [(playlist["name"], playlist["seeds"][0]["name"]) for playlist in playlists] == [
        ("Night", "Track 4"),
        (None, "Track 3"),
    ]
    path.write_text("artist,title\nArtist 1,Track 4\nArtist 1,\n", "utf-8")
    status, output = kedro_run("--pipelines=generate", f"--params={parameters}")
    assert (status, output) == (1, f"Error: {path}, line 3: neither uri nor link nor title: give one of them\n")


@pytest.fixture
def kedro_results(tmp_path: Path):
    """Return a function that runs ``kedro results`` on a file with markers and gives its exit status and output."""
    from playlist_pipeline.cli import cli  # noqa: PLC0415

    (tmp_path / "README.md").write_text("before\n<!-- results:it -->\n<!-- /results:it -->\nafter\n", "utf-8")

    def invoke(*arguments: str):
        result = CliRunner().invoke(cli, ["results", str(tmp_path / "README.md"), *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.output

    return invoke


def test_results_are_written_from_the_metrics(kedro_results, finished_workspace: Path, tmp_path: Path) -> None:
    metrics = finished_workspace / "08_reporting" / "metrics.json"
    status, output = kedro_results("--name=it", f"--metrics={metrics}", "--command=kedro run", "--commit=abc123")
    assert status == 0
    assert output == f"{tmp_path}/README.md: results:it written from {metrics}\n"
    written = (tmp_path / "README.md").read_text("utf-8")
    figures = json.loads(metrics.read_text())["ranking"]["first_k"]["model"]["5"]["r_precision"]
    assert f"{figures['mean']:.3f}" in written
    assert f"[{figures['low']:.3f}, {figures['high']:.3f}]" in written
    assert written.startswith("before\n<!-- results:it -->\n`kedro run`, commit abc123:\n")
    assert written.endswith("\n<!-- /results:it -->\nafter\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--name=it", "--metrics=none.json"], "metrics none.json cannot be read ("),
        (["--name=other", "--metrics={metrics}"], "{readme} must have the line <!-- results:other --> once, "),
    ],
)
def test_results_that_cannot_be_written_are_one_line(
    kedro_results, finished_workspace: Path, tmp_path: Path, arguments: list[str], line: str
) -> None:
    places = {"metrics": finished_workspace / "08_reporting" / "metrics.json", "readme": tmp_path / "README.md"}
    before = (tmp_path / "README.md").read_bytes()
    status, output = kedro_results(*(argument.format(**places) for argument in arguments))
    assert status == 1
    assert output.count("\n") == 1
    assert output.startswith(f"Error: {line.format(**places)}")
    assert (tmp_path / "README.md").read_bytes() == before


def test_an_error_of_the_system_is_one_line_with_or_without_a_file() -> None:
    full = os.strerror(errno.ENOSPC)
    assert explain(OSError(errno.ENOSPC, full, "/data/x")) == f"/data/x: {full}"
    assert explain(OSError(errno.ENOSPC, full)) == f"standard output or a file without a name: {full}"
    assert explain(OSError("36 requested and 0 written")) is None


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ("train", "Invalid format of `params` option: Item `train` must contain a key and a value separated by `=`."),
        ("=5", "Invalid format of `params` option: Parameter key cannot be an empty string."),
        ("train.seed=abc", "parameter train.seed = 'abc' is not allowed: give a value of type int"),
        (
            "split.train_fraction=.nan",
            "parameter split.train_fraction = nan is not allowed: give a value of type float",
        ),
        ("extract.num_workers=1e3", "parameter extract.num_workers = 1000.0 is not allowed: give a value of type int"),
        ("train.seed=1,train.seed=2", "--params gives train.seed twice: leave one out"),
        ("train.seed.x=5", "parameter train.seed = {'x': 5} is not allowed: give a value of type int"),
        ("train.sée\u202ed=5", "parameter train.'sée\\u202ed' is unknown: did you mean seed?"),
        (".seed=5", "parameter '' is unknown: known are extract, "),
        ("generate.seeds=[", "--params cannot be read (while parsing a flow node"),
        ("train.seed=" + "1" * 5000, "--params cannot be read (Exceeds the limit (4300 digits)"),
        ("a" + ".a" * 3000 + "=1", "--params cannot be read (maximum recursion depth exceeded"),
        ("train.optimizer=!!python/object:os.system", "--params cannot be read (could not determine a constructor"),
        (
            "workspace=${globals:none}",
            "parameters from {conf} and --params cannot be read (InterpolationResolutionError",
        ),
        ("workspace=[1]", "parameter workspace = [1] is not allowed: give a path"),
        ("split.test_pids=/none.npy", "split.test_pids: /none.npy: there is no such file"),
        (
            "evaluate.protocols=[deezer],evaluate.deezer_pids=/none.npy",
            "evaluate.deezer_pids: /none.npy: there is no such file",
        ),
        ("train.embedding_init=normal", "parameter rerank.num_folds = 5 is not allowed: give 0, or another train.embe"),
    ],
)
def test_odd_parameters_are_one_line_and_touch_nothing(kedro_run, tmp_path: Path, params: str, line: str) -> None:
    before = sorted(PROJECT.iterdir())
    place = "" if params.startswith("workspace") else f"workspace={tmp_path}/workspace,"
    status, output = kedro_run(f"--params={place}{params}")
    assert status == 1
    assert output.startswith("Error: " + line.replace("{conf}", str(PROJECT / "conf")))
    assert output.count("\n") == 1
    assert not (tmp_path / "workspace").exists()
    assert sorted(PROJECT.iterdir()) == before


def test_a_second_params_is_refused_and_not_dropped(kedro_run) -> None:
    status, output = kedro_run("--params=train.seed=1", "--params", "train.num_epochs=1")
    assert (status, output) == (1, "Error: --params is given twice: give it once, its parts separated by commas\n")


@pytest.fixture(scope="session")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(PROJECT / "conf", tmp_path_factory.mktemp("conf") / "conf")


@pytest.mark.parametrize(
    ("file", "content", "line"),
    [
        ("parameters_train.yml", b"train: [", "{file} cannot be read (ParserError: Invalid YAML or JSON file {file}"),
        ("parameters_train.yml", b"- 5\n", "{file} cannot be read (AttributeError: 'list' object has no attribute"),
        ("parameters_train.yml", b"train: {seed: \xff}", "{file} cannot be read (UnicodeDecodeError"),
        ("parameters_train.yml", b"train: &a {seed: *a}", "{file} cannot be read (RecursionError"),
        ("parameters_train.yml", b"train: {sed: 5}", "parameter train.sed is unknown: did you mean seed?"),
        ("parameters_train.yml", b"train: {5: 5}", "parameter train.5 is unknown: known are seed"),
        ("parameters_x.yml", b"trian: {seed: 5}", "parameter trian is unknown: did you mean train?"),
        ("globals.yml", b"workspace: null", "global workspace = None is not allowed: give a path"),
        ("globals.yml", b'workspace: "a\\0b"', r"global workspace = 'a\x00b' is not allowed: give a path"),
        ("globals.yml", b"workspce: a", "global workspce is unknown: did you mean workspace?"),
        ("catalog_x.yml", b"model: 5", "conf/*/catalog*.yml: Catalog entry 'model' is not a valid dataset configurat"),
        ("catalog_x.yml", b"model: {type: no.such.Dataset}", "conf/*/catalog*.yml, model: An exception occurred when"),
        (
            "catalog_x.yml",
            b"model: {type: playlist_pipeline.datasets.ModelDataset, filepath: 5}",
            "conf/*/catalog*.yml, model: expected str, bytes or os.PathLike object, not int",
        ),
    ],
)
def test_an_overlay_that_cannot_be_used_is_one_line_and_touches_nothing(
    kedro_run, conf: Path, tmp_path: Path, file: str, content: bytes, line: str
) -> None:
    shutil.rmtree(conf / "odd", ignore_errors=True)
    (conf / "odd").mkdir()
    (conf / "odd" / file).write_bytes(content)
    place = [] if file == "globals.yml" else [f"--params=workspace={tmp_path}/workspace"]
    before = sorted(PROJECT.iterdir())
    status, output = kedro_run(f"--conf-source={conf}", "--env=odd", *place)
    assert status == 1
    assert output.startswith("Error: " + line.format(file=conf / "odd" / file))
    assert output.count("\n") == 1
    assert not (tmp_path / "workspace").exists()
    assert sorted(PROJECT.iterdir()) == before
