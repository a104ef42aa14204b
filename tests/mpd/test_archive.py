"""The handle on an archive: what it lists, reads and refuses."""

import os
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from playlist_pipeline.errors import UserError
from playlist_pipeline.mpd import Archive, DamagedMemberError

FILES = {"mpd.slice.10-19.json": b"b" * 1000, "mpd.slice.0-9.json": b"a" * 10, "mpd.slice.100-109.json": b"c"}


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_slices_are_listed_by_first_pid_and_read_whole(tmp_path, write_archive, kind):
    archive = Archive(write_archive(tmp_path, FILES, kind=kind))
    assert archive.kind == kind
    assert [(part.name, part.first, part.last, part.size) for part in archive.slices] == [
        ("mpd.slice.0-9.json", 0, 9, 10),
        ("mpd.slice.10-19.json", 10, 19, 1000),
        ("mpd.slice.100-109.json", 100, 109, 1),
    ]
    assert [archive.read(part) for part in archive.slices] == [b"a" * 10, b"b" * 1000, b"c"]
    assert archive.size == 1011
    assert archive.md5sums["mpd.slice.100-109.json"] == "4a8a08f09d37b73795649038408b5f33"
    assert list(archive.md5sums) == list(FILES)


def test_folder_may_hold_the_slices_directly(tmp_path):
    (tmp_path / "mpd.slice.0-9.json").write_bytes(b"{}")
    (tmp_path / "._mpd.slice.0-9.json").write_bytes(b"left by another system")
    (tmp_path / "notes.txt").write_bytes(b"more")
    archive = Archive(tmp_path)
    assert [part.name for part in archive.slices] == ["mpd.slice.0-9.json"]
    assert archive.read(archive.slices[0]) == b"{}"
    assert archive.md5sums == {}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_reads_both_methods_at_any_level_after_foreign_bytes(tmp_path, method):
    path = tmp_path / "mpd.zip"
    path.write_bytes(b"#!/bin/sh\n" * 3)
    with zipfile.ZipFile(path, "a", method) as file:
        file.writestr("deep/er/mpd.slice.0-9.json", b"x" * 500)
        file.writestr("__MACOSX/._mpd.slice.0-9.json", b"y")
    archive = Archive(path)
    assert [archive.read(part) for part in archive.slices] == [b"x" * 500]


def test_md5sums_accept_both_separators_and_upper_case(tmp_path, write_archive):
    path = write_archive(tmp_path, FILES, kind="folder", md5sums=False)
    path.joinpath("md5sums").write_text("A" * 32 + " *x/mpd.slice.0-9.json\nnot a line\n\n" + "b" * 32 + "  y\n")
    assert Archive(path).md5sums == {"mpd.slice.0-9.json": "a" * 32, "y": "b" * 32}


def test_fingerprint_follows_content_not_order_or_place(tmp_path, write_archive):
    first = Archive(write_archive(tmp_path, FILES, name="a.zip")).fingerprint
    turned = dict(reversed(FILES.items()))
    assert Archive(write_archive(tmp_path, turned, name="b.zip", md5sums=False)).fingerprint != first
    shuffled = tmp_path / "c.zip"
    with zipfile.ZipFile(tmp_path / "a.zip") as source, zipfile.ZipFile(shuffled, "w") as target:
        for info in reversed(source.infolist()):
            target.writestr(info.filename, source.read(info))
    assert Archive(shuffled).fingerprint == first
    changed = {**FILES, "mpd.slice.0-9.json": b"b" * 10}
    assert Archive(write_archive(tmp_path, changed, name="d.zip")).fingerprint != first


def test_fingerprint_of_a_folder_follows_the_time_of_change(tmp_path, write_archive):
    path = write_archive(tmp_path, FILES, kind="folder")
    first = Archive(path).fingerprint
    assert Archive(path).fingerprint == first
    os.utime(path / "data" / "mpd.slice.0-9.json", ns=(1, 1))
    assert Archive(path).fingerprint != first


def test_one_handle_serves_many_threads(tmp_path, write_archive):
    files = {f"mpd.slice.{n}-{n}.json": bytes([n]) * (1000 + n) for n in range(50)}
    archive = Archive(write_archive(tmp_path, files))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(archive.read, archive.slices * 4))
    assert read == list(files.values()) * 4


def test_making_a_handle_touches_nothing(tmp_path):
    assert Archive(tmp_path / "missing.zip").name == "missing.zip"


