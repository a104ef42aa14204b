import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from playlist_pipeline import files, fingerprint, manifest
from playlist_pipeline.errors import UserError
from playlist_pipeline.fingerprint import code_fingerprint, digest_of, fingerprint_of, size_of
from playlist_pipeline.manifest import RunManifest


def test_lines_survive_a_reload_and_forgetting_removes_them(tmp_path) -> None:
    (tmp_path / "a").write_text("abc")
    first = RunManifest(tmp_path / "manifest.json")
    first.record({"a": tmp_path / "a"}, {"code": "f1"})
    again = RunManifest(tmp_path / "manifest.json")
    assert again.artifacts["a"].made_from == {"code": "f1"}
    assert again.artifacts["a"].fingerprint == fingerprint_of({"code": "f1"})
    assert again.artifacts["a"].bytes == 3
    assert again.artifacts["a"].digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    again.forget(["a", "b"])
    assert RunManifest(tmp_path / "manifest.json").artifacts == {}
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_a_write_that_fails_leaves_the_old_manifest(tmp_path, monkeypatch) -> None:
    (tmp_path / "a").write_text("abc")
    line = RunManifest(tmp_path / "manifest.json")
    line.record({"a": tmp_path / "a"}, {"code": "f1"})
    before = (tmp_path / "manifest.json").read_bytes()
    monkeypatch.setattr(files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(UserError, match="disk full"):
        line.record({"b": tmp_path / "a"}, {"code": "f2"})
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_what_is_no_manifest_is_refused(tmp_path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match=r"manifest.json is not a run manifest .*; delete it and run again$"):
        RunManifest(tmp_path / "manifest.json")


def test_a_folder_s_digest_follows_names_and_contents(tmp_path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("1")
    first = digest_of(folder)
    (folder / "a").write_text("2")
    second = digest_of(folder)
    (folder / "a").rename(folder / "b")
    assert len({first, second, digest_of(folder)}) == 3
    assert size_of(folder) == 1
    assert size_of(tmp_path / "missing") == 0


def test_fingerprints_follow_content_not_order() -> None:
    assert fingerprint_of({"a": 1, "b": [1, 2]}) == fingerprint_of({"b": (1, 2), "a": 1})
    assert fingerprint_of({"a": 1}) != fingerprint_of({"a": 2})


def test_code_fingerprint_covers_what_a_module_imports(monkeypatch) -> None:
    def modules_behind(name: str) -> set[str]:
        seen = {}
        monkeypatch.setattr(fingerprint, "fingerprint_of", lambda value: seen.update(value) or "x")
        code_fingerprint.__wrapped__(name)
        return set(seen)

    extract = modules_behind("playlist_pipeline.pipelines.extract.nodes")
    assert "playlist_pipeline.mpd.tables" in extract  # imported inside the function
    assert "playlist_pipeline.mpd.schema" in extract  # imported by that
    assert not any("training" in name or "corpus" in name for name in extract)
    assert "playlist_pipeline.training.loop" in modules_behind("playlist_pipeline.pipelines.train.nodes")


def test_code_fingerprint_covers_what_lies_beside_the_modules(monkeypatch) -> None:
    report = "playlist_pipeline.pipelines.report.nodes"
    before = code_fingerprint.__wrapped__(report)
    assert code_fingerprint.__wrapped__(report) == before
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"x" * (path.name == "page.html"))
    assert code_fingerprint.__wrapped__(report) != before


def test_two_runs_cannot_hold_one_workspace(tmp_path) -> None:
    path = tmp_path / "workspace" / "08_reporting" / "run_manifest.json"
    held = RunManifest(path).lock()
    with pytest.raises(UserError, match=r"is in use by another run: wait for it, or give another workspace$"):
        RunManifest(path).lock()
    held.close()
    RunManifest(path).lock().close()


def test_a_workspace_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^workspace .*file cannot be written \("):
        RunManifest(tmp_path / "file" / "08_reporting" / "run_manifest.json").lock()


@pytest.mark.parametrize(
    "alter", [lambda text: text[:-20], lambda text: text.replace('"f1"', '"f2"'), lambda _: "[" * 99_999]
)
def test_a_manifest_that_was_cut_or_altered_is_refused(tmp_path, alter) -> None:
    (tmp_path / "a").write_text("abc")
    path = tmp_path / "manifest.json"
    whole = RunManifest(path)
    whole.run = {"parameters": {1: (0.1, None), 10: "é", 2: ""}}
    whole.record({"a": tmp_path / "a"}, {"code": "f1"})
    assert RunManifest(path).artifacts.keys() == {"a"}
    path.write_text(alter(path.read_text("utf-8")), "utf-8")
    with pytest.raises(UserError, match=r"manifest.json is not a run manifest .*; delete it and run again$"):
        RunManifest(path)


HOLD = """
import sys
from pathlib import Path
from playlist_pipeline.manifest import RunManifest
lock = RunManifest(Path(sys.argv[1])).lock()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_goes_with_its_process_and_holds_one_workspace_by_all_its_names(tmp_path, monkeypatch) -> None:
    path = tmp_path / "workspace" / "08_reporting" / "run_manifest.json"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    (tmp_path / "link").symlink_to(tmp_path / "workspace")
    monkeypatch.chdir(tmp_path)
    for name in (
        path,
        tmp_path / "link" / "08_reporting" / path.name,
        Path("workspace/../link/08_reporting") / path.name,
    ):
        with pytest.raises(UserError, match="is in use by another run"):
            RunManifest(name).lock()
    RunManifest(tmp_path / "other" / "08_reporting" / path.name).lock().close()
    child.kill()
    child.communicate()
    RunManifest(path).lock().close()


def test_a_lock_that_the_file_system_refuses_is_not_called_another_run(tmp_path, monkeypatch) -> None:
    def refuse(*_) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(manifest.fcntl, "flock", refuse)
    with pytest.raises(
        UserError, match=r"^workspace .* cannot be locked \(No locks available\): give another workspace$"
    ):
        RunManifest(tmp_path / "workspace" / "08_reporting" / "run_manifest.json").lock()
