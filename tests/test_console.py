"""The command ``playlist``: what it hands to the recommender, what it writes, and how it fails."""

import dataclasses
import inspect
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from typer.testing import CliRunner

from playlist_pipeline import console, generation
from playlist_pipeline.errors import UserError
from playlist_pipeline.generation.export import GeneratedPlaylist, PlaylistTrack
from playlist_pipeline.generation.formats import FORMATS
from playlist_pipeline.generation.frames import TrackFrame
from playlist_pipeline.generation.lookup import ResolvedSeed, make_link
from playlist_pipeline.generation.seed_files import parse_seeds

PLAYLIST = Path(sys.executable).with_name("playlist")
HEAVY = ("jax", "flax", "pandas", "numpy", "kedro", "pyarrow", "scipy", "matplotlib", "fastapi")


def make_uri(number):
    return f"spotify:track:{number:022d}"


class FakeRecommender:
    """Stands in for a trained model: adds two tracks to each playlist, and finds the same two tracks for all."""

    def __init__(self):
        self.calls = []
        self.error = None

    def complete_many(self, seeds, *, names, seed, **controls):
        self._note("complete_many", seeds=[list(given) for given in seeds], names=names, seed=seed, **controls)
        return [self._complete(given, name) for given, name in zip(seeds, names, strict=True)]

    def _complete(self, seeds, name):
        given = [ResolvedSeed(text, make_uri(90 + place), 2, None, None, None) for place, text in enumerate(seeds)]
        tracks = [PlaylistTrack(place, seed.uri, None, None, None, True) for place, seed in enumerate(given, 1)]
        tracks += [
            PlaylistTrack(len(given) + place, make_uri(place), f"Track\t{place}", "Björk [b]", "Album", False)
            for place in (1, 2)
        ]
        return GeneratedPlaylist(name, tuple(given), tuple(tracks), "length", (), {"length": 3}, 0)

    def search(self, text, limit):
        self._note("search", text=text, limit=limit)
        return self._find(0 if text == "nothing" else limit)

    def similar(self, track, k):
        self._note("similar", track=track, k=k)
        return self._find(k)

    def explain(self, track, seeds):
        self._note("explain", track=track, seeds=list(seeds))
        return self._find(len(seeds))

    def _find(self, count):
        rows = [
            {
                "uri": make_uri(place),
                "name": f"Track\t{place}",
                "artist": "Björk [b]",
                "link": make_link(make_uri(place)),
            }
            for place in range(1, count + 1)
        ]
        return TrackFrame(rows, columns=["uri", "name", "artist", "link"])

    def _note(self, name, **arguments):
        self.calls.append((name, arguments))
        if self.error is not None:
            raise self.error


@pytest.fixture
def recommender(monkeypatch):
    fake = FakeRecommender()

    def load(model):
        fake.calls.append(("load", model))
        return fake

    monkeypatch.setattr(console, "_load_recommender", load)
    return fake


def run(*arguments, status=0, **options):
    result = CliRunner().invoke(console.app, [str(argument) for argument in arguments], **options)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == status, result.output
    return result


def test_seeds_and_title_are_handed_over(recommender):
    run("complete", "Björk - Jóga", make_uri(3), "--name", "Night", "--seed", "7", "--model", "place")
    assert recommender.calls == [
        ("load", Path("place")),
        ("complete_many", {"seeds": [["Björk - Jóga", make_uri(3)]], "names": ["Night"], "seed": 7}),
    ]


@pytest.mark.parametrize(
    ("arguments", "control", "value"),
    [
        (["--length", "40"], "length", 40),
        (["-n", "40"], "length", 40),
        (["--top-k", "1"], "top_k", 1),
        (["--temperature", "0.5"], "temperature", 0.5),
        (["--eop-weight", "0"], "eop_weight", 0.0),
        (["--max-per-artist", "2"], "max_per_artist", 2),
        (["--max-per-album", "1"], "max_per_album", 1),
        (["--all-versions"], "unique_songs", False),
        (["--popularity-penalty", "0.3"], "popularity_penalty", 0.3),
        (["--diversity", "0"], "diversity", 0.0),
        (["--allow-track", "a - b", "--allow-track", "c"], "allow_tracks", ("a - b", "c")),
        (["--allow-artist", "Queen"], "allow_artists", ("Queen",)),
        (["--deny-track", make_uri(1)], "deny_tracks", (make_uri(1),)),
        (["--deny-artist", "Queen"], "deny_artists", ("Queen",)),
        (["--order", "similar"], "order", "similar"),
    ],
)
def test_a_control_that_is_given_is_handed_over_and_no_other(recommender, arguments, control, value):
    run("complete", *arguments)
    (_, given) = recommender.calls[1]
    assert given == {"seeds": [[]], "names": [None], "seed": 0, control: value}
    assert type(given[control]) is type(value)


