"""Whether row-sparse training gives a model as good as dense training does.

The same recipe is trained with rows that catch up, and with optax.adamw over everything, on the same batches, negatives
and dropout masks; for each seed the exact losses of both models on the test part are compared. Both compute the same
but for rounding, which grows over a training as everything in it does; so this asks for equal quality, not equal
weights.

    uv run python tests/benchmarks/optimizer_parity.py
    uv run python tests/benchmarks/optimizer_parity.py --archive ../shared/data/real_playlists.zip
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
from dense import DenseSteps
from recipes import make_evaluate_config, make_model_config, make_train_config

from playlist_pipeline.config import ModelConfig, TrainConfig
from playlist_pipeline.corpus.sequences import Playlists
from playlist_pipeline.corpus.vocabulary import Vocabulary
from playlist_pipeline.datasets import SequencesDataset, TableDataset
from playlist_pipeline.evaluation.loss import measure_loss
from playlist_pipeline.model.transformer import Transformer
from playlist_pipeline.model.weights import LoadedModel
from playlist_pipeline.training.data import count_steps, make_training_batches
from playlist_pipeline.training.devices import make_mesh
from playlist_pipeline.training.step import CompiledSteps, Recipe, make_first_state, make_recipe

PROJECT = Path(__file__).parents[2]


def read_data(archive: Path | None, workspace: Path) -> tuple[Playlists, Playlists, Vocabulary]:
    """Run the data pipelines on an archive, the bundled sample if None; return training and test part, and tokens."""
    command = [sys.executable, "-m", "kedro", "run", "--pipelines", "extract,split,vocabulary"]
    parameters = [f"workspace={workspace}"] + ([f"archive={archive}"] if archive else [])
    command += ["--params", ",".join(parameters)]
    subprocess.run(command, cwd=PROJECT, env=os.environ | {"DO_NOT_TRACK": "1"}, stdout=sys.stderr, check=True)
    table = TableDataset(filepath=str(workspace / "04_feature" / "vocabulary.parquet")).load()
    vocabulary = Vocabulary.from_table(table)
    sequences = SequencesDataset(filepath=str(workspace / "05_model_input" / "sequences")).load()
    return sequences.source("train", vocabulary), sequences.source("test", vocabulary), vocabulary


def train_rows(recipe: Recipe, training: Playlists, vocabulary: Vocabulary, total_steps: int) -> Transformer:
    """Train with the package's row-sparse step."""
    steps = CompiledSteps(recipe, make_mesh(batch_size=recipe.config.batch_size))
    state = steps.place_state(make_first_state(recipe, training, vocabulary))
    batches = iter(make_training_batches(training, model_config=recipe.model_config, config=recipe.config))
    for _ in range(total_steps):
        state, metrics = steps.train(state, next(batches))
        metrics.loss.block_until_ready()
    return recipe.extract_model(state)


def train_densely(recipe: Recipe, training: Playlists, vocabulary: Vocabulary, total_steps: int) -> Transformer:
    """Train with optax.adamw over everything, from the same first weights."""
    steps = DenseSteps(recipe, guarded=False)
    state = steps.start(make_first_state(recipe, training, vocabulary))
    batches = iter(make_training_batches(training, model_config=recipe.model_config, config=recipe.config))
    for _ in range(total_steps):
        state, loss = steps.train(state, next(batches))
        loss.block_until_ready()
    return steps.extract_model(state)


def compare(
    data: tuple[Playlists, Playlists, Vocabulary], model_config: ModelConfig, config: TrainConfig
) -> dict[str, Any]:
    """Train both ways with one seed; return exact test losses in nats, and times."""
    training, test, vocabulary = data
    evaluate_config = make_evaluate_config(max_playlists=None)
    total_steps = count_steps(len(training), config)
    recipe = make_recipe(model_config, config, counts=vocabulary.counts, total_steps=total_steps)
    found: dict[str, Any] = {"seed": config.seed, "steps": total_steps}
    for name, train in (("rows", train_rows), ("dense", train_densely)):
        start = time.perf_counter()
        model = train(recipe, training, vocabulary, total_steps)
        found[f"{name}_seconds"] = time.perf_counter() - start
        loaded = LoadedModel(model=model, config=model_config, vocabulary=vocabulary, meta={"train": config.to_dict()})
        found[name] = measure_loss(loaded, test, evaluate_config)["exact"]
        jax.clear_caches()
        print(f"seed {config.seed}, {name}: {found[name]:.5f}", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, help="the bundled sample if not given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--env", choices=("base", "mpd"), default="base", help="whose recipe")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    archive = options.archive.resolve() if options.archive else None
    with tempfile.TemporaryDirectory() as workspace:
        data = read_data(archive, Path(workspace))
        runs = [
            compare(data, make_model_config(env=options.env), make_train_config(env=options.env, seed=seed))
            for seed in range(options.seeds)
        ]
    differences = [run["rows"] - run["dense"] for run in runs]
    result = {
        "archive": options.archive.name if options.archive else "bundled sample",
        "recipe": options.env,
        "vocabulary": len(data[2]),
        "runs": runs,
        "mean_difference": statistics.mean(differences),
        "largest_difference": max(differences, key=abs),
    }
    print(f"{result['archive']}, recipe {options.env}, {result['vocabulary']:,} tokens, {runs[0]['steps']} steps\n")
    print(f"{'seed':<6}{'rows':>10}{'dense':>10}{'difference':>12}{'seconds':>10}{'dense':>8}")
    for run, difference in zip(runs, differences, strict=True):
        print(
            f"{run['seed']:<6}{run['rows']:>10.5f}{run['dense']:>10.5f}{difference:>+12.5f}"
            f"{run['rows_seconds']:>10.0f}{run['dense_seconds']:>8.0f}"
        )
    print(f"\nexact test losses in nats; mean difference {result['mean_difference']:+.5f}")
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
