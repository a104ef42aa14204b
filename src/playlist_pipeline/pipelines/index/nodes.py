"""Nodes of the index pipeline.

JAX and faiss are imported inside the functions: Kedro imports this module on every command.
"""

from typing import Any

from playlist_pipeline.config import IndexConfig


def build_index(model: Any, config: IndexConfig) -> Any:
    """Choose how the model's tracks are searched, and build the index where that takes one.

    Args:
        model: The ``LoadedModel``.
        config: The settings.

    Returns:
        The ``SearchIndex``.
    """
    from playlist_pipeline.generation.index import build_index as build  # noqa: PLC0415
    from playlist_pipeline.model.transformer import fold_side_information  # noqa: PLC0415

    return build(fold_side_information(model.model).scoring.table[...], config)
