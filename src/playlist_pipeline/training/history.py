"""The history of a training, one row a step, in a CSV file that survives interruption."""

import csv
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from playlist_pipeline.files import write_file


class HistoryRow(NamedTuple):
    """What is known of one step.

    Attributes:
        step: From 1.
        loss: Mean training loss in nats; not finite where the step was skipped for it.
        validation_loss: Where it was measured.
        learning_rate: The optimizer's.
        skipped_steps: Steps skipped so far.
    """

    step: int
    loss: float
    validation_loss: float | None
    learning_rate: float
    skipped_steps: int


COLUMN_TYPES = {
    "step": np.int64,
    "loss": np.float64,
    "validation_loss": np.float64,
    "learning_rate": np.float64,
    "skipped_steps": np.int64,
}


class History:
    """Appends rows to a CSV file; use it in a ``with`` statement."""

    def __init__(self, path: Path, *, last_step: int) -> None:
        """Open the file and drop rows after ``last_step``, the step that training goes on from."""
        kept = [row for row in _read_rows(path) if int(row[0]) <= last_step]
        with write_file(path) as written, written.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([HistoryRow._fields, *kept])
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)

    def __enter__(self) -> "History":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def append(self, row: HistoryRow) -> None:
        """Add one row; floats are written so that they read back the same."""
        self._writer.writerow(row)

    def flush(self) -> None:
        """Bring all rows to disk, as a checkpoint must never be ahead of the history."""
        self._file.flush()
        os.fsync(self._file.fileno())


def _read_rows(path: Path) -> list[list[str]]:
    """Return the rows without the header; a last line that was cut off is left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        lines = [line for line in file if line.endswith("\n")]
    return [row for row in csv.reader(lines[1:]) if len(row) == len(HistoryRow._fields)]


def load_history(path: Path) -> pd.DataFrame:
    """Return the history with the columns of ``HistoryRow``; a loss that was not measured is NaN.

    Python's own ``float`` reads what was written to the last bit.
    """
    rows = _read_rows(path)
    columns: dict[str, np.ndarray] = {}
    for place, (name, dtype) in enumerate(COLUMN_TYPES.items()):
        columns[name] = np.array([float(row[place] or "nan") for row in rows], np.float64).astype(dtype)
    return pd.DataFrame(columns)
