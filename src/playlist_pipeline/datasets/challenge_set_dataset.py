"""``ChallengeSetDataset``: playlists to be continued, in the format of the RecSys Challenge 2018."""

from typing import NoReturn

from kedro.io import DatasetError

from playlist_pipeline.datasets.path_dataset import PathDataset
from playlist_pipeline.mpd.challenge import ChallengeSet, read_challenge_set


class ChallengeSetDataset(PathDataset[NoReturn, ChallengeSet]):
    """``ChallengeSetDataset`` loads a challenge set and checks it.

    Example usage for the YAML API:

    ```yaml
    challenge_set:
      type: playlist_pipeline.datasets.ChallengeSetDataset
      filepath: data/01_raw/challenge_set.json
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import ChallengeSetDataset

    challenge_set = ChallengeSetDataset(filepath="data/01_raw/challenge_set.json").load()
    ```
    """

    def load(self) -> ChallengeSet:
        """Return the challenge set.

        Raises:
            UserError: The file is missing or has a defect.
        """
        return read_challenge_set(self._filepath)

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: raw data is never written."""
        raise DatasetError("a challenge set is raw data and is never written")

    def _exists(self) -> bool:
        return self._filepath.is_file()
