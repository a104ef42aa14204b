"""The exact and sampled loss of a held-out part, against plain float64 arithmetic."""

import dataclasses
import math

import jax
import numpy as np
import pyarrow as pa
import pytest
from flax import nnx
from recipes import make_evaluate_config, make_model_config, make_train_config

from playlist_pipeline.corpus.vocabulary import EOP, SPECIALS, UNK, Vocabulary
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.loss import measure_loss
from playlist_pipeline.model.embedding import SideIndex, TableParam
from playlist_pipeline.model.transformer import Transformer
from playlist_pipeline.model.weights import LoadedModel
from playlist_pipeline.training.data import frame_for_validation

V = 25
PLAYLISTS = [np.array(tracks, np.int32) for tracks in ([3, 4, 5], [6, 7, 8, 9, UNK, 11, 3], [12], [5, 20, 24], [8, 8])]


@pytest.fixture(scope="module")
def vocabulary():
    uris = [*SPECIALS, *(f"spotify:track:{number}" for number in range(V - len(SPECIALS)))]
    return Vocabulary(pa.array(uris), np.array([0, 0, 0, *range(1, V - 2)]))


def _make_config(**changed):
    return make_evaluate_config(**({"batch_size": 2} | changed))


def _make_loaded(vocabulary, options, **train):
    cfg = make_model_config(context_length=6, num_layers=1, num_heads=2, embed_dim=8, feedforward_dim=6, **options)
    side = {"artist": SideIndex(np.arange(V, dtype=np.int32) % 4, 4)} if cfg.artist_embeddings else {}
    model = Transformer(cfg, vocabulary_size=V, side=side, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    tables = nnx.state(model, TableParam)
    nnx.update(model, jax.tree.map(lambda table: 0.5 * rng.normal(size=table.shape).astype(np.float32), tables))
    return LoadedModel(model, cfg, vocabulary, {"train": make_train_config(**train).to_dict()})


def _list_losses(loaded, playlists):
    """Return exact losses of all labels, and whether each is ``<unk>``, one playlist after the other."""
    table = np.asarray(loaded.model.scoring.vectors(), np.float64)
    losses, are_unk = [], []
    for tracks in playlists:
        tokens, given = frame_for_validation(tracks, loaded.config)
        hidden = np.asarray(loaded.model(tokens[None, :-1], np.arange(6)[None] <= given), np.float64)[0]
        for place, label in enumerate(tokens[1:]):
            is_seen = not loaded.config.causal and label >= len(SPECIALS) and label in tokens[: given + 1]
            if place >= given and not is_seen:
                logits = hidden[place if loaded.config.causal else given] @ table.T
                losses.append(np.log(np.exp(logits[1:]).sum()) - logits[label])
                are_unk.append(label == UNK)
            if label == EOP:
                break
    return np.array(losses), np.array(are_unk)


@pytest.mark.parametrize(
    "options",
    [{}, {"tied_output": False}, {"artist_embeddings": True, "tied_output": False}, {"causal": False}],
    ids=["default", "separate output", "side tables", "no causal mask"],
)
def test_exact_loss_equals_plain_arithmetic(options, vocabulary):
    loaded = _make_loaded(vocabulary, options)
    found = measure_loss(loaded, PLAYLISTS, _make_config())
    losses, are_unk = _list_losses(loaded, PLAYLISTS)
    assert (found["labels"], found["unk_labels"]) == (len(losses), are_unk.sum())
    assert found["exact"] == pytest.approx(losses.mean(), rel=1e-5)
    assert found["exact_known"] == pytest.approx(losses[~are_unk].mean(), rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(losses.mean()), rel=1e-4)


def test_the_sampled_loss_is_that_of_training(vocabulary):
    many = measure_loss(_make_loaded(vocabulary, {}, num_negatives=20_000), PLAYLISTS, _make_config())
    assert many["sampled"] == pytest.approx(many["exact"], abs=0.01)
    full = _make_loaded(vocabulary, {}, loss="full_softmax", optimizer="dense_adamw")
    found = measure_loss(full, PLAYLISTS, _make_config())
    assert found["sampled"] == found["exact"]


def test_batch_size_changes_nothing_and_max_playlists_takes_the_first(vocabulary):
    loaded = _make_loaded(vocabulary, {})
    whole = measure_loss(loaded, PLAYLISTS, _make_config(batch_size=5))
    in_parts = measure_loss(loaded, PLAYLISTS, _make_config(batch_size=2))
    assert in_parts["exact"] == pytest.approx(whole["exact"], rel=1e-6)
    first = measure_loss(loaded, PLAYLISTS, _make_config(max_playlists=3))
    assert first["exact"] == pytest.approx(_list_losses(loaded, PLAYLISTS[:3])[0].mean(), rel=1e-5)


def test_without_labels_there_is_no_loss(vocabulary):
    found = measure_loss(_make_loaded(vocabulary, {}), [], _make_config())
    losses = dict.fromkeys(("sampled", "exact", "exact_known", "perplexity"))
    assert found == losses | {"labels": 0, "unk_labels": 0}


@pytest.mark.parametrize(
    "meta", [{}, {"train": None}, {"train": {"seed": 1}}, {"train": make_train_config().to_dict() | {"loss": 5}}]
)
def test_a_model_that_does_not_say_how_it_was_trained_is_refused(vocabulary, meta):
    loaded = dataclasses.replace(_make_loaded(vocabulary, {}), meta=meta)
    with pytest.raises(UserError, match=r"^the model does not say how it was trained \(.*: make it again with "):
        measure_loss(loaded, PLAYLISTS, _make_config())
