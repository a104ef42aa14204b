"""Finished results as files, so that a long computation that is run again repeats none of them."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Generic, TypeVar

from playlist_pipeline.files import write_json

Result = TypeVar("Result")


class ResultStore(Generic[Result]):
    """Results by key, one JSON file for each.

    Args:
        path: The folder; it need not exist yet.
        result_type: The dataclass of a result; its fields are what JSON can hold.
    """

    def __init__(self, path: str | Path, result_type: type[Result]) -> None:
        self._path = Path(path)
        self._type = result_type

    def load(self, key: str) -> Result | None:
        """Return the result with this key; None if there is none, or its file is damaged."""
        try:
            return self._type(**json.loads((self._path / f"{key}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, key: str, result: Any) -> None:
        """Write a result, whole or not at all."""
        write_json(self._path / f"{key}.json", dataclasses.asdict(result))
