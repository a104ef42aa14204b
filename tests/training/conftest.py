"""A tiny training: playlists, vocabulary, and both configurations."""

import jax
import numpy as np
import pyarrow as pa
import pytest
from recipes import make_model_config
from recipes import make_train_config as make_config

from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary

NUM_TRACKS = 12


@pytest.fixture(scope="session")
def make_playlists():
    """Return a function that makes ``count`` playlists of 1 to 9 tracks, tokens 3 to 14."""

    def make(count, seed=0):
        rng = np.random.default_rng(seed)
        return [rng.integers(3, 3 + NUM_TRACKS, rng.integers(1, 10)).astype(np.int32) for _ in range(count)]

    return make


@pytest.fixture(scope="session")
def vocabulary():
    uris = [*SPECIALS, *(f"spotify:track:{number}" for number in range(NUM_TRACKS))]
    return Vocabulary(pa.array(uris), np.array([0, 0, 0] + [1] * NUM_TRACKS))


@pytest.fixture(scope="session")
def model_config():
    return make_model_config(
        context_length=6, num_layers=1, num_heads=2, embed_dim=4, feedforward_dim=6, positions=True, dropout=0.1
    )


@pytest.fixture(scope="session")
def make_train_config():
    """Return a function that makes a TrainConfig; keywords replace what they name."""

    def make(**changed):
        fields = {
            "seed": 3,
            "num_epochs": 2,
            "batch_size": 4,
            "learning_rate": 0.01,
            "table_learning_rate": None,
            "num_negatives": 5,
            "unk_rate": 0.05,
            "shuffle_tracks": False,
            "embedding_init": "normal",
            "validate_every": 2,
            "checkpoint_every": 2,
        }
        return make_config(**(fields | changed))

    return make


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Keep compiled steps for the session: most tests here train the same tiny model anew."""
    cache = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    former = {name: getattr(jax.config, name) for name in cache}
    for name, value in cache.items():
        jax.config.update(name, value)
    yield
    for name, value in former.items():
        jax.config.update(name, value)
