"""A trained model as a folder, without pickle.

It holds ``config.json``, ``weights.safetensors``, ``vocabulary.parquet``, ``side_information.parquet`` and the digests
of them all; side information may be missing if the model has no side tables.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
from flax import nnx

from playlist_pipeline.config import ConfigError, ModelConfig
from playlist_pipeline.corpus.side_information import SideInformation, bucket_durations
from playlist_pipeline.corpus.vocabulary import Vocabulary
from playlist_pipeline.digests import check_digests, read_json_object, write_digests
from playlist_pipeline.errors import UserError
from playlist_pipeline.files import write_folder
from playlist_pipeline.model.arrays import load_arrays
from playlist_pipeline.model.embedding import index_side_tables
from playlist_pipeline.model.transformer import Transformer, list_side_tables

FORMAT = 3
ADVICE = "make it again with `kedro run --pipelines=train`, or take a whole copy of it"
TOGETHER = "keep the files of one model together"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.safetensors"
VOCABULARY_FILE = "vocabulary.parquet"
SIDE_FILE = "side_information.parquet"
OWN_FIELDS = ("format", "model", "vocabulary_size", "vocabulary_fingerprint")


@dataclass(frozen=True)
class LoadedModel:
    """What a model folder holds.

    Attributes:
        model: The transformer with its trained weights.
        config: Its shape.
        vocabulary: What its tokens mean.
        meta: What the saver added to ``config.json``.
        side_information: Artist, album and duration of the tokens; None if the folder does not have them.
    """

    model: Transformer
    config: ModelConfig
    vocabulary: Vocabulary
    meta: dict[str, Any]
    side_information: SideInformation | None = None

    def embed_unseen(
        self,
        artist_uris: Sequence[str],
        album_uris: Sequence[str],
        durations_ms: Sequence[int],
        *,
        scoring: bool = False,
    ) -> jax.Array:
        """Return vectors of tracks that training has never seen, from what else is known of them: float32 [n, D].

        Args:
            artist_uris: Of each track; one that training has not seen either counts as unknown.
            album_uris: Likewise.
            durations_ms: Likewise.
            scoring: Return the vectors that hidden states are multiplied with, not those that the model reads; with a
                tied output they are the same.

        Raises:
            UserError: The model has no side tables.
        """
        if self.side_information is None or not list_side_tables(self.config):
            raise UserError(
                "this model knows tracks by their own vectors alone: train one with model.artist_embeddings=true"
            )
        side, cfg = self.side_information, self.config
        rows = {
            "artist": lambda: side.find_artists(artist_uris),
            "album": lambda: side.find_albums(album_uris),
            "popularity": lambda: np.zeros(len(artist_uris), np.int32),
            "duration": lambda: bucket_durations(np.asarray(durations_ms), cfg.duration_buckets),
        }
        embedding = self.model.scoring if scoring else self.model.embedding
        return embedding.embed_unseen({name: rows[name]() for name in list_side_tables(cfg)})


def name_parameters(model: nnx.Module) -> dict[str, nnx.Variable]:
    """Return the model's parameters by dotted path, such as ``blocks.0.attention.output.kernel``."""
    return {".".join(str(part) for part in path): value for path, value in nnx.to_flat_state(nnx.state(model))}


def save_model(path: str | os.PathLike[str], loaded: LoadedModel) -> None:
    """Write a model folder; it appears under its name only when it is whole, and replaces an older one.

    Args:
        path: The folder.
        loaded: The model with all that belongs to it; its ``meta`` goes to ``config.json``.

    Raises:
        ValueError: ``meta`` has a key that ``config.json`` uses itself, or the vocabulary has another size.
        UserError: ``path`` exists and is no model folder.
    """
    model, vocabulary, extra = loaded.model, loaded.vocabulary, loaded.meta
    config = {
        "format": FORMAT,
        "model": model.cfg.to_dict(),
        "vocabulary_size": len(vocabulary),
        "vocabulary_fingerprint": vocabulary.fingerprint,
    }
    if clash := config.keys() & extra.keys():
        raise ValueError(f"meta must not have the keys {sorted(clash)}")
    if len(vocabulary) != model.embedding.table.shape[0]:
        raise ValueError(f"the vocabulary has {len(vocabulary)} tokens, the model {model.embedding.table.shape[0]}")
    with write_folder(path, marker=CONFIG_FILE, kind="model folder") as folder:
        arrays = {name: np.asarray(value[...]) for name, value in name_parameters(model).items()}
        safetensors.numpy.save_file(arrays, folder / WEIGHTS_FILE)
        pq.write_table(vocabulary.to_table(), folder / VOCABULARY_FILE, compression="zstd")
        if loaded.side_information is not None:
            pq.write_table(loaded.side_information.table, folder / SIDE_FILE, compression="zstd")
        (folder / CONFIG_FILE).write_text(json.dumps(config | extra, indent=2, ensure_ascii=False) + "\n", "utf-8")
        write_digests(folder)


