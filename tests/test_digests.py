"""A folder that is not as it was written is refused in one line, before anything in it is read."""

import json
from pathlib import Path

import pytest

from playlist_pipeline.digests import DIGESTS_FILE, check_digests, read_json_object, write_digests
from playlist_pipeline.errors import UserError

ADVICE = "make it again"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    (path / "part").mkdir(parents=True)
    (path / "config.json").write_text('{"a": 1}')
    (path / "part" / "numbers.bin").write_bytes(bytes(range(10)))
    write_digests(path)
    return path


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def change_digests(folder: Path, change) -> None:
    content = json.loads((folder / DIGESTS_FILE).read_text())
    change(content["files"])
    (folder / DIGESTS_FILE).write_text(json.dumps(content))


def test_a_folder_as_it_was_written_is_accepted(folder: Path) -> None:
    check_digests(folder, advice=ADVICE)
    files = json.loads((folder / DIGESTS_FILE).read_text())["files"]
    assert {name: line["bytes"] for name, line in files.items()} == {"config.json": 8, "part/numbers.bin": 10}
    before = (folder / DIGESTS_FILE).read_bytes()
    write_digests(folder)
    assert (folder / DIGESTS_FILE).read_bytes() == before


DAMAGE = {
    "a bit": (lambda f: flip_a_bit(f / "part/numbers.bin"), "{}: 'part/numbers.bin' has changed (it has another SHA"),
    "cut off": (lambda f: (f / "config.json").write_text("{"), "{}: 'config.json' has changed (1 bytes, 8 when it was"),
    "missing": (lambda f: (f / "part/numbers.bin").unlink(), "{}: 'part/numbers.bin' is missing"),
    "additional": (lambda f: (f / "x\ny.pkl").touch(), r"{}: 'x\ny.pkl' does not belong there: "),
    "of old": (lambda f: (f / DIGESTS_FILE).unlink(), "{}/digests.json is missing: an older version wrote this folder"),
    "no JSON": (lambda f: (f / DIGESTS_FILE).write_text("{"), "{}/digests.json is no readable JSON"),
    "a list": (lambda f: (f / DIGESTS_FILE).write_text("[]"), "{}/digests.json holds no JSON object"),
    "another": (lambda f: (f / DIGESTS_FILE).write_text('{"files": 5}'), "{}/digests.json is no list of digests"),
    "a folder": (
        lambda f: [(f / DIGESTS_FILE).unlink(), (f / DIGESTS_FILE).mkdir()],
        "{}/digests.json is missing",
    ),
    "no line": (lambda f: change_digests(f, lambda files: files.update(x=None)), "{}: its digests are damaged"),
    "a text": (
        lambda f: change_digests(f, lambda files: files["config.json"].update(bytes="8")),
        "{}: its digests are damaged",
    ),
    "outside": (
        lambda f: change_digests(f, lambda files: files.update({"../x": files["config.json"]})),
        "{}: '../x' is missing",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_folder_that_has_changed_is_refused_in_one_line(folder: Path, case: str) -> None:
    damage, line = DAMAGE[case]
    damage(folder)
    with pytest.raises(UserError) as error:
        check_digests(folder, advice=ADVICE)
    assert str(error.value).startswith(line.format(folder))
    assert str(error.value).endswith(ADVICE)
    assert "\n" not in str(error.value)


def test_some_files_can_be_checked_alone(folder: Path) -> None:
    flip_a_bit(folder / "part" / "numbers.bin")
    check_digests(folder, advice=ADVICE, names=("config.json",))
    flip_a_bit(folder / "config.json")
    with pytest.raises(UserError, match=r"config\.json"):
        check_digests(folder, advice=ADVICE, names=("config.json",))


@pytest.mark.parametrize("content", [b"[" * 10**5, b"1" * 5000, b"\xff", b'"text"', b"NaN", b"", b'{"a": \n}'])
def test_json_that_is_no_object_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.json (is no readable JSON|holds no JSON object).*: make it again$"):
        read_json_object(tmp_path / "x.json", advice=ADVICE)
