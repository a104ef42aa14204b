"""Archives made to do harm: nothing is written outside, memory stays small, all ends in a line or a counted skip."""

import json
import os
import stat
import struct
import tracemalloc
import zipfile
import zlib
from dataclasses import dataclass, field

import pytest
from recipes import make_extract_config

from playlist_pipeline.config import ConfigError
from playlist_pipeline.mpd import Archive, ArchiveError, DamagedMemberError, extract_tables
from playlist_pipeline.mpd.archive import MAX_DIRECTORY_BYTES, MAX_MD5SUMS_BYTES
from playlist_pipeline.mpd.parts import PartStore

FIRST, SECOND = "mpd.slice.0-1.json", "mpd.slice.2-3.json"
LOCAL, CENTRAL, END = struct.Struct("<4s5H3I2H"), struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s4H2IH")
FIFO, LINK, BLOCK_DEVICE, FOLDER = (kind << 16 for kind in (stat.S_IFIFO, stat.S_IFLNK, stat.S_IFBLK, stat.S_IFDIR))


@dataclass
class Entry:
    """A deflated member as the zip has it; ``local`` and ``central`` replace what the two headers say of it."""

    name: str
    data: bytes
    local: dict = field(default_factory=dict)
    central: dict = field(default_factory=dict)
    extra: bytes = b""


def _pack(*entries):
    """Return a zip of these entries."""
    body, directory = b"", b""
    for entry in entries:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = deflater.compress(entry.data) + deflater.flush()
        facts = {"name": entry.name.encode(), "flags": 0x800, "method": 8, "crc": zlib.crc32(entry.data)}
        facts |= {"packed": len(packed), "size": len(entry.data), "version": 20, "attributes": 0, "offset": len(body)}
        head, item = facts | entry.local, facts | entry.central
        sizes = head["crc"], head["packed"], head["size"], len(head["name"]), 0
        body += LOCAL.pack(b"PK\x03\x04", 20, head["flags"], head["method"], 0, 33, *sizes) + head["name"] + packed
        sizes = item["crc"], item["packed"], item["size"], len(item["name"]), len(entry.extra)
        lead = CENTRAL.pack(b"PK\x01\x02", 20 | 3 << 8, item["version"], item["flags"], item["method"], 0, 33, *sizes,
                            0, 0, 0, item["attributes"], item["offset"])  # fmt: skip
        directory += lead + item["name"] + entry.extra
    count = len(entries)
    return body + directory + END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)


def _extract(path, **options):
    store = options.pop("store", None)
    return extract_tables(Archive(path), make_extract_config(**options), progress=False, store=store)


def _problems(path, **settings):
    """Kind and text of each problem of an extraction that goes on, and the pids that are left."""
    tables, report = _extract(path, **settings)
    kinds = {**report["skipped"], **report["noted"], **report["repaired"]}
    return kinds, [problem["problem"] for problem in report["problems"]], tables.playlists["pid"].to_pylist()


def _refusal(path, **settings):
    with pytest.raises(ArchiveError) as caught:
        _extract(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "PATH")


def _strict_line(path, **settings):
    return _refusal(path, strict=True, **settings).partition("; mend it")[0].partition(f"{SECOND}: ")[2]


@pytest.fixture
def texts(make_playlist, slice_text):
    playlists = [make_playlist(pid, [pid, pid + 1]) for pid in range(4)]
    return [slice_text(playlists[:2], 0, 1).encode(), slice_text(playlists[2:], 2, 3).encode()]


@pytest.fixture
def write(tmp_path, texts):
    """Give a function that writes a sound slice, then the given entries."""

    def write(*entries):
        path = tmp_path / "mpd.zip"
        path.write_bytes(_pack(Entry(FIRST, texts[0]), *entries))
        return path

    return write


@pytest.fixture
def peak():
    """Give a function that calls another and returns the most bytes that Python held meanwhile."""

    def measure(function):
        tracemalloc.start()
        try:
            function()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return measure


# --- names