def load_model(path: str | os.PathLike[str]) -> LoadedModel:
    """Read a model folder that ``save_model`` wrote.

    Raises:
        UserError: A file is missing, unreadable, or not as it was written, or the files do not belong together.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give that of a trained model, or train one first")
    check_digests(folder, advice=ADVICE)
    meta = _read_config(folder / CONFIG_FILE)
    config = _read_model_config(folder / CONFIG_FILE, meta)
    vocabulary = _read_vocabulary(folder / VOCABULARY_FILE, meta)
    needs_side = bool(list_side_tables(config)) or (folder / SIDE_FILE).exists()
    side = _read_side_information(folder / SIDE_FILE, vocabulary) if needs_side else None
    indices = index_side_tables(config, side, vocabulary)
    model = _read_weights(
        folder / WEIGHTS_FILE,
        lambda: Transformer(config, vocabulary_size=len(vocabulary), side=indices, rngs=nnx.Rngs(0)),
    )
    extra = {key: value for key, value in meta.items() if key not in OWN_FIELDS}
    return LoadedModel(model=model, config=config, vocabulary=vocabulary, meta=extra, side_information=side)


def _read_config(path: Path) -> dict[str, Any]:
    meta = read_json_object(path, advice=ADVICE)
    missing = [key for key in OWN_FIELDS if key not in meta]
    if missing:
        raise UserError(f"{path}: field {missing[0]} is missing: {ADVICE}")
    if meta["format"] != FORMAT:
        raise UserError(f"{path}: format {meta['format']!r} is unknown, {FORMAT} is expected: {ADVICE}")
    return meta


def _read_model_config(path: Path, meta: dict[str, Any]) -> ModelConfig:
    if not isinstance(meta["model"], dict):
        raise UserError(f"{path}: field model is no JSON object: {ADVICE}")
    try:
        return ModelConfig(**meta["model"])
    except (ConfigError, TypeError) as error:
        raise UserError(f"{path}: field model does not describe a model ({error}): {ADVICE}") from error


def _read_vocabulary(path: Path, meta: dict[str, Any]) -> Vocabulary:
    table = _read_table(path, meta["vocabulary_size"])
    try:
        vocabulary = Vocabulary.from_table(table)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if vocabulary.fingerprint != meta["vocabulary_fingerprint"]:
        raise UserError(f"{path} is not the vocabulary that {CONFIG_FILE} names: {TOGETHER}")
    return vocabulary


def _read_side_information(path: Path, vocabulary: Vocabulary) -> SideInformation:
    table = _read_table(path, len(vocabulary))
    try:
        side = SideInformation(table)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if side.vocabulary != vocabulary.fingerprint:
        raise UserError(f"{path} does not fit {VOCABULARY_FILE}: {TOGETHER}")
    return side


def _read_table(path: Path, num_rows: Any) -> pa.Table:
    """Read a Parquet file that has so many rows."""
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows != num_rows:
                raise UserError(f"{path} has {file.metadata.num_rows} rows, not {num_rows!r}: {TOGETHER}")
            return file.read()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is no readable Parquet file: {ADVICE}") from error


def _read_weights(path: Path, make_model: Callable[[], Transformer]) -> Transformer:
    arrays = load_arrays(path, advice=ADVICE)
    model = nnx.eval_shape(make_model)
    expected = name_parameters(model)
    if odd := sorted(expected.keys() ^ arrays.keys()):
        raise UserError(f"{path}: weights {odd[0]!r} do not fit {CONFIG_FILE}: {TOGETHER}")
    for name, variable in expected.items():
        array = arrays[name]
        if array.shape != variable.shape or array.dtype != variable.dtype:
            raise UserError(
                f"{path}: weights {name} are {array.dtype}{list(array.shape)}, {CONFIG_FILE} asks for "
                f"{variable.dtype}{list(variable.shape)}: {TOGETHER}"
            )
        if not np.isfinite([array.min(), array.max()]).all():
            raise UserError(f"{path}: weights {name} are not all finite: {ADVICE}")
        variable.set_value(jax.numpy.asarray(array))
    return model
