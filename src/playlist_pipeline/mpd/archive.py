"""The archive as it lies on disk: a zip or a folder of slices, read in place.

An archive may come from anyone. Names in it only say which members are slices, nothing is written by them. What a zip's
directory says is checked before any memory is taken for it, and links do not lead out of a folder.
"""

import hashlib
import json
import os
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import deflate

from playlist_pipeline.config import MAX_SLICE_BYTES
from playlist_pipeline.errors import UserError

SLICE_NAME = re.compile(r"mpd\.slice\.([0-9]{1,10})-([0-9]{1,10})\.json")
MD5SUMS_NAME = "md5sums"
# Fixed, for the archive's fingerprint is taken before any parameter is at hand. MPD has 80 kB and 55 kB.
MAX_DIRECTORY_BYTES = 2**24
MAX_MD5SUMS_BYTES = 2**22
MAX_RATIO = 1_032
"""Deflate cannot make more bytes of one."""

_MD5SUMS_LINE = re.compile(r"([0-9a-fA-F]{32})\s+\*?(.+)")
_LOCAL_HEADER = struct.Struct("<4s4xH16xHH")
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8_NAME = 0x800
_UNIX = 3
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NAMING = "mpd.slice.<first>-<last>.json"


class ArchiveError(UserError):
    """An archive cannot be used or has a defect; the message names archive, slice, playlist and field."""


class DamagedMemberError(ValueError):
    """The bytes of one member are not what the archive says of them; the message is the defect alone."""


class OversizedMemberError(DamagedMemberError):
    """A member has more bytes, or inflates to more of them, than are allowed."""


@dataclass(frozen=True)
class Member:
    """Where the bytes of a file of the archive are.

    Attributes:
        path: Path inside the archive, with forward slashes.
        size: Bytes of the file itself.
        crc: CRC-32 of those bytes; None in a folder.
        stamp: Time of the last change in nanoseconds; None in a zip.
        offset: First byte of the local header in a zip.
        packed_size: Bytes that it takes in a zip.
        deflated: Whether those are deflated.
        header_name: Its name as the local header in a zip should have it.
        defect: Why its bytes are not to be read; None if nothing is known against them.
    """

    path: str
    size: int
    crc: int | None = None
    stamp: int | None = None
    offset: int = 0
    packed_size: int = 0
    deflated: bool = False
    header_name: bytes = b""
    defect: str | None = None

    @property
    def name(self) -> str:
        """The path's last part."""
        return PurePosixPath(self.path).name

    def find_excess(self, max_bytes: int, max_ratio: float) -> str | None:
        """Return how the member, by what the archive says of it, has more bytes than are allowed, or None."""
        if (largest := max(self.size, self.packed_size)) > max_bytes:
            return f"{largest} bytes, of which extract.max_slice_bytes allows {max_bytes}"
        if self.deflated and self.size > max_ratio * self.packed_size:
            return (
                f"{self.size} bytes packed in {self.packed_size}, of which extract.max_ratio allows {max_ratio:g} each"
            )
        return None


@dataclass(frozen=True)
class Slice:
    """One slice of an archive.

    Attributes:
        name: File name, ``mpd.slice.<first>-<last>.json``.
        first: First pid by the name.
        last: Last pid by the name.
        member: Where its bytes are.
    """

    name: str
    first: int
    last: int
    member: Member

    @property
    def size(self) -> int:
        """Bytes of JSON."""
        return self.member.size