@pytest.mark.parametrize(
    "folder",
    [
        "../../",
        "/etc/",
        "//host/share/",
        "..\\..\\",
        "C:\\data\\",
        "\\\\host\\share\\",
        "a/../../",
        "~/",
        "$(id)/",
        "\n/",
    ],
)
def test_names_are_never_places(tmp_path, texts, folder):
    """Slices are found by the last part of their name and read where they are; files are made in the store alone."""
    outer = tmp_path / "a" / "b"
    outer.mkdir(parents=True)
    (outer / "mpd.zip").write_bytes(_pack(Entry(folder + FIRST, texts[0])))
    tables, _ = _extract(outer / "mpd.zip", strict=True, store=PartStore(outer / "parts"))
    assert tables.playlists["pid"].to_pylist() == [0, 1]
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in made if path.parent == outer] == ["mpd.zip"]
    assert len(made) == 2
    assert all(outer / "parts" in path.parents for path in made if path.name != "mpd.zip")


@pytest.mark.parametrize("name", [f"C:{FIRST}", f"{FIRST} ", f"x{FIRST}", "mpd.slice.\u0660-\u0661.json"])
def test_other_names_are_no_slices(write, texts, name):
    assert _problems(write(Entry(name, texts[1]))) == ({}, [], [0, 1])


@pytest.mark.parametrize(
    ("attributes", "suffix", "text"),
    [
        (LINK, "", "a link"),
        (FIFO, "", "not a regular file"),
        (BLOCK_DEVICE, "", "not a regular file"),
        (FOLDER, "", "not a regular file"),
        (0, "/", "not a regular file"),
    ],
)
def test_special_members_of_a_zip_are_skipped(write, attributes, suffix, text):
    path = write(Entry(SECOND + suffix, b"/etc/passwd", central={"attributes": attributes}))
    assert _problems(path) == ({"damaged_slice": 1}, [text], [0, 1])
    assert _strict_line(path) == text


@pytest.mark.parametrize("turned", [False, True])
def test_members_of_one_path_are_all_skipped(tmp_path, texts, turned):
    """Programs differ in which of them counts."""
    twice = [Entry(f"x/{SECOND}", texts[1]), Entry(f"x\\{SECOND}", texts[1].replace(b"Playlist", b"Forged"))]
    path = tmp_path / "mpd.zip"
    path.write_bytes(_pack(Entry(FIRST, texts[0]), *(reversed(twice) if turned else twice)))
    kinds, problems, pids = _problems(path)
    assert kinds == {"damaged_slice": 2, "overlapping_slices": 1}
    assert problems[1:] == ["2 members have its path"] * 2
    assert pids == [0, 1]


def test_parts_of_slices_with_one_name_are_kept_apart(tmp_path, texts):
    """The CRC-32 of a path can be forged; so are these two."""
    folders = ["plumless", "buckeroo"]
    assert len({zlib.crc32(folder.encode()) for folder in folders}) == 1
    entries = [Entry(f"{FIRST}", texts[0]), *(Entry(f"{folder}/{SECOND}", texts[1]) for folder in folders)]
    path = tmp_path / "mpd.zip"
    path.write_bytes(_pack(*entries))
    _extract(path, store=PartStore(tmp_path / "parts"))
    assert len({file.name.split(".json-")[1].split(".")[0] for file in tmp_path.glob("parts/*/*.part")}) == 3


def test_parts_that_are_too_large_by_now_are_not_used(tmp_path, write, texts):
    path = write(Entry(SECOND, texts[1] + b" " * 2_000))
    _extract(path, store=PartStore(tmp_path / "parts"))
    tables, report = _extract(path, store=PartStore(tmp_path / "parts"), max_slice_bytes=len(texts[0]))
    assert report["skipped"] == {"slice_too_large": 1}
    assert tables.playlists["pid"].to_pylist() == [0, 1]


# --- folders


def _make_fifo(file, _):
    os.mkfifo(file)


FOLDER_TRICKS = {
    "link out": (lambda file, outside: file.symlink_to(outside), "a link that leads out of the archive"),
    "relative link out": (
        lambda file, outside: file.symlink_to(os.path.relpath(outside, file.parent)),
        "a link that leads out of the archive",
    ),
    "device": (lambda file, _: file.symlink_to("/dev/zero"), "a link that leads out of the archive"),
    "link to nothing": (lambda file, _: file.symlink_to("none"), "not a regular file"),
    "link to itself": (lambda file, _: file.symlink_to(file.name), "not a regular file"),
    "folder": (lambda file, _: file.mkdir(), "not a regular file"),
    "fifo": (_make_fifo, "not a regular file"),
}


