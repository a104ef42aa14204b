"""A trained model with all that its users need, copied out of a workspace."""

import os
import shutil
from pathlib import Path

from playlist_pipeline.errors import UserError
from playlist_pipeline.files import write_folder
from playlist_pipeline.generation.index import save_index
from playlist_pipeline.generation.recommender import (
    DATABASE_FILE,
    INDEX_FOLDER,
    MODEL_FOLDER,
    RERANKER_FOLDER,
    Recommender,
)
from playlist_pipeline.model.weights import CONFIG_FILE


def pack_model(workspace: str | os.PathLike[str], target: str | os.PathLike[str]) -> int:
    """Copy model, second stage, search index and catalog into a folder that ``Recommender.load`` takes.

    The folder appears under its name only when it is whole. An index that had to be built anew goes there as it is now.

    Args:
        workspace: Of a finished run.
        target: The folder; it must not exist yet.

    Returns:
        Bytes copied.

    Raises:
        UserError: The parts are missing or do not belong together, or ``target`` exists.
    """
    source, folder = Path(workspace), Path(target)
    if folder.exists():
        raise UserError(f"{folder} exists: choose another folder, or move it away")
    index = Recommender.load(source).index
    with write_folder(folder, marker=str(MODEL_FOLDER / CONFIG_FILE), kind="packed model") as written:
        for part in (MODEL_FOLDER, RERANKER_FOLDER, DATABASE_FILE):
            if (source / part).is_dir():
                shutil.copytree(source / part, written / part)
            elif (source / part).is_file():
                (written / part).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / part, written / part)
        if index is not None:
            save_index(written / INDEX_FOLDER, index)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
