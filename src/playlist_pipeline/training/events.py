"""A training's figures as TensorBoard reads them."""

import math
import time
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from playlist_pipeline.training.history import HistoryRow


class ScalarEvents:
    """Appends rows to a file of TensorBoard's; use it in a ``with`` statement.

    tensorboardX' ``SummaryWriter`` writes in a thread, which ends without a word where the disk is full, and whoever
    hands it a further event then waits for ever.
    """

    def __init__(self, folder: Path, *, last_step: int) -> None:
        """Open a new file; TensorBoard forgets the events after ``last_step`` that older files hold."""
        folder.mkdir(exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"), f".{last_step}")  # two begun in one second
        self._write(Event(step=last_step + 1, session_log=SessionLog(status=SessionLog.START)))

    def __enter__(self) -> "ScalarEvents":
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def append(self, row: HistoryRow) -> None:
        """Add a row's figures, as far as they are finite."""
        for name, value in row._asdict().items():
            if name != "step" and value is not None and math.isfinite(value):
                self._write(Event(step=row.step, summary=scalar(name, value)))

    def flush(self) -> None:
        """Hand all events to the system."""
        self._writer.flush()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)