class Archive:
    """Handle on an archive: a zip, or a folder with the slices in it or under ``data/``.

    Making one touches no file: the list of slices is read when it is first asked for. Reads open the file anew
    each time, so one handle serves many threads. Nothing is unpacked to disk.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def name(self) -> str:
        """The last part of the archive's path."""
        return self.path.name or self.path.resolve().name

    @cached_property
    def kind(self) -> str:
        """``zip`` or ``folder``.

        Raises:
            ArchiveError: If nothing is there, or what is there is neither a file nor a folder.
        """
        give = "give the path of an MPD zip or folder of slices"
        try:
            mode = self.path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ArchiveError(f"archive {self.path} does not exist: {give}") from error
        except OSError as error:
            raise _name_closed(self.path, error) from error
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ArchiveError(f"archive {self.path} is neither a file nor a folder: {give}")
        return "folder" if stat.S_ISDIR(mode) else "zip"

    @cached_property
    def _members(self) -> tuple[Member, ...]:
        return _list_folder(self.path) if self.kind == "folder" else _list_zip(self.path)

    @cached_property
    def slices(self) -> tuple[Slice, ...]:
        """The slices by first pid, then last pid, whatever their order in the archive.

        Raises:
            ArchiveError: If the archive is missing, not a zip, cut short, packed in a way that cannot be read, or
                without slices.
        """
        found = []
        for member in self._members:
            match = SLICE_NAME.fullmatch(member.name)
            if match:
                found.append(Slice(member.name, int(match[1]), int(match[2]), member))
        if not found:
            where = "directly or under data/" if self.kind == "folder" else "at any level"
            raise ArchiveError(
                f"archive {self.path} holds no slice: it must hold files named {_NAMING}, {where}; give another path"
            )
        found.sort(key=lambda item: (item.first, item.last, item.member.size, item.member.crc or 0, item.member.path))
        return tuple(found)

    @cached_property
    def size(self) -> int:
        """Bytes of JSON in all slices."""
        return sum(item.size for item in self.slices)

    @cached_property
    def packed_size(self) -> int:
        """Bytes of the zip itself; of a folder, of its slices."""
        return self.path.stat().st_size if self.kind == "zip" else self.size

    @cached_property
    def _md5_member(self) -> Member | None:
        found = [member for member in self._members if member.name == MD5SUMS_NAME]
        return min(found, key=lambda member: (member.path.count("/"), member.path), default=None)

    @cached_property
    def md5sums(self) -> dict[str, str]:
        """MD5 in lower-case hex by slice name, from the file ``md5sums``; empty where there is none.

        Raises:
            DamagedMemberError: If that file cannot be read.
        """
        if self._md5_member is None:
            return {}
        if self._md5_member.size > MAX_MD5SUMS_BYTES:
            raise OversizedMemberError(f"{self._md5_member.size} bytes, of which {MAX_MD5SUMS_BYTES} can be read")
        lines = self.read(self._md5_member).decode("utf-8", errors="replace").splitlines()
        matches = (_MD5SUMS_LINE.fullmatch(line.strip()) for line in lines)
        return {PurePosixPath(match[2]).name: match[1].lower() for match in matches if match}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what the archive says of its slices, in hex; no slice is read.

        Of a zip: names, sizes and CRC-32 of the slices and of ``md5sums``, so that a copy and another order of members
        have the same fingerprint. Of a folder: names, sizes and times of the last change.
        """
        members = [item.member for item in self.slices]
        if self._md5_member is not None:
            members.append(self._md5_member)
        facts = [[member.name, member.size, member.crc, member.stamp, member.defect] for member in members]
        return hashlib.sha256(json.dumps([self.kind, facts]).encode()).hexdigest()

    def read(
        self, item: Slice | Member, *, max_bytes: int = MAX_SLICE_BYTES, max_ratio: float = MAX_RATIO
    ) -> bytes | bytearray:
        """Read one file whole, inflate it, and check its length and CRC-32.

        Args:
            item: A slice, or a member of another kind.
            max_bytes: Bytes that it may have, packed or not.
            max_ratio: Bytes that it may have for each packed byte.

        Returns:
            The file's bytes. No more memory is taken than for ``max_bytes``, and as many packed ones.

        Raises:
            OversizedMemberError: If it has more bytes than are allowed.
            DamagedMemberError: If the bytes cannot be read, or are cut short or altered.
        """
        member = item.member if isinstance(item, Slice) else item
        if member.defect is not None:
            raise DamagedMemberError(member.defect)
        if excess := member.find_excess(max_bytes, max_ratio):
            raise OversizedMemberError(excess)
        try:
            data = self._read_file(member) if self.kind == "folder" else self._inflate(member)
        except OSError as error:
            raise DamagedMemberError(f"cannot be read ({error.strerror})") from error
        if len(data) != member.size:
            raise DamagedMemberError(f"{len(data)} bytes instead of {member.size}")
        if member.crc is not None and (crc := deflate.crc32(data)) != member.crc:
            raise DamagedMemberError(f"CRC-32 {crc:08x} instead of {member.crc:08x}")
        return data

    def _read_file(self, member: Member) -> bytes:
        with (self.path / member.path).open("rb") as file:
            return file.read(member.size + 1)

    def _inflate(self, member: Member) -> bytes | bytearray:
        with self.path.open("rb") as file:
            packed = _read_packed(file, member)
        if not member.deflated:
            return packed
        try:
            # A size that the stream does not have is an error; one of 0 is not looked at, but then the CRC-32 is.
            return deflate.deflate_decompress(packed, member.size)
        except deflate.DeflateError as error:
            raise DamagedMemberError(_name_bad_stream(packed, member.size)) from error


def _read_packed(file: BinaryIO, member: Member) -> bytes:
    """Return the packed bytes of a zip's member, whose size and place may be anything."""
    end = file.seek(0, os.SEEK_END)
    file.seek(member.offset if 0 <= member.offset <= end else end)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise DamagedMemberError("no local header where the zip's directory says")
    _, method, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    if file.read(name_length) != member.header_name or (method == zipfile.ZIP_DEFLATED) != member.deflated:
        raise DamagedMemberError("its local header is that of another member")
    left = end - file.seek(extra_length, os.SEEK_CUR)
    if left < member.packed_size:
        raise DamagedMemberError(f"{max(left, 0)} packed bytes instead of {member.packed_size}")
    return file.read(member.packed_size)


