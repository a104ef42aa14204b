import sqlite3
from contextlib import closing

import numpy as np
import pytest

from playlist_pipeline.corpus import btree
from playlist_pipeline.corpus.btree import SortedTree

ROOTS = "SELECT name, rootpage FROM sqlite_schema WHERE name IN ('pairs', 'pairs_by_value')"


def make_file(path, page_size=512):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            f"PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = NONE;"
            "CREATE TABLE pairs (a INTEGER NOT NULL, b INTEGER NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (a, b))"
            "STRICT, WITHOUT ROWID; CREATE INDEX pairs_by_value ON pairs (value, a); CREATE TABLE other (text);"
        )
        return dict(connection.execute(ROOTS))


def make_rows(num_rows, highest, seed=0):
    """Distinct a, b sorted, and any value."""
    a, b = np.divmod(np.arange(num_rows), 7)
    value = np.random.default_rng(seed).integers(0, highest, num_rows, endpoint=True)
    return a, b, value


def fill(path, roots, a, b, value):
    """Fill the table and the index with rows that are sorted by a and b."""
    highest = [int(column.max(initial=0)) for column in (a, b, value)]
    table = SortedTree.reserve(path, roots["pairs"], len(a), highest)
    index = SortedTree.reserve(path, roots["pairs_by_value"], len(a), [highest[2], *highest[:2]])
    table.write([a, b, value])
    order = np.lexsort((b, a, value))
    index.write([value[order], a[order], b[order]])


def check(path, a, b, value):
    expected = list(zip(a.tolist(), b.tolist(), value.tolist(), strict=True))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT * FROM pairs NOT INDEXED ORDER BY a, b").fetchall() == expected
        by_value = connection.execute("SELECT * FROM pairs INDEXED BY pairs_by_value ORDER BY value, a, b").fetchall()
        assert by_value == sorted(expected, key=lambda row: (row[2], row[0], row[1]))
        for row in expected[:: max(len(expected) // 20, 1)]:
            assert connection.execute("SELECT value FROM pairs WHERE a = ? AND b = ?", row[:2]).fetchall() == [row[2:]]
            found = connection.execute("SELECT a, b FROM pairs WHERE value = ?", row[2:]).fetchall()
            assert found == [other[:2] for other in expected if other[2] == row[2]]


# A page of 512 bytes holds 45 rows of 1 byte a column: every way that pages fill up and levels begin is below.
@pytest.mark.parametrize("num_rows", [*range(4), *range(40, 52), *range(85, 100), 1500, 1600, 40_000])
def test_sqlite_reads_the_rows_and_finds_the_tree_in_order(tmp_path, num_rows):
    roots = make_file(tmp_path / "a.db")
    rows = make_rows(num_rows, 100)
    fill(tmp_path / "a.db", roots, *rows)
    check(tmp_path / "a.db", *rows)


@pytest.mark.parametrize(
    "highest", [0, 1, 127, 128, 32767, 32768, 2**23 - 1, 2**23, 2**31, 2**47 - 1, 2**47, 2**63 - 1]
)
@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_numbers_of_every_width(tmp_path, highest, page_size):
    roots = make_file(tmp_path / "a.db", page_size)
    a, b, value = make_rows(300, highest)
    value[17] = highest
    fill(tmp_path / "a.db", roots, a, b, value)
    check(tmp_path / "a.db", a, b, value)


def test_pages_may_be_written_in_pieces(tmp_path, monkeypatch):
    rows = make_rows(20_000, 1000)
    fill(tmp_path / "one.db", make_file(tmp_path / "one.db"), *rows)
    monkeypatch.setattr(btree, "PAGES_AT_A_TIME", 3)
    fill(tmp_path / "two.db", make_file(tmp_path / "two.db"), *rows)
    assert (tmp_path / "one.db").read_bytes() == (tmp_path / "two.db").read_bytes()


@pytest.mark.parametrize("page", range(4, 60))
def test_the_page_of_the_lock_byte_stays_empty(tmp_path, monkeypatch, page):
    monkeypatch.setattr(btree, "LOCK_BYTE", page * 512)
    path, rows = tmp_path / "a.db", make_rows(1000, 1000)
    fill(path, make_file(path), *rows)
    data = path.read_bytes()
    assert not any(data[page * 512 : (page + 1) * 512])
    with closing(sqlite3.connect(path)) as connection:
        ((found,),) = connection.execute("PRAGMA integrity_check").fetchall()
    # For sqlite that page is one like others, as its own lock byte is far away: it misses the page and nothing else.
    expected = f"Page {page + 1}" if page * 512 < len(data) else "ok"
    assert expected in found
    assert len(found.splitlines()) <= 2


def test_sqlite_goes_on_with_the_rest_of_the_file_meanwhile(tmp_path):
    path, rows = tmp_path / "a.db", make_rows(5000, 1000)
    roots = make_file(path)
    a, b, value = rows
    table = SortedTree.reserve(path, roots["pairs"], 5000, [1000, 6, 1000])
    index = SortedTree.reserve(path, roots["pairs_by_value"], 5000, [1000, 1000, 6])
    texts = [(str(number) * 30,) for number in range(3000)]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executemany("INSERT INTO other VALUES (?)", texts[:1000])
        order = np.lexsort((b, a, value))
        index.write([value[order], a[order], b[order]])
        connection.executemany("INSERT INTO other VALUES (?)", texts[1000:])
        table.write(rows)
        connection.execute("CREATE INDEX texts ON other (text)")
    check(path, *rows)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT text FROM other ORDER BY rowid").fetchall() == texts


def test_the_tree_can_be_changed_afterwards(tmp_path):
    path, rows = tmp_path / "a.db", make_rows(5000, 1000)
    fill(path, make_file(path), *rows)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM pairs WHERE a % 3 = 0")
        connection.execute("UPDATE pairs SET value = value + 100000 WHERE a % 5 = 0")
        connection.execute("INSERT INTO pairs VALUES (0, 0, 7)")
        connection.commit()
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        expected = sum(a % 3 != 0 for a in rows[0].tolist()) + 1
        assert connection.execute("SELECT count(*) FROM pairs").fetchone() == (expected,)
        connection.execute("VACUUM")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0, 0], [0, 1]), "2 rows of 3 columns were announced"),
        (([0], [0], [0]), "2 rows of 3 columns were announced"),
        (([0, 0], [1, 0], [0, 0]), "not in order"),
        (([0, 0], [1, 1], [4, 4]), "comes twice"),
        (([0, 0], [0, 1], [0, 128]), "0 to 128 is more than the 1 bytes"),
        (([0, 0], [0, 1], [-1, 0]), "-1 to 0 is more than"),
    ],
)
def test_rows_that_would_break_the_tree_are_refused(tmp_path, columns, message):
    roots = make_file(tmp_path / "a.db")
    tree = SortedTree.reserve(tmp_path / "a.db", roots["pairs"], 2, [9, 9, 9])
    with pytest.raises(ValueError, match=message):
        tree.write([np.array(column) for column in columns])