def _refusal(path):
    with pytest.raises(UserError) as caught:
        Archive(path).slices  # noqa: B018
    return str(caught.value).replace(str(path), "PATH")


def test_missing_archive_is_named(tmp_path):
    assert _refusal(tmp_path / "no.zip") == (
        "archive PATH does not exist: give the path of an MPD zip or folder of slices"
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "archive PATH is empty: fetch or copy it again"),
        (b"hello" * 50, "archive PATH is not a zip: give the path of an MPD zip or folder of slices"),
    ],
)
def test_file_that_is_no_zip_is_named(tmp_path, content, line):
    path = tmp_path / "mpd.zip"
    path.write_bytes(content)
    assert _refusal(path) == line


def test_truncated_zip_is_named(tmp_path, write_archive):
    path = write_archive(tmp_path, FILES)
    path.write_bytes(path.read_bytes()[:-40])
    assert _refusal(path) == ("archive PATH is cut short (a zip without its central directory): fetch or copy it again")


def test_no_slices_at_all_is_named(tmp_path, write_archive):
    lead = "archive PATH holds no slice: it must hold files named mpd.slice.<first>-<last>.json, "
    assert _refusal(tmp_path) == lead + "directly or under data/; give another path"
    assert _refusal(write_archive(tmp_path, {"other.json": b""})) == lead + "at any level; give another path"


def test_other_packing_is_named(tmp_path):
    path = tmp_path / "mpd.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("mpd.slice.0-9.json", b"{}")
    assert _refusal(path) == (
        "archive PATH, mpd.slice.0-9.json: uses zip method 12: pack the slices anew with plain deflate"
    )


def _find_central_entry(data: bytes, name: bytes) -> int:
    return data.rindex(b"PK\x01\x02", 0, data.rindex(name))


def _patch(path, name: bytes, offset: int, value: bytes) -> None:
    """Overwrite bytes of the central directory's entry for ``name``."""
    data = bytearray(path.read_bytes())
    start = _find_central_entry(bytes(data), name) + offset
    data[start : start + len(value)] = value
    path.write_bytes(data)


def test_encrypted_slices_are_named(tmp_path, write_archive):
    path = write_archive(tmp_path, FILES)
    _patch(path, b"mpd.slice.0-9.json", 8, b"\x01\x00")
    assert _refusal(path) == ("archive PATH, mpd.slice.0-9.json: is encrypted: pack the slices anew with plain deflate")


@pytest.mark.parametrize(
    ("offset", "value", "line"),
    [
        (16, b"\0\0\0\0", f"CRC-32 {zlib.crc32(b'a' * 10):08x} instead of 00000000"),
        (24, b"\x0b\0\0\0", "10 bytes instead of 11"),
        (24, b"\x09\0\0\0", "more than 9 bytes"),
        (20, b"\x02\0\0\0", "cannot be inflated (incomplete or truncated stream)"),
        (20, b"\0\0\0\0", "10 bytes packed in 0, of which extract.max_ratio allows 1032 each"),
        (42, b"\x01\0\0\0", "no local header where the zip's directory says"),
    ],
)
def test_damaged_member_is_named(tmp_path, write_archive, offset, value, line):
    path = write_archive(tmp_path, FILES)
    _patch(path, b"mpd.slice.0-9.json", offset, value)
    archive = Archive(path)
    with pytest.raises(DamagedMemberError) as caught:
        archive.read(archive.slices[0])
    assert str(caught.value) == line
    assert archive.read(archive.slices[1]) == b"b" * 1000


def test_damaged_stream_is_named(tmp_path, write_archive):
    path = write_archive(tmp_path, FILES)
    with zipfile.ZipFile(path) as file:
        info = next(item for item in file.infolist() if item.filename.endswith("mpd.slice.0-9.json"))
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + len(info.filename)] = 0xFF  # a kind of block that does not exist
    path.write_bytes(data)
    archive = Archive(path)
    with pytest.raises(DamagedMemberError, match=r"^cannot be inflated \(invalid block type\)$"):
        archive.read(archive.slices[0])


def test_file_of_a_folder_that_shrank_is_named(tmp_path, write_archive):
    path = write_archive(tmp_path, FILES, kind="folder")
    archive = Archive(path)
    part = archive.slices[1]
    (path / "data" / part.name).write_bytes(b"b" * 7)
    with pytest.raises(DamagedMemberError, match=r"^7 bytes instead of 1000$"):
        archive.read(part)
