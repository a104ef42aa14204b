"""What an extraction has read so far, one file a slice, so that a killed one goes on where it stopped.

A part is an Arrow IPC file of one row: the columns of ``SliceColumns`` as lists, and the rest of ``SliceResult`` in the
metadata. Its name carries the CRC-32 of its bytes, and it gets that name when it is whole: neither a process that is
killed nor a machine that loses power leaves a part that would be taken for whole. A slice of the MPD takes 4.3 MB, so
that all 1,000 take 4.3 GB until the tables are saved and the parts are removed.
"""

import dataclasses
import hashlib
import json
import logging
import os
import shutil
import threading
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from playlist_pipeline.config import ExtractConfig
from playlist_pipeline.errors import UserError
from playlist_pipeline.mpd.archive import Archive, Slice
from playlist_pipeline.mpd.repair import Findings, Problem
from playlist_pipeline.mpd.slices import SliceColumns, SliceResult

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
_META = b"slice"
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class PartStore:
    """The folder in which extractions keep their parts.

    Parts of one archive, read in one way by one version of the code, lie in a folder named by all that. At most one
    such folder is kept: an extraction removes the others when it starts.
    """

    def __init__(self, path: str | Path, code_version: str = "") -> None:
        """Make a handle; no file is touched.

        Args:
            path: The folder; it need not exist.
            code_version: Changes when the code that reads slices does.
        """
        self.path = Path(path)
        self.code_version = code_version

    def open(self, archive: Archive, config: ExtractConfig) -> "Parts":
        """Return the parts of this extraction, none if it starts afresh.

        Raises:
            ArchiveError: The archive cannot be opened.
            UserError: The folder cannot be made or cleared.
        """
        settings = [config.max_problems, config.max_slice_bytes, config.max_ratio]
        facts = [FORMAT_VERSION, pa.__version__, self.code_version, archive.fingerprint, *settings]
        fingerprint = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for other in self.path.iterdir():
                if other.name != fingerprint:
                    logger.warning("%s is of another archive, parameters or code: removed; starting afresh", other)
                    shutil.rmtree(other)
            return Parts(self.path / fingerprint)
        except OSError as error:
            raise UserError(f"{error.filename or self.path}: {error.strerror}: choose another workspace") from error

    def clear(self) -> None:
        """Remove all parts: what they were kept for is done."""
        shutil.rmtree(self.path, ignore_errors=True)


class Parts:
    """The slices that one extraction has read; serves many threads.

    Attributes:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._files: dict[str, Path] = {}
        for path in folder.iterdir():
            if path.suffix == ".part":
                self._files[path.name.rsplit(".", 2)[0]] = path
            else:
                path.unlink()

    def __len__(self) -> int:
        return len(self._files)

    def load(self, part: Slice) -> SliceResult | None:
        """Return what an earlier extraction read of a slice; None if it has not come to it or the file is damaged."""
        path = self._files.get(_name(part))
        if path is None:
            return None
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if f"{zlib.crc32(data):08x}" != path.name.rsplit(".", 2)[1]:
            logger.warning("%s is damaged: the slice is read again", path)
            path.unlink(missing_ok=True)
            return None
        return _decode(data, part)

    def save(self, result: SliceResult) -> None:
        """Keep what was read of a slice; nothing if that was skipped, for its bytes may be mended by the next time.

        Raises:
            UserError: The file cannot be written.
        """
        if result.columns is None:
            return
        data = _encode(result)
        path = self.folder / f"{_name(result.part)}.{zlib.crc32(data):08x}.part"
        building = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            with building.open("wb") as file:
                file.write(data)
            building.replace(path)
        except OSError as error:
            building.unlink(missing_ok=True)  # what it took is wanted
            raise UserError(
                f"{path} cannot be written ({error.strerror}): make room, or choose another workspace"
            ) from error


def _name(part: Slice) -> str:
    """Return a name that tells apart slices of one archive, those of the same name too."""
    return f"{part.name}-{hashlib.sha256(part.member.path.encode(errors='surrogatepass')).hexdigest()[:16]}"


def _encode(result: SliceResult) -> memoryview:
    columns = {field.name: getattr(result.columns, field.name) for field in dataclasses.fields(SliceColumns)}
    playlists = columns.pop("playlists")
    arrays = [_wrap(playlists.to_struct_array().combine_chunks()), *map(_wrap, columns.values())]
    findings = dataclasses.asdict(result.findings) | {"counts": dict(result.findings.counts)}
    meta = {"findings": findings, "md5": result.md5, "replaced_surrogates": result.replaced_surrogates}
    batch = pa.record_batch(arrays, names=["playlists", *columns])
    batch = batch.replace_schema_metadata({_META: json.dumps(meta).encode()})
    stream = pa.BufferOutputStream()
    with pa.ipc.new_file(stream, batch.schema, options=_OPTIONS) as writer:
        writer.write_batch(batch)
    return memoryview(stream.getvalue())


def _wrap(values: Any) -> pa.ListArray:
    """Return one list of all values."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    array = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.ListArray.from_arrays(pa.array([0, len(array)], pa.int32()), array)


def _decode(data: bytes, part: Slice) -> SliceResult:
    reader = pa.ipc.open_file(pa.BufferReader(data))
    batch = reader.get_batch(0)
    meta = json.loads(reader.schema.metadata[_META])
    arrays = {name: batch.column(name).flatten() for name in batch.schema.names}
    columns: dict[str, Any] = {}
    # Copies of what the merger keeps: a view of one column would hold the whole part in memory.
    for field in dataclasses.fields(SliceColumns):
        values = arrays[field.name]
        if field.name == "playlists":
            columns[field.name] = pa.Table.from_struct_array(values.take(np.arange(len(values))))
        elif field.type is pa.StringArray:
            columns[field.name] = values
        else:
            columns[field.name] = np.array(values.to_numpy(zero_copy_only=False))
    found = meta["findings"]
    problems = [Problem(**problem) for problem in found["listed"]]
    first = Problem(**found["first"]) if found["first"] else None
    findings = Findings(found["limit"], first, problems, found["total"], Counter(found["counts"]))
    return SliceResult(part, SliceColumns(**columns), findings, meta["md5"], meta["replaced_surrogates"])
