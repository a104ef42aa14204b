"""Arrays in a file of safetensors, which holds numbers alone and can run nothing."""

from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from playlist_pipeline.errors import UserError


def load_arrays(path: Path, *, advice: str) -> dict[str, np.ndarray]:
    """Read all arrays of a file.

    Args:
        path: The file.
        advice: What to do if it cannot be read; it ends the message.

    Raises:
        UserError: It is missing, damaged, or has a type of number that NumPy lacks.
    """
    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no readable safetensors file: {advice}") from error
