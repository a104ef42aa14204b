"""Write sorted whole numbers straight into a database file, as a b-tree that sqlite takes for its own.

A table WITHOUT ROWID and an index on one are trees of records (https://www.sqlite.org/fileformat2.html, sections 1.6
and 2). If every column gets as many bytes as its highest number needs, all records are of one length and a page is an
array: numpy fills pages some ten times as fast as INSERT does. The tree's pages are set aside beforehand, so that
sqlite can work on the rest of the file in the meantime.

Letters in shapes: n rows, c bytes of a cell, p pages.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Columns = Sequence[npt.NDArray[np.integer]]

PAGES_AT_A_TIME = 1024
LOCK_BYTE = 1 << 30  # sqlite never uses the page that this byte of the file is in

_PAGE_SIZE_AT, _RESERVED_AT, _NUM_PAGES_AT = 16, 20, 28
_LEAF, _INTERIOR = 0x0A, 0x02
_HEADER_BYTES = {_LEAF: 8, _INTERIOR: 12}
_CHILD_BYTES = {_LEAF: 0, _INTERIOR: 4}
_SERIAL_TYPES = {1: 1, 2: 2, 3: 3, 4: 4, 6: 5, 8: 6}  # by bytes of the number


class SortedTree:
    """An empty table or index in a database file, and the pages that are set aside for its rows."""

    def __init__(self, path: Path, page_size: int, usable_bytes: int, num_rows: int, widths: list[int]) -> None:
        self._path = path
        self._page_size = page_size
        self._usable_bytes = usable_bytes
        self._num_rows = num_rows
        self._widths = widths
        self._cell_bytes = 2 + len(widths) + sum(widths)
        self._levels: list[npt.NDArray[np.int64]] = []  # the pages of each level, the leaves first

    @classmethod
    def reserve(cls, path: str | Path, root: int, num_rows: int, highest: Sequence[int]) -> "SortedTree":
        """Set pages aside at the end of the file, which no connection has open.

        Args:
            path: A database that was made with ``auto_vacuum`` off.
            root: The tree's root page (``rootpage`` in ``sqlite_schema``).
            num_rows: Rows to come, n.
            highest: The highest number of each column to come; the lowest is 0.

        Raises:
            ValueError: A highest number that is no 63-bit one, or more columns than a page of this size takes.
        """
        path = Path(path)
        with path.open("r+b") as file:
            header = file.read(100)
            page_size = int.from_bytes(header[_PAGE_SIZE_AT : _PAGE_SIZE_AT + 2], "big")
            page_size = page_size if page_size > 1 else 1 << 16
            used = int.from_bytes(header[_NUM_PAGES_AT : _NUM_PAGES_AT + 4], "big")
            widths = [_bytes_for(number) for number in highest]
            tree = cls(path, page_size, page_size - header[_RESERVED_AT], num_rows, widths)
            # Longer records would need a length of two bytes, or overflow pages (section 1.6).
            longest = min(127, (tree._usable_bytes - 12) * 64 // 255 - 23)
            if tree._cell_bytes - 1 > longest:
                raise ValueError(f"records of {tree._cell_bytes - 1} bytes; {longest} is the most in this file")
            tree._levels = tree._number_pages(used + 1, root)
            last = max([used, *(int(level[-1]) for level in tree._levels[:-1])])
            file.truncate(last * page_size)
            file.seek(_NUM_PAGES_AT)
            file.write(last.to_bytes(4, "big"))
        return tree

    def _number_pages(self, first: int, root: int) -> list[npt.NDArray[np.int64]]:
        """Return the numbers of each level's pages, the leaves' first; the last level is the root alone."""
        lock_page = LOCK_BYTE // self._page_size + 1
        levels, kind, num_cells = [], _LEAF, self._num_rows
        while (num_pages := self._share(num_cells, kind)[0]) > 1:
            numbers = np.arange(first, first + num_pages)
            if first <= lock_page:
                numbers[numbers >= lock_page] += 1
            levels.append(numbers)
            first, kind, num_cells = int(numbers[-1]) + 1, _INTERIOR, num_pages - 1
        return [*levels, np.array([root])]

    def _share(self, num_cells: int, kind: int) -> tuple[int, int, int]:
        """Deal a level's cells to as few pages as can hold them, nearly evenly.

        A page's share is the cells that it holds and the one after them, which moves up to the level above. The last
        page has none after its own: a cell that is never read stands in for it.

        Returns:
            Pages, the smaller share, and how many pages get one cell more.
        """
        capacity = (self._usable_bytes - _HEADER_BYTES[kind]) // (2 + _CHILD_BYTES[kind] + self._cell_bytes)
        num_pages = -(-(num_cells + 1) // (capacity + 1))
        return num_pages, *divmod(num_cells + 1, num_pages)

    def write(self, columns: Columns) -> None:
        """Write the rows. Connections may write to other tables meanwhile, and read this one once they are opened anew.

        As this opens and closes the file, connections of this process lose their locks on it (a rule of POSIX): no
        other process may use the file.

        Args:
            columns: The columns in the order of the tree's key, each [n], rows rising and none twice: of a table, its
                primary key and then the others; of an index, its columns and then the rest of the primary key.

        Raises:
            ValueError: Another number of rows or columns than announced, a number out of range, rows out of order.
        """
        if [len(column) for column in columns] != [self._num_rows] * len(self._widths):
            raise ValueError(f"{self._num_rows} rows of {len(self._widths)} columns were announced")
        if not self._num_rows:
            return

        def take(start: int, stop: int) -> Bytes:
            _check_rising([column[max(start - 1, 0) : stop] for column in columns])
            return self._encode([column[start:stop] for column in columns])

        with self._path.open("r+b") as file:
            moved_up = self._write_level(file, _LEAF, self._levels[0], self._num_rows, take)
            for children, numbers in itertools.pairwise(self._levels):
                pointers = children.astype(">u4").view(np.uint8).reshape(-1, 4)
                cells = np.concatenate([pointers, moved_up], axis=1)
                moved_up = self._write_level(file, _INTERIOR, numbers, len(cells) - 1, _slicer(cells))

    def _encode(self, columns: Columns) -> Bytes:
        """Return rows as cells, uint8[n, c]: the record's length, its header and its numbers."""
        head = [self._cell_bytes - 1, 1 + len(self._widths), *(_SERIAL_TYPES[width] for width in self._widths)]
        cells = np.empty((len(columns[0]), self._cell_bytes), np.uint8)
        cells[:, : len(head)] = head
        at = len(head)
        for column, width in zip(columns, self._widths, strict=True):
            if len(column) and not 0 <= column.min() <= column.max() < 1 << (8 * width - 1):
                raise ValueError(f"{column.min()} to {column.max()} is more than the {width} bytes that were announced")
            cells[:, at : at + width] = column.astype(">i8").view(np.uint8).reshape(-1, 8)[:, -width:]
            at += width
        return cells

    def _write_level(
        self,
        file: BinaryIO,
        kind: int,
        numbers: npt.NDArray[np.int64],
        num_cells: int,
        take: Callable[[int, int], Bytes],
    ) -> Bytes:
        """Write the pages of one level.

        Args:
            file: The database.
            kind: Of the pages.
            numbers: Of the pages, [p].
            num_cells: Cells of the level.
            take: Gives the cells from one to another, with the number of their left child in front if they have one.

        Returns:
            The cell after each page, which moves up to the level above, without child, uint8[p, c]; the last is void.
        """
        num_pages, share, num_larger = self._share(num_cells, kind)
        moved_up = np.zeros((num_pages, self._cell_bytes), np.uint8)
        start = 0
        blocks = {*range(0, num_pages, PAGES_AT_A_TIME), num_larger, num_pages}
        for first, last in itertools.pairwise(sorted(blocks)):
            rows = share + (first < num_larger)
            stop = start + (last - first) * rows
            cells = take(start, stop)
            if len(cells) < stop - start:
                cells = np.concatenate([cells, np.zeros_like(cells[:1])])
            cells = cells.reshape(last - first, rows, -1)
            moved_up[first:last] = cells[:, -1, -self._cell_bytes :]
            self._write_pages(file, numbers[first:last], self._lay_out(kind, cells))
            start = stop
        return moved_up

    def _lay_out(self, kind: int, cells: Bytes) -> Bytes:
        """Return pages, uint8[p, bytes], from what each is to hold and the cell after that, uint8[p, rows, bytes]."""
        num_pages, held, cell_bytes = len(cells), cells.shape[1] - 1, cells.shape[2]
        starts = self._usable_bytes - cell_bytes * np.arange(held, 0, -1)
        pages = np.zeros((num_pages, self._page_size), np.uint8)
        head = _HEADER_BYTES[kind]
        pages[:, 0] = kind
        pages[:, 3:7] = np.array([held, starts[0]], ">u2").view(np.uint8)
        if kind == _INTERIOR:
            pages[:, 8:12] = cells[:, -1, :4]  # the child right of all cells
        pages[:, head : head + 2 * held] = starts.astype(">u2").view(np.uint8)
        pages[:, starts[0] : self._usable_bytes] = cells[:, :-1].reshape(num_pages, -1)
        return pages

    def _write_pages(self, file: BinaryIO, numbers: npt.NDArray[np.int64], pages: Bytes) -> None:
        gaps = np.flatnonzero(np.diff(numbers) > 1) + 1
        for some, those in zip(np.split(numbers, gaps), np.split(pages, gaps), strict=True):
            file.seek((int(some[0]) - 1) * self._page_size)
            file.write(those.data)


def _bytes_for(highest: int) -> int:
    for width in _SERIAL_TYPES:
        if 0 <= highest < 1 << (8 * width - 1):
            return width
    raise ValueError(f"{highest} is not from 0 to 2^63 - 1")


def _slicer(cells: Bytes) -> Callable[[int, int], Bytes]:
    return lambda start, stop: cells[start:stop]


def _check_rising(columns: Columns) -> None:
    """Refuse rows that are not in order of their first column, then the second and so on, or that come twice."""
    rises = np.zeros(max(len(columns[0]) - 1, 0), bool)
    for column in reversed(columns):
        rises &= column[1:] == column[:-1]
        rises |= column[1:] > column[:-1]
    if not rises.all():
        raise ValueError("rows are not in order, or one comes twice")
