"""The archive as it lies on disk: a zip or a folder of slices, read in place."""

import hashlib
import json
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import deflate

from playlist_pipeline.errors import UserError

SLICE_NAME = re.compile(r"mpd\.slice\.(\d{1,10})-(\d{1,10})\.json")
MD5SUMS_NAME = "md5sums"
MAX_SLICE_BYTES = 2**31 - 2**20
"""Larger slices are refused: pyarrow's JSON reader takes one block of at most 2 GB."""

_MD5SUMS_LINE = re.compile(r"([0-9a-fA-F]{32})\s+\*?(.+)")
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NAMING = "mpd.slice.<first>-<last>.json"


class ArchiveError(UserError):
    """An archive cannot be used or has a defect; the message names archive, slice, playlist and field."""


class DamagedMemberError(ValueError):
    """The bytes of one member are not what the archive says of them; the message is the defect alone."""


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
    """

    path: str
    size: int
    crc: int | None = None
    stamp: int | None = None
    offset: int = 0
    packed_size: int = 0
    deflated: bool = False

    @property
    def name(self) -> str:
        """The path's last part."""
        return PurePosixPath(self.path).name


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
            ArchiveError: If nothing is there.
        """
        if not self.path.exists():
            raise ArchiveError(f"archive {self.path} does not exist: give the path of an MPD zip or folder of slices")
        return "folder" if self.path.is_dir() else "zip"

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
        facts = [[member.name, member.size, member.crc, member.stamp] for member in members]
        return hashlib.sha256(json.dumps([self.kind, facts]).encode()).hexdigest()

    def read(self, item: Slice | Member) -> bytes | bytearray:
        """Read one file whole, inflate it, and check its length and CRC-32.

        Args:
            item: A slice, or a member of another kind.

        Returns:
            The file's bytes.

        Raises:
            DamagedMemberError: If the bytes are cut short or altered.
        """
        member = item.member if isinstance(item, Slice) else item
        data = (self.path / member.path).read_bytes() if self.kind == "folder" else self._inflate(member)
        if len(data) != member.size:
            raise DamagedMemberError(f"{len(data)} bytes instead of {member.size}")
        if member.crc is not None and (crc := deflate.crc32(data)) != member.crc:
            raise DamagedMemberError(f"CRC-32 {crc:08x} instead of {member.crc:08x}")
        return data

    def _inflate(self, member: Member) -> bytes | bytearray:
        with self.path.open("rb") as file:
            file.seek(member.offset)
            header = file.read(_LOCAL_HEADER.size)
            if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
                raise DamagedMemberError("no local header where the zip's directory says")
            _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
            file.seek(name_length + extra_length, 1)
            packed = file.read(member.packed_size)
        if len(packed) != member.packed_size:
            raise DamagedMemberError(f"{len(packed)} packed bytes instead of {member.packed_size}")
        if not member.deflated:
            return packed
        try:
            # A size that the stream does not have is an error; one of 0 is not looked at, but then the CRC-32 is.
            return deflate.deflate_decompress(packed, member.size)
        except deflate.DeflateError as error:
            raise DamagedMemberError(_name_bad_stream(packed, member.size)) from error


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
    folders = [folder for folder in (path, path / "data") if folder.is_dir()]
    holding = next((f for f in folders if any(SLICE_NAME.fullmatch(p.name) for p in f.iterdir())), path)
    members = []
    for folder in dict.fromkeys((holding, *folders)):
        for file in folder.iterdir():
            wanted = file.name == MD5SUMS_NAME or (folder == holding and SLICE_NAME.fullmatch(file.name))
            if wanted and file.is_file():
                status = file.stat()
                members.append(Member(file.relative_to(path).as_posix(), status.st_size, stamp=status.st_mtime_ns))
    return tuple(members)


def _list_zip(path: Path) -> tuple[Member, ...]:
    try:
        with zipfile.ZipFile(path) as file:
            infos = file.infolist()
    except zipfile.BadZipFile as error:
        raise ArchiveError(_name_bad_zip(path)) from error
    except OSError as error:
        raise ArchiveError(f"archive {path} cannot be opened: {error.strerror}") from error
    members = []
    for info in infos:
        name = PurePosixPath(info.filename).name
        if not (name == MD5SUMS_NAME or SLICE_NAME.fullmatch(name)):
            continue
        if info.compress_type not in _METHODS or info.flag_bits & _ENCRYPTED:
            how = "is encrypted" if info.flag_bits & _ENCRYPTED else f"uses zip method {info.compress_type}"
            raise ArchiveError(f"archive {path}, {name}: {how}: pack the slices anew with plain deflate")
        deflated = info.compress_type == zipfile.ZIP_DEFLATED
        members.append(
            Member(info.filename, info.file_size, info.CRC, None, info.header_offset, info.compress_size, deflated)
        )
    return tuple(members)


def _name_bad_zip(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        return f"archive {path} is empty: fetch or copy it again"
    if start == b"PK\x03\x04":
        return f"archive {path} is cut short (a zip without its central directory): fetch or copy it again"
    return f"archive {path} is not a zip: give the path of an MPD zip or folder of slices"