@pytest.mark.parametrize(("make", "text"), list(FOLDER_TRICKS.values()), ids=list(FOLDER_TRICKS))
def test_special_files_of_a_folder_are_skipped(tmp_path, texts, write_archive, make, text):
    folder = write_archive(tmp_path, {FIRST: texts[0]}, kind="folder", md5sums=False)
    (tmp_path / SECOND).write_bytes(texts[1])
    make(folder / "data" / SECOND, tmp_path / SECOND)
    assert _problems(folder) == ({"damaged_slice": 1}, [text], [0, 1])
    assert _strict_line(folder) == text


def test_links_within_a_folder_are_followed(tmp_path, texts, write_archive):
    folder = write_archive(tmp_path, {FIRST: texts[0]}, kind="folder", md5sums=False)
    (folder / "other.json").write_bytes(texts[1])
    (folder / "data" / SECOND).symlink_to("../other.json")
    (tmp_path / "link").symlink_to(folder)
    assert _problems(tmp_path / "link") == ({}, [], [0, 1, 2, 3])


def test_folder_whose_data_lie_elsewhere_is_refused(tmp_path, texts, write_archive):
    folder = write_archive(tmp_path, {FIRST: texts[0]}, kind="folder", md5sums=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "data").symlink_to(folder / "data")
    assert _refusal(tmp_path / "other").endswith(f"{FIRST}: a link that leads out of the archive")


def test_md5sums_may_be_special_too(tmp_path, texts, write_archive):
    folder = write_archive(tmp_path, {FIRST: texts[0]}, kind="folder", md5sums=False)
    os.mkfifo(folder / "md5sums")
    assert _problems(folder) == ({"damaged_md5sums": 1}, ["not a regular file"], [0, 1])


def test_archive_that_is_neither_file_nor_folder_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero"):
        assert _refusal(path) == (
            "archive PATH is neither a file nor a folder: give the path of an MPD zip or folder of slices"
        )


def test_archive_with_an_impossible_path_is_refused(tmp_path):
    path = tmp_path / ("x" * 5000)
    assert _refusal(path) == "archive PATH cannot be opened (File name too long): give one that can be read"


def test_slice_that_cannot_be_opened_is_skipped(tmp_path, texts, write_archive):
    folder = write_archive(tmp_path, {FIRST: texts[0], SECOND: texts[1]}, kind="folder", md5sums=False)
    archive = Archive(folder)
    part = archive.slices[1]
    (folder / "data" / SECOND).unlink()
    with pytest.raises(DamagedMemberError, match=r"^cannot be read \(No such file or directory\)$"):
        archive.read(part)


# --- sizes


def test_bomb_is_skipped_before_it_is_inflated(write, peak):
    entry = Entry(SECOND, bytes(2**26))
    path = write(entry)
    packed = Archive(path).slices[1].member.packed_size
    text = f"{2**26} bytes packed in {packed}, of which extract.max_ratio allows 100 each"
    assert _problems(path) == ({"slice_too_large": 1}, [text], [0, 1])
    assert _strict_line(path) == text
    assert peak(lambda: _extract(path)) < 2**20


def test_bomb_that_hides_its_size_is_not_inflated_beyond_it(write, peak):
    lie = {"size": 100_000}
    path = write(Entry(SECOND, bytes(2**26), local=lie, central=lie))
    assert _problems(path) == ({"damaged_slice": 1}, ["more than 100000 bytes"], [0, 1])
    assert peak(lambda: _extract(path)) < 2**20


@pytest.mark.parametrize("size", [2**28 + 1, 2**31, 2**32 - 2])
def test_no_memory_is_taken_for_a_size_that_is_claimed(write, texts, peak, size):
    path = write(Entry(SECOND, texts[1], central={"size": size}))
    assert _problems(path)[1] == [f"{size} bytes, of which extract.max_slice_bytes allows {2**28}"]
    assert peak(lambda: _extract(path)) < 2**20


@pytest.mark.parametrize(
    ("packed", "text"), [(2**28, "{left} packed bytes instead of 268435456"), (2**30, "1073741824")]
)
def test_no_memory_is_taken_for_packed_bytes_that_are_claimed(write, texts, peak, packed, text):
    path = write(Entry(SECOND, texts[1], central={"packed": packed}))
    member = Archive(path).slices[1].member
    left = path.stat().st_size - member.offset - 30 - len(SECOND)
    assert _problems(path)[1][0].startswith(text.format(left=left))
    assert peak(lambda: _extract(path)) < 2**20


