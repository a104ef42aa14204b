"""``SeedsDataset``: seeds for the playlists to complete, in a file of text, M3U, CSV, JSON or XSPF."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from playlist_pipeline.files import write_file

if TYPE_CHECKING:  # the room generation imports JAX
    from playlist_pipeline.generation.seed_files import SeedList


class SeedsDataset(AbstractDataset[list[list[str]], list["SeedList"]]):
    """``SeedsDataset`` loads lists of seeds from a file; ``generation.seed_files`` says what it may be.

    In a text file, one seed a line, a blank line ends a playlist, ``# `` begins a comment line (``#1 Crush`` does not),
    and the line ``<start>`` alone is a playlist without any seed. A comma is part of a name.

    Example usage for the YAML API:

    ```yaml
    seeds:
      type: playlist_pipeline.datasets.SeedsDataset
      filepath: data/01_raw/seeds.txt
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import SeedsDataset

    dataset = SeedsDataset(filepath="/tmp/seeds.txt")
    dataset.save([["Artist - Title"], []])
    assert [list(given.seeds) for given in dataset.load()] == [["Artist - Title"], []]
    ```
    """

    def __init__(self, *, filepath: str, optional: bool = False, metadata: dict[str, Any] | None = None) -> None:
        """Make the dataset.

        Args:
            filepath: The file; its suffix names the format.
            optional: A missing file holds no seeds.
            metadata: Ignored by Kedro; read by plugins.
        """
        self._filepath = Path(filepath)
        self._optional = optional
        self.metadata = metadata

    def load(self) -> "list[SeedList]":
        """Return one list of seeds for each playlist, with the playlist's name if the file gives one.

        Raises:
            UserError: The file is missing or cannot be used.
        """
        if self._optional and not self._filepath.exists():
            return []
        from playlist_pipeline.generation.seed_files import read_seed_file  # noqa: PLC0415

        return read_seed_file(self._filepath)

    def save(self, data: list[list[str]]) -> None:
        """Write one block of lines for each playlist."""
        from playlist_pipeline.generation.seed_files import START  # noqa: PLC0415

        with write_file(self._filepath) as written:
            written.write_text("\n\n".join("\n".join(seeds or [START]) for seeds in data) + "\n", "utf-8")

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "optional": self._optional}
