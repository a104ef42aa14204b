"""``SequencesDataset``: encoded playlists in memory-mapped arrays."""

from playlist_pipeline.corpus.sequences import SequenceStore, load_sequences, save_sequences
from playlist_pipeline.datasets.path_dataset import PathDataset


class SequencesDataset(PathDataset[SequenceStore, SequenceStore]):
    """``SequencesDataset`` saves the encoded playlists of each part as packed arrays and maps them into memory.

    Example usage for the YAML API:

    ```yaml
    sequences:
      type: playlist_pipeline.datasets.SequencesDataset
      filepath: data/05_model_input/sequences
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import SequencesDataset

    store = SequencesDataset(filepath="data/05_model_input/sequences").load()
    ```
    """

    def load(self) -> SequenceStore:
        """Return the store; its arrays are read-only memory maps.

        Raises:
            UserError: The folder is missing, or a file of it is cut.
        """
        return load_sequences(self._filepath)

    def save(self, data: SequenceStore) -> None:
        """Write the folder beside its place and move it there."""
        save_sequences(self._filepath, data.parts, data.vocabulary_fingerprint)

    def _exists(self) -> bool:
        return self._filepath.is_dir()
