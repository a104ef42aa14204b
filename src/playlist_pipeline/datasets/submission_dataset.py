"""``SubmissionDataset``: a submission to the RecSys Challenge 2018."""

from pathlib import Path

from playlist_pipeline.datasets.path_dataset import PathDataset
from playlist_pipeline.mpd.submission import Submission, write_submission


class SubmissionDataset(PathDataset[Submission, Path]):
    """``SubmissionDataset`` saves a submission as ``.csv.gz``, whole or not at all, and loads the path of the file.

    What is verified is the file, line by line as it lies on disk, so the path is all that a node needs.

    Example usage for the YAML API:

    ```yaml
    submission:
      type: playlist_pipeline.datasets.SubmissionDataset
      filepath: data/07_model_output/submission.csv.gz
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import SubmissionDataset
    from playlist_pipeline.mpd import Submission

    dataset = SubmissionDataset(filepath="/tmp/submission.csv.gz")
    dataset.save(Submission("my team", "main", "me@example.org", {1000000: ["spotify:track:" + "0" * 22]}))
    assert dataset.load().is_file()
    ```
    """

    def load(self) -> Path:
        """Return the path, whether or not there is a file."""
        return self._filepath

    def save(self, data: Submission) -> None:
        """Write the submission beside the file and move it into its place."""
        write_submission(self._filepath, data)

    def _exists(self) -> bool:
        return self._filepath.is_file()