def test_order_is_checked_between_pieces_too(tmp_path, monkeypatch):
    monkeypatch.setattr(btree, "PAGES_AT_A_TIME", 1)
    roots = make_file(tmp_path / "a.db")
    zeros = np.zeros(1000, np.int64)
    for row in range(2, 1000):
        tree = SortedTree.reserve(tmp_path / "a.db", roots["pairs"], 1000, [1000, 0, 0])
        a = np.arange(1000)
        a[row:] -= 2  # the one place where they fall
        with pytest.raises(ValueError, match="not in order"):
            tree.write([a, zeros, zeros])


@pytest.mark.parametrize("highest", [-1, 2**63])
def test_numbers_that_sqlite_has_not_are_refused(tmp_path, highest):
    roots = make_file(tmp_path / "a.db")
    with pytest.raises(ValueError, match=rf"{highest} is not from 0 to 2\^63 - 1"):
        SortedTree.reserve(tmp_path / "a.db", roots["pairs"], 2, [9, 9, highest])


@pytest.mark.parametrize(("page_size", "most"), [(512, 11), (4096, 14)])
def test_rows_as_wide_as_can_be_and_wider(tmp_path, page_size, most):
    """Of columns of eight bytes; one more would need overflow pages, or a length of two bytes."""
    for count in (most, most + 1):
        path = tmp_path / f"{count}.db"
        names = ", ".join(f"c{number}" for number in range(count))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA page_size = {page_size}")
            connection.execute(f"CREATE TABLE wide ({names}, PRIMARY KEY ({names})) WITHOUT ROWID")
            ((root,),) = connection.execute("SELECT rootpage FROM sqlite_schema").fetchall()
        columns = [np.arange(100) + 2**60] * count
        if count > most:
            with pytest.raises(ValueError, match="is the most in this file"):
                SortedTree.reserve(path, root, 100, [2**61] * count)
        else:
            SortedTree.reserve(path, root, 100, [2**61] * count).write(columns)
            with closing(sqlite3.connect(path)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                assert connection.execute("SELECT * FROM wide").fetchall() == list(
                    zip(*map(list, columns), strict=True)
                )


def test_the_real_lock_page(tmp_path):
    """In a file of 1 GiB that is almost all hole."""
    path, rows = tmp_path / "a.db", make_rows(60_000, 1000)
    roots = make_file(path, 65536)
    lock_page = btree.LOCK_BYTE // 65536 + 1
    with path.open("r+b") as file:  # as if tables before had used all pages to a few before that one
        file.truncate((lock_page - 5) * 65536)
        file.seek(28)
        file.write((lock_page - 5).to_bytes(4, "big"))
    fill(path, roots, *rows)
    assert path.stat().st_size > lock_page * 65536
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT * FROM pairs NOT INDEXED ORDER BY a, b").fetchall()
        assert found == list(zip(*(column.tolist() for column in rows), strict=True))
        connection.execute("CREATE INDEX later ON pairs (b)")
        connection.execute("DELETE FROM pairs WHERE a % 2 = 0")
        connection.commit()
        problems = [
            line for (text,) in connection.execute("PRAGMA integrity_check (100000)") for line in text.split("\n")
        ]
    assert all("never used" in line or line.startswith("***") for line in problems)