def test_the_options_are_the_controls_of_the_recommender():
    controls = getattr(generation, "Controls", None)
    if controls is None:
        pytest.skip("the recommender has no Controls yet")
    own = {"seeds", "model", "file", "name", "format", "output", "seed", "all_versions"}
    options = set(inspect.signature(console.complete).parameters) - own
    assert options | {"unique_songs"} == {field.name for field in dataclasses.fields(controls)}
    defaults = controls()
    text = " ".join(run("complete", "--help").stdout.split())
    for name in ("length", "top_k", "temperature", "eop_weight", "popularity_penalty", "diversity"):
        described = text.partition(f"--{name.replace('_', '-')} <")[2].partition(" --")[0]
        assert f"(default {getattr(defaults, name):g})" in described, name
    assert (defaults.unique_songs, defaults.order) == (True, "fixed")


def test_the_model_is_named_by_option_or_environment(recommender):
    run("search", "x")
    run("search", "x", env={"PLAYLIST_PIPELINE_MODEL": "there"})
    run("search", "x", "-m", "here", env={"PLAYLIST_PIPELINE_MODEL": "there"})
    assert [call[1] for call in recommender.calls[::2]] == [Path("data"), Path("there"), Path("here")]


def test_a_pipe_gets_a_line_for_each_track(recommender):
    result = run("complete", "Absent")
    assert [line.split("\t") for line in result.stdout.splitlines()] == [
        ["1", "1", make_uri(90), "", "", "", "yes", make_link(make_uri(90))],
        ["1", "2", make_uri(1), "Track␉1", "Björk [b]", "Album", "no", make_link(make_uri(1))],
        ["1", "3", make_uri(2), "Track␉2", "Björk [b]", "Album", "no", make_link(make_uri(2))],
    ]
    assert result.stderr == f"unknown to the model: {make_uri(90)}\n"
    assert run("search", "first", "love", "--limit", "2").stdout.splitlines() == [
        f"{make_uri(1)}\tTrack␉1\tBjörk [b]\t{make_link(make_uri(1))}",
        f"{make_uri(2)}\tTrack␉2\tBjörk [b]\t{make_link(make_uri(2))}",
    ]
    assert recommender.calls[-1] == ("search", {"text": "first love", "limit": 2})
    assert run("similar", "a - b", "-n", "3").stdout.count("\n") == 3
    assert recommender.calls[-1] == ("similar", {"track": "a - b", "k": 3})
    assert run("explain", "a", "b", "c").stdout.count("\n") == 2
    assert recommender.calls[-1] == ("explain", {"track": "a", "seeds": ["b", "c"]})


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_can_be_written_and_read_again(recommender, format, tmp_path):
    result = run("complete", "Absent", "--format", format, "--name", "Nighť")
    reader = {"m3u8": "m3u", "uris": "text"}.get(format, format)
    (found,) = parse_seeds(result.stdout_bytes, source="output", format=reader)
    assert found.seeds == (make_uri(90), make_uri(1), make_uri(2))
    assert found.name == (None if format == "uris" else "Nighť")
    path = tmp_path / f"mix{FORMATS[format].suffix}"
    written = run("complete", "Absent", "--output", path, "--name", "Nighť")
    assert path.read_bytes() == result.stdout_bytes
    assert written.stdout == ""
    assert written.stderr == f"written: {path}\nunknown to the model: {make_uri(90)}\n"


def test_formats_are_those_that_can_be_written():
    assert {output.value for output in console.Output} == {"table", "tsv", *FORMATS}


def test_tracks_that_are_found_as_json_and_as_a_table(recommender):
    found = json.loads(run("search", "x", "--format", "json", "--limit", "1").stdout)
    assert found == [
        {"uri": make_uri(1), "name": "Track\t1", "artist": "Björk [b]", "link": make_link(make_uri(1))},
    ]
    table = run("search", "x", "--format", "table").stdout
    assert "┃ name " in table
    assert "Track␉1" in table
    assert "\x1b" not in table
    assert "* given; length 3, seed 0" in run("complete", "x", "--format", "table").stdout


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.txt", "A - B\n\n<start>\n"),
        ("s.m3u", "#EXTM3U\n#PLAYLIST:One\n#EXTINF:1,A - B\nb.mp3\n#EXTM3U\n#PLAYLIST:Two\n"),
        ("s.csv", "playlist,artist,title\nOne,A,B\nTwo,,\n"),
        ("s.json", '[{"name": "One", "seeds": ["A - B"]}, {"name": "Two", "seeds": []}]'),
        ("noname", '[["A - B"], []]'),
    ],
)
def test_seeds_come_from_files(recommender, name, content, tmp_path):
    path = tmp_path / name
    path.write_text(content, "utf-8")
    result = run("complete", "--file", path)
    (_, given) = recommender.calls[1]
    assert given["seeds"] == [["A - B"], []]
    assert given["names"] in ([None, None], ["One", "Two"])
    assert [line.split("\t")[:2] for line in result.stdout.splitlines()] == [
        ["1", "1"],
        ["1", "2"],
        ["1", "3"],
        ["2", "1"],
        ["2", "2"],
    ]
    assert result.stderr == f"playlist 1: unknown to the model: {make_uri(90)}\n"
    many = run("complete", "--file", path, "--output", tmp_path / "out.xspf")
    written = sorted(path.name for path in tmp_path.glob("out*"))
    assert written == (
        ["out-1.xspf", "out-2.xspf"] if given["names"][0] is None else ["out-1-One.xspf", "out-2-Two.xspf"]
    )
    assert many.stderr.splitlines()[:2] == [f"written: {tmp_path / name}" for name in written]


