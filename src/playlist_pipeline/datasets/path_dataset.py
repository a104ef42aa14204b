"""``PathDataset``: what datasets of one file or folder share."""

from pathlib import Path
from typing import Any, TypeVar

from kedro.io import AbstractDataset

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


class PathDataset(AbstractDataset[Saved, Loaded]):
    """Base of datasets that are one file or folder."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Make the dataset.

        Args:
            filepath: The file or folder.
            metadata: Ignored by Kedro; read by plugins.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