@pytest.mark.parametrize("lie", [{"size": 1}, {"size": 2**32 - 1}, {"packed": 0}, {"packed": 2**31}, {"crc": 7}])
def test_sizes_of_the_local_header_do_not_count(write, texts, lie):
    assert _problems(write(Entry(SECOND, texts[1], local=lie))) == ({}, [], [0, 1, 2, 3])


@pytest.mark.parametrize("lie", [{"name": FIRST.encode()}, {"name": b"x"}, {"method": 0}, {"name": b""}])
def test_local_header_of_another_member_is_named(write, texts, lie):
    path = write(Entry(SECOND, texts[1], local=lie))
    assert _problems(path) == ({"damaged_slice": 1}, ["its local header is that of another member"], [0, 1])


@pytest.mark.parametrize("offset", [5, 2**31, 2**32 - 2])
def test_local_header_elsewhere_is_named(write, texts, offset):
    path = write(Entry(SECOND, texts[1], central={"offset": offset}))
    assert _problems(path)[1] == ["no local header where the zip's directory says"]


def test_md5sums_may_be_a_bomb(write, peak):
    path = write(Entry("md5sums", bytes(MAX_MD5SUMS_BYTES + 1)))
    text = f"{MAX_MD5SUMS_BYTES + 1} bytes, of which {MAX_MD5SUMS_BYTES} can be read"
    assert _problems(path) == ({"damaged_md5sums": 1}, [text], [0, 1])
    assert peak(lambda: Archive(path).fingerprint) < 2**20


def test_members_that_share_their_bytes_are_refused_where_they_make_a_bomb(tmp_path):
    """Each is within the ratio, but the zip has their bytes once."""
    data = b'{"info": {}, "playlists": []}' + os.urandom(2**15).hex().encode()
    entries = [Entry(f"{number}/{FIRST}", data, central={"offset": 0}) for number in range(100)]
    body = _pack(Entry("0/" + FIRST, data))
    directory = _pack(*entries)[-(len(entries) * (CENTRAL.size + 25)) :]
    directory = directory[directory.index(b"PK\x01\x02") : -END.size]
    start = body.index(b"PK\x01\x02")
    end = END.pack(b"PK\x05\x06", 0, 0, len(entries), len(entries), len(directory), start, 0)
    path = tmp_path / "mpd.zip"
    path.write_bytes(body[:start] + directory + end)
    size = 100 * len(data)
    assert _refusal(path, max_ratio=50) == (
        f"archive PATH holds {size} bytes of JSON in {path.stat().st_size}, more than extract.max_ratio = 50 allows: "
        "give another archive, or a larger number if you trust this one"
    )


def test_limits_on_the_whole_archive(write, texts):
    padded = texts[1] + b" " * 1_234_567
    path = write(Entry(SECOND, padded))
    trust = "give another archive, or a larger number if you trust this one"
    most = {"max_slices": 1}
    assert _refusal(path, **most) == f"archive PATH holds 2 slices, more than extract.max_slices = 1 allows: {trust}"
    size = len(texts[0]) + len(padded)
    most = {"max_total_bytes": size - 1, "max_ratio": 1032}
    assert _refusal(path, **most) == (
        f"archive PATH holds {size} bytes of JSON, more than extract.max_total_bytes = {size - 1} allows: {trust}"
    )
    most = {"max_slices": 2, "max_total_bytes": size, "max_ratio": 1032}
    assert _problems(path, **most)[2] == [0, 1, 2, 3]


# --- the zip's directory


def _patch(path, marker, offset, value):
    data = bytearray(path.read_bytes())
    start = data.rindex(marker) + offset
    data[start : start + len(value)] = value
    path.write_bytes(data)


BROKEN = "archive PATH has a directory that cannot be read ({}): fetch or copy it again"


