"""Lists of playlist ids that a user gives as a file."""

from pathlib import Path

import numpy as np

from playlist_pipeline.errors import UserError


def load_pids(path: str | Path, *, parameter: str) -> np.ndarray:
    """Read playlist ids (pids) from a ``.npy`` file.

    Args:
        path: The file; a pickle in it is not read.
        parameter: Which parameter named it, for errors.

    Returns:
        int64 [n], one or more, each once, in the order of the file.

    Raises:
        UserError: The file cannot be read, or holds something else.
    """
    where = f"{parameter}: {path}"
    try:
        with Path(path).open("rb") as stream:
            pids = np.lib.format.read_array(stream, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{where}: there is no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{where}: cannot be read as an array of numbers ({error}); give a .npy file") from None
    if pids.ndim != 1 or pids.dtype.kind not in "iu" or not len(pids):
        raise UserError(f"{where}: {pids.dtype}{list(pids.shape)} instead of a list of whole numbers")
    unique, times = np.unique(pids, return_counts=True)
    if len(unique) < len(pids):
        raise UserError(f"{where}: playlist id {unique[times > 1][0]} comes more than once")
    return pids.astype(np.int64)
