"""More than one device: eight simulated ones, two processes, and checkpoints that go from one to eight and back."""

import json
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest
from recipes import make_model_config, make_train_config
from train_script import train

from playlist_pipeline.corpus.vocabulary import SPECIALS
from playlist_pipeline.errors import UserError
from playlist_pipeline.training import TrainingInterrupted
from playlist_pipeline.training.devices import make_mesh

V = 1500
SCRIPT = Path(__file__).with_name("train_script.py")


@pytest.fixture(scope="module")
def given():
    """What the script is told: six steps of batches of 8, dropout and stochastic negatives included."""

    def draw(count, seed):
        rng = np.random.default_rng(seed)
        return [rng.integers(3, V, rng.integers(2, 10)).tolist() for _ in range(count)]

    model = make_model_config(
        context_length=6, num_layers=1, num_heads=2, embed_dim=4, feedforward_dim=6, positions=True, dropout=0.1
    )
    train = make_train_config(
        batch_size=8,
        learning_rate=0.01,
        num_negatives=16,
        popularity_share=0.5,
        embedding_init="normal",
        validate_every=2,
        checkpoint_every=100,
        num_epochs=100,
        max_steps=6,
    )
    return {
        "training": draw(40, 0),
        "validation": draw(10, 1),
        "uris": [*SPECIALS, *(f"spotify:track:{number}" for number in range(V - len(SPECIALS)))],
        "counts": [0, 0, 0] + [1 + number % 7 for number in range(V - len(SPECIALS))],
        "model": model.to_dict(),
        "train": train.to_dict(),
    }


def _train_here(given, root, **more):
    """Train on this process's one device."""
    return train(given | {"root": str(root)} | more)


def _run_script(given, root, **more):
    told = json.dumps(given | {"root": str(root)} | more)
    done = subprocess.run([sys.executable, str(SCRIPT)], input=told, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def alone(given, tmp_path_factory):
    """The whole training on one device."""
    return _train_here(given, tmp_path_factory.mktemp("alone"))


def _assert_close(losses, table, alone):
    np.testing.assert_allclose(losses, alone.history["loss"], rtol=1e-5)
    np.testing.assert_allclose(table, alone.model.model.embedding.table[...], atol=1e-5)


def test_a_training_goes_from_one_device_to_eight_and_back(given, alone, tmp_path):
    with pytest.raises(TrainingInterrupted, match="step 2 of 6"):
        _train_here(given, tmp_path, stop_after=2)
    assert _run_script(given, tmp_path, devices=8, stop_after=2) == {"devices": 8}
    result = _train_here(given, tmp_path)
    _assert_close(result.history["loss"], result.model.model.embedding.table[...], alone)


def test_two_processes_give_the_losses_of_one(given, alone, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"

    def run(process):
        return _run_script(given, tmp_path, devices=1, processes=2, process=process, address=address)

    with ThreadPoolExecutor() as threads:
        results = list(threads.map(run, (0, 1)))
    for result in results:
        assert result["devices"] == 2
        _assert_close(result["loss"], result["table"], alone)


LOOK = """
import json, sys
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 8)
sys.path.insert(0, sys.argv[1])
from recipes import make_model_config, make_train_config
from playlist_pipeline.training.data import Batch
from playlist_pipeline.training.devices import make_mesh, place_batch
from playlist_pipeline.training.step import CompiledSteps, make_recipe

given = json.load(sys.stdin)
found = []
for moment_dtype in ("float32", "bfloat16"):
    config = make_train_config(**(given["train"] | {"moment_dtype": moment_dtype}))
    model = make_model_config(**given["model"])
    recipe = make_recipe(model, config, counts=np.array(given["counts"]), total_steps=6)
    steps = CompiledSteps(recipe, make_mesh(batch_size=8))
    state = steps.place_state(recipe.make_state())
    batch = Batch(np.full((8, 7), 3, np.int32), np.zeros(8, np.int32))
    text = steps._train.lower(state, place_batch(batch, steps.mesh), steps._fixed).compile().as_text()
    leaves = [leaf for table in state.tables.values() for leaf in jax.tree.leaves(table)]
    shards = [[list(leaf.shape), list(leaf.addressable_shards[0].data.shape)] for leaf in leaves]
    found.append({"shards": shards, "text": text})
print(json.dumps(found))
"""


def test_no_device_ever_holds_a_whole_table(given):
    command = [sys.executable, "-c", LOOK, str(Path(__file__).parents[1] / "benchmarks")]
    done = subprocess.run(command, input=json.dumps(given), text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    for found in json.loads(done.stdout.splitlines()[-1]):
        assert found["shards"] == [[[1536, 4], [192, 4]]] * 3 + [[[1536], [192]]]
        assert re.search(r"\[192,4\]", found["text"])
        assert not re.search(r"\[1536\b", found["text"])


def test_a_batch_that_devices_cannot_share_is_refused(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 3)
    with pytest.raises(UserError, match=r"3 devices cannot share a batch of 16 playlists .* give a train.batch_size"):
        make_mesh(batch_size=16)
    monkeypatch.setattr(jax, "device_count", lambda: 128)
    with pytest.raises(UserError, match="128 devices cannot share"):
        make_mesh(batch_size=256)