def test_seeds_come_from_standard_input(recommender):
    run("complete", "--file", "-", "--name", "Night", input="C - D\n")
    assert recommender.calls[1][1] == {"seeds": [["C - D"]], "names": ["Night"], "seed": 0}


@pytest.mark.parametrize(
    ("arguments", "content", "line"),
    [
        (["--file", "{file}"], "A,B,C\n", "{file}, line 1: 3 fields without a header: begin with one"),
        (["--file", "none.csv"], "", "none.csv cannot be read as seeds (No such file or directory)"),
        (["--file", "{file}"], "artist,title\n", "{file} names no seed: give one a line"),
        (
            ["--file", "{file}", "--name", "x"],
            "playlist,title\na,b\nc,d\n",
            "--name names one playlist, but {file} has 2",
        ),
        (
            ["--file", "{file}", "--format", "xspf"],
            "playlist,title\na,b\nc,d\n",
            "xspf holds one playlist, these are 2",
        ),
        (["--output", "x.pls"], "", "x.pls: the suffix names no format: end it with one of .json"),
        (["--file", "-"], "", "standard input names no seed"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_the_model_is_loaded(recommender, arguments, content, line, tmp_path):
    file = tmp_path / "seeds.csv"
    file.write_text(content, "utf-8")
    result = run("complete", *(argument.format(file=file) for argument in arguments), status=1)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"Error: {line.format(file=file)}")
    assert recommender.calls == []


def test_errors_of_the_recommender_are_one_line(recommender, tmp_path):
    recommender.error = UserError('seed 1 ("x") is not in the catalog: give another')
    for command in (["complete", "x"], ["search", "x"], ["similar", "x"], ["explain", "x", "y"]):
        result = run(*command, status=1)
        assert (result.stdout, result.stderr) == ("", 'Error: seed 1 ("x") is not in the catalog: give another\n')
    recommender.error = PermissionError(13, "Permission denied", "model.safetensors")
    assert run("search", "x", status=1).stderr == "Error: model.safetensors: Permission denied\n"
    recommender.error = None
    assert run("search", "nothing", status=1).stderr.startswith('Error: no track matches "nothing"')
    output = run("complete", "x", "--output", tmp_path, "--format", "json", status=1)
    assert output.stderr == f"Error: {tmp_path} is a folder: give the name of a file\n"


def test_a_missing_model_is_one_line(tmp_path):
    result = run("search", "x", "--model", tmp_path, status=1)
    assert result.stderr.startswith(f"Error: {tmp_path} holds no trained model")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError(40, "Too many levels of symbolic links")])
def test_a_bug_is_not_hidden(recommender, error):
    recommender.error = error
    result = CliRunner().invoke(console.app, ["search", "x"])
    assert result.exception is error


@pytest.mark.parametrize(
    "arguments",
    [
        ["compleet"],
        ["complete", "--lenght", "3"],
        ["complete", "--length", "many"],
        ["complete", "--order", "random"],
        ["complete", "a", "--file", "b"],
        ["complete", "--output", "x.json", "--format", "table"],
        ["search"],
        ["search", "x", "--limit", "0"],
        ["search", "x", "--format", "xspf"],
        ["explain", "x"],
        ["serve", "--port", "65536"],
    ],
)
def test_wrong_usage_is_status_2(recommender, arguments):
    result = run(*arguments, status=2)
    assert "Usage: " in result.stderr
    assert "Error: " in result.stderr
    assert recommender.calls == []


def test_ctrl_c_leaves_without_a_traceback(recommender):
    recommender.error = KeyboardInterrupt()
    result = run("complete", status=130)
    assert "Traceback" not in result.output