@pytest.mark.parametrize(
    ("marker", "offset", "value", "reason"),
    [
        (b"PK\x05\x06", 12, struct.pack("<I", 2**24), "Bad offset for central directory"),
        (b"PK\x05\x06", 12, struct.pack("<I", 63), "Bad magic number for central directory"),
        (b"PK\x01\x02", 6, b"\x63\0", "zip file version 9.9"),
        (b"PK\x01\x02", 46, b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_broken_directory_is_named(write, texts, marker, offset, value, reason):
    path = write(Entry(SECOND, texts[1]))
    _patch(path, marker, offset, value)
    assert _refusal(path) == BROKEN.format(reason)


def test_directory_of_very_many_members_is_refused(write, peak, texts):
    path = write(Entry(SECOND, texts[1]))
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    directory = data[start : -END.size] * (MAX_DIRECTORY_BYTES // (len(data) - END.size - start) + 1)
    end = END.pack(b"PK\x05\x06", 0, 0, 65_535, 65_535, len(directory), start, 0)
    path.write_bytes(data[:start] + directory + end)
    del data, directory
    assert _refusal(path) == BROKEN.format(f"more than {MAX_DIRECTORY_BYTES} bytes")

    def take_fingerprint():
        with pytest.raises(ArchiveError):
            Archive(path).fingerprint  # noqa: B018

    assert peak(take_fingerprint) < 1.5 * MAX_DIRECTORY_BYTES


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2001])
def test_every_encryption_is_named(write, texts, flag):
    path = write(Entry(SECOND, texts[1], central={"flags": 0x800 | flag}))
    assert _refusal(path) == f"archive PATH, {SECOND}: is encrypted: pack the slices anew with plain deflate"


def _zip64(*values):
    return struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values)


NOT_HERE = 2**32 - 1


def test_zip64_sizes_are_read(write, texts):
    packed = len(zlib.compress(texts[1], 9)) - 6
    entry = Entry(SECOND, texts[1], {"size": NOT_HERE}, {"size": NOT_HERE, "packed": NOT_HERE})
    entry.extra = _zip64(len(texts[1]), packed)
    assert _problems(write(entry)) == ({}, [], [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("replaced", "values", "text"),
    [
        ("size", (2**63,), "9223372036854775808 bytes, of which extract.max_slice_bytes allows 268435456"),
        ("packed", (2**64 - 1,), "18446744073709551615 bytes, of which extract.max_slice_bytes allows 268435456"),
        ("offset", (2**63 - 1,), "no local header where the zip's directory says"),
        ("offset", (2**64 - 1,), "no local header where the zip's directory says"),
    ],
)
def test_zip64_numbers_beyond_all_bounds_are_named(write, texts, replaced, values, text):
    path = write(Entry(SECOND, texts[1], central={replaced: NOT_HERE}, extra=_zip64(*values)))
    assert _problems(path)[1] == [text]


def test_zip64_number_that_is_missing_is_named(write, texts):
    path = write(Entry(SECOND, texts[1], central={"size": NOT_HERE}, extra=_zip64()))
    assert _refusal(path) == BROKEN.format("Corrupt zip64 extra field. File size not found.")


def test_zips_in_zips_stay_closed(write, texts, tmp_path):
    inner = _pack(Entry(SECOND, texts[1]))
    kinds, problems, pids = _problems(write(Entry(SECOND, inner)))
    assert (kinds, pids) == ({"broken_json": 1}, [0, 1])
    assert problems[0].startswith("not UTF-8 at byte ")
    assert _problems(write(Entry("inner.zip", inner))) == ({}, [], [0, 1])
    path = tmp_path / "outer.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("inner.zip", inner)
    assert "holds no slice" in _refusal(path)


# --- JSON


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"x":', b"}")])
def test_depth_where_nothing_is_read_does_no_harm(write, texts, opening, closing):
    def nest(depth):
        levels = opening * depth + b"1" + closing * depth
        return write(Entry(SECOND, texts[1].replace(b'"v1"', b'"v1", "x": ' + levels)))

    assert _problems(nest(1_000_000), max_ratio=1032) == ({}, [], [0, 1, 2, 3])


@pytest.mark.parametrize("field", [b'"name": ', b'"tracks": ', b'"pid": ', b'"track_name": '])
def test_depth_in_a_field_is_named(write, texts, field):
    data = texts[1].replace(field, field + b"[" * 100_000 + b"]" * 100_000 + b', "x": ', 1)
    text = "not JSON that can be read: nested too deep"
    assert _problems(write(Entry(SECOND, data)), max_ratio=1032) == ({"broken_json": 1}, [text], [0, 1])


CROWDED_OBJECTS = "more than one object or list in 32 bytes"
CROWDED_VALUES = "more than one value in 12 bytes"


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        (b"{},", CROWDED_VALUES),
        (b"null,", CROWDED_VALUES),
        (b'{"tracks": [{}]},          ', CROWDED_OBJECTS),
        (b"[" * 20 + b"]" * 20 + b",", CROWDED_OBJECTS),
    ],
)
def test_crowded_slice_is_skipped_before_it_is_parsed(write, peak, unit, text):
    data = b'{"info": {}, "playlists": [' + (unit * (2**20 // len(unit) + 1))[:-1] + b"1]}"
    path = write(Entry(SECOND, data))
    assert _problems(path, max_ratio=1032) == ({"wrong_layout": 1}, [text], [0, 1])
    assert peak(lambda: _extract(path, max_ratio=1032)) < 3 * len(data)


NUMBERS = {
    "1e400": ("wrong_type", "a decimal number instead of an integer"),
    "NaN": ("wrong_type", "a decimal number instead of an integer"),
    "-Infinity": ("wrong_type", "a decimal number instead of an integer"),
    "1e2": ("wrong_type", "a decimal number instead of an integer"),
    "9223372036854775808": ("out_of_range", "9223372036854775808 does not fit in 32 bits"),
    "1" * 4_000: ("out_of_range", "1" * 37 + "... does not fit in 32 bits"),
    "1" * 5_000: ("broken_json", "not JSON that can be read: a huge number"),
    "1" * 1_000_000: ("broken_json", "not JSON that can be read: a huge number"),
    "inf": ("broken_json", "not JSON: Expecting value at line 53 column 27"),
    "0x10": ("broken_json", "not JSON: Expecting ',' delimiter at line 53 column 28"),
}


@pytest.mark.parametrize(("number", "found"), list(NUMBERS.items()), ids=[number[:20] for number in NUMBERS])
def test_odd_numbers_are_named(write, texts, number, found):
    data = texts[1].replace(b'"num_followers": 4', b'"num_followers": ' + number.encode())
    assert data != texts[1]
    kind, text = found
    kinds, problems, pids = _problems(write(Entry(SECOND, data)), max_ratio=1032)
    assert kinds == {kind: 1}
    assert [problem.partition(" at line")[0] for problem in problems] == [text.partition(" at line")[0]]
    assert pids == ([0, 1] if kind == "broken_json" else [0, 1, 2])


@pytest.mark.parametrize("odd", [b"\xff", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80", b"\xc3"])
def test_name_that_is_not_utf_8_is_named(write, texts, odd):
    data = texts[1].replace(b"Playlist 3", b"Play" + odd + b"list 3")
    kinds, problems, pids = _problems(write(Entry(SECOND, data)))
    assert (kinds, pids) == ({"broken_json": 1}, [0, 1])
    assert problems == [f"not UTF-8 at byte {data.index(b'Play' + odd) + 4}"]


def test_repair_takes_no_more_bytes_than_the_text(tmp_path, make_playlist, write_archive, monkeypatch):
    """Text that is not ASCII is not written as escapes, which would take up to six times as much."""
    playlist = make_playlist(0, [0], num_tracks=9, name="é" * 100_000)
    text = json.dumps({"info": {}, "playlists": [playlist]}, ensure_ascii=False)
    path = write_archive(tmp_path, {FIRST: text})
    monkeypatch.setattr("playlist_pipeline.mpd.repair.MAX_SLICE_BYTES", len(text.encode()) + 100)
    assert _problems(path, max_ratio=1032)[0] == {"num_tracks": 1}


def test_many_escapes_take_little_memory(peak):
    from playlist_pipeline.mpd.repair import replace_lone_surrogates  # noqa: PLC0415

    data = b'"' + rb"\n" * 2**18 + rb'\ud83d"'
    assert replace_lone_surrogates(data) == (b'"' + rb"\n" * 2**18 + '\ufffd"'.encode(), 1)
    assert peak(lambda: replace_lone_surrogates(data)) < 2 * len(data)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("max_slice_bytes", 0, "a number from 1 to 2146435072"),
        ("max_slice_bytes", 2**31, "a number from 1 to 2146435072"),
        ("max_ratio", 0.5, "1 or more"),
        ("max_ratio", float("inf"), "a value of type float"),
        ("max_total_bytes", 0, "1 or more"),
        ("max_slices", 0, "1 or more"),
        ("max_slices", 1.5, "a value of type int"),
    ],
)
def test_limits_that_are_none_are_refused(name, value, allowed):
    with pytest.raises(ConfigError) as caught:
        make_extract_config(**{name: value})
    assert str(caught.value) == f"parameter extract.{name} = {value!r} is not allowed: give {allowed}"