def _name_bad_stream(packed: bytes, size: int) -> str:
    """Say why a stream is not one of ``size`` bytes; libdeflate says only that it is not."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        found = len(inflater.decompress(packed, size + 1))
    except zlib.error as error:
        return f"cannot be inflated ({str(error).split(': ')[-1]})"
    if found > size:
        return f"more than {size} bytes"
    return f"{found} bytes instead of {size}" if inflater.eof else "cannot be inflated (incomplete or truncated stream)"


def _list_folder(path: Path) -> tuple[Member, ...]:
    try:
        found = {folder: sorted(folder.iterdir()) for folder in (path, path / "data") if folder.is_dir()}
    except OSError as error:
        raise _name_closed(path, error) from error
    holding = next((folder for folder, files in found.items() if any(map(_is_slice, files))), path)
    members = []
    for folder, files in found.items():
        for file in files:
            if file.name == MD5SUMS_NAME or (folder == holding and _is_slice(file)):
                members.append(_describe_file(file, path))
    return tuple(members)


def _is_slice(path: PurePosixPath | Path) -> bool:
    return SLICE_NAME.fullmatch(path.name) is not None


def _describe_file(file: Path, archive: Path) -> Member:
    name = file.relative_to(archive).as_posix()
    if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(archive)):
        return Member(name, 0, stamp=file.lstat().st_mtime_ns, defect="a link that leads out of the archive")
    if not file.is_file():
        return Member(name, 0, stamp=file.lstat().st_mtime_ns, defect="not a regular file")
    status = file.stat()
    return Member(name, status.st_size, stamp=status.st_mtime_ns)


class _DirectoryReader:
    """A zip as ``zipfile`` reads its directory: no part of more than ``MAX_DIRECTORY_BYTES``."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = file.seek(0, os.SEEK_END)
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Read as ``io`` says."""
        left = self._end - self._file.tell()
        size = left if size < 0 else min(size, left)
        if size > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"more than {MAX_DIRECTORY_BYTES} bytes")
        return self._file.read(max(size, 0))


def _list_zip(path: Path) -> tuple[Member, ...]:
    try:
        with path.open("rb") as file, zipfile.ZipFile(_DirectoryReader(file)) as archive:
            infos = archive.infolist()
    except OSError as error:
        raise _name_closed(path, error) from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ArchiveError(_name_bad_zip(path, str(error))) from error
    paths = [info.filename.replace("\\", "/") for info in infos]
    times = Counter(paths)
    members = []
    for info, name in zip(infos, paths, strict=True):
        inner = PurePosixPath(name)
        if inner.name == MD5SUMS_NAME or _is_slice(inner):
            _check_method(info, f"archive {path}, {inner.name}")
            defect = f"{times[name]} members have its path" if times[name] > 1 else _find_special(info)
            members.append(_describe_member(info, name, defect))
    return tuple(members)


def _check_method(info: zipfile.ZipInfo, where: str) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise ArchiveError(f"{where}: is encrypted: pack the slices anew with plain deflate")
    if info.compress_type not in _METHODS:
        raise ArchiveError(f"{where}: uses zip method {info.compress_type}: pack the slices anew with plain deflate")


def _find_special(info: zipfile.ZipInfo) -> str | None:
    """Return what a member is if it is no file."""
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _UNIX else 0
    if info.filename.endswith("/") or kind not in (0, stat.S_IFREG):
        return "a link" if stat.S_ISLNK(kind) else "not a regular file"
    return None


def _describe_member(info: zipfile.ZipInfo, path: str, defect: str | None) -> Member:
    return Member(
        path,
        info.file_size,
        info.CRC,
        offset=info.header_offset,
        packed_size=info.compress_size,
        deflated=info.compress_type == zipfile.ZIP_DEFLATED,
        header_name=info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8_NAME else "cp437"),
        defect=defect,
    )


def _name_closed(path: Path, error: OSError) -> ArchiveError:
    return ArchiveError(f"archive {path} cannot be opened ({error.strerror}): give one that can be read")


def _name_bad_zip(path: Path, reason: str) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        return f"archive {path} is empty: fetch or copy it again"
    if reason != "File is not a zip file":
        return f"archive {path} has a directory that cannot be read ({reason}): fetch or copy it again"
    if start == b"PK\x03\x04":
        return f"archive {path} is cut short (a zip without its central directory): fetch or copy it again"
    return f"archive {path} is not a zip: give the path of an MPD zip or folder of slices"