def show_on_terminal(arguments, monkeypatch, **environment):
    """Run the command with standard output on a terminal of 100 columns; return what it shows."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "PYCHARM_HOSTED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40", **environment}.items():
        monkeypatch.setenv(name, value)
    controller, terminal = os.openpty()
    try:
        with os.fdopen(terminal, "w", encoding="utf-8") as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            console.app(arguments, standalone_mode=False)
            stream.flush()
            shown = os.read(controller, 65536).decode()
        monkeypatch.undo()
    finally:
        os.close(controller)
    return shown


@pytest.mark.parametrize("arguments", [["complete", "x"], ["search", "x", "--limit", "2"]])
def test_a_terminal_gets_a_coloured_table_with_links(recommender, arguments, monkeypatch):
    shown = show_on_terminal(arguments, monkeypatch)
    assert "Track␉2" in shown
    assert "┃" in shown
    assert "\x1b[1;36m" in shown
    assert f"{make_link(make_uri(2))}\x1b\\" in shown


@pytest.mark.parametrize("arguments", [["complete", "x"], ["search", "x", "--limit", "2"]])
def test_no_color_is_honoured(recommender, arguments, monkeypatch):
    shown = show_on_terminal(arguments, monkeypatch, NO_COLOR="1")
    assert "Track␉2" in shown
    assert "36m" not in shown


def test_serve_starts_the_server(monkeypatch):
    started = []
    module = types.ModuleType("playlist_pipeline.serving")
    module.run = lambda model, *, host, port: started.append((model, host, port))
    monkeypatch.setitem(sys.modules, "playlist_pipeline.serving", module)
    run("serve")
    run("serve", "-m", "place", "--host", "0.0.0.0", "--port", "0")
    assert started == [(Path("data"), "127.0.0.1", 8000), (Path("place"), "0.0.0.0", 0)]


def test_serve_names_the_extra_that_is_missing(monkeypatch):
    def fail(*_, **__):
        raise ModuleNotFoundError("No module named 'fastapi'", name="fastapi")

    module = types.ModuleType("playlist_pipeline.serving")
    module.run = fail
    monkeypatch.setitem(sys.modules, "playlist_pipeline.serving", module)
    line = "Error: serve needs fastapi, which is not installed: pip install 'playlist_pipeline[serve]'\n"
    assert run("serve", status=1).stderr == line
    monkeypatch.setitem(sys.modules, "playlist_pipeline.serving", None)
    assert "pip install 'playlist_pipeline[serve]'" in run("serve", status=1).stderr


def test_help_says_what_every_option_does():
    for command in ("complete", "search", "similar", "explain", "serve"):
        text = run(command, "--help").stdout
        assert f"  playlist {command} " in text  # an example
        for parameter in inspect.signature(getattr(console, command)).parameters.values():
            (details, *_) = parameter.annotation.__metadata__
            assert details.help, f"{command}: {parameter.name}"
        assert "…" not in text
    text = run("--help").stdout
    assert "--install-completion" in text
    assert all(command in text for command in ("complete", "search", "similar", "explain", "serve"))


@pytest.mark.parametrize("arguments", [["--help"], ["complete", "--help"], ["complete", "--length", "x"]])
def test_help_starts_without_the_heavy_libraries(arguments):
    code = (
        f"import sys; sys.argv = ['playlist', *{arguments!r}]\n"
        "from playlist_pipeline.console import app\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_shell_completes_words():
    environment = os.environ | {
        "_PLAYLIST_COMPLETE": "complete_bash",
        "COMP_WORDS": "playlist complete --order ",
        "COMP_CWORD": "3",
    }
    result = subprocess.run([PLAYLIST], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout.split() == ["fixed", "similar"]


def test_the_installed_command_completes_with_a_real_model(finished_workspace: Path, tmp_path: Path) -> None:
    path = tmp_path / "seeds.m3u8"
    path.write_text("#EXTM3U\n#PLAYLIST:Night\n#EXTINF:1,Artist 1 - Track 4\nx.mp3\n", "utf-8")
    options = ["--model", finished_workspace, "--length", "6", "--seed", "3", "--format", "json"]
    result = subprocess.run(
        [PLAYLIST, "complete", "--file", path, *options], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    recommender = generation.Recommender.load(finished_workspace)
    expected = recommender.complete(["Artist 1 - Track 4"], name="Night", length=6, seed=3)
    assert json.loads(result.stdout) == [expected.to_dict()]
    assert result.stderr == ""


def test_a_reader_that_has_gone_is_no_error():
    """As in ``playlist similar ... | head -0``: quiet, and with the status that a shell gives to SIGPIPE."""
    code = (
        "from types import SimpleNamespace\nfrom playlist_pipeline import console\n"
        "recommender = SimpleNamespace(similar=lambda track, k: SimpleNamespace(to_lines=lambda: 'line\\n'))\n"
        "console._load_recommender = lambda model: recommender\nconsole.app(['similar', 'x'])"
    )
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (process.stderr, process.returncode) == (b"", 141)
