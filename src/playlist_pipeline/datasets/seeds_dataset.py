"""``SeedsDataset``: seeds for the playlists to complete, as a text file."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from playlist_pipeline.errors import UserError

Seeds = list[list[str]]


class SeedsDataset(AbstractDataset[Seeds, Seeds]):
    """``SeedsDataset`` loads lists of seeds from a text file, one seed a line.

    A blank line ends a playlist, ``# `` begins a comment line (``#1 Crush`` does not), and the line ``<start>`` alone
    is a playlist without any seed. A comma is part of a name.

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
    assert dataset.load() == [["Artist - Title"], []]
    ```
    """

    START = "<start>"

    def __init__(self, *, filepath: str, optional: bool = False, metadata: dict[str, Any] | None = None) -> None:
        """Make the dataset.

        Args:
            filepath: The text file, in UTF-8.
            optional: A missing file holds no seeds.
            metadata: Ignored by Kedro; read by plugins.
        """
        self._filepath = Path(filepath)
        self._optional = optional
        self.metadata = metadata

    def load(self) -> Seeds:
        """Return one list of seeds for each playlist.

        Raises:
            UserError: The file is missing or not UTF-8.
        """
        if self._optional and not self._filepath.exists():
            return []
        try:
            lines = self._filepath.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{self._filepath} cannot be read as seeds ({error}); give a text file in UTF-8") from error
        playlists: list[list[str]] = [[]]
        for line in (line.strip() for line in lines if not (line.strip() + " ").startswith("# ")):
            if line:
                playlists[-1].append(line)
            elif playlists[-1]:
                playlists.append([])
        return [[seed for seed in seeds if seed != self.START] for seeds in playlists if seeds]

    def save(self, data: Seeds) -> None:
        """Write one block of lines for each playlist."""
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        self._filepath.write_text("\n\n".join("\n".join(seeds or [self.START]) for seeds in data) + "\n", "utf-8")

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "optional": self._optional}
