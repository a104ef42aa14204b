"""What a training step costs, and whether that grows with the vocabulary.

The row-sparse step runs beside two dense steps of the same model, optax.adamw over everything: ``dense`` obeys the
same rule, that a step whose gradient is not finite changes nothing (optax.apply_if_finite), ``dense_bare`` does not.
The floor is the fastest of the three at a vocabulary of 20,000, and the time of the step's matrix products at the
device's best rate. Every measurement runs in a child process of its own, so that its peak memory is its own,
initialisation included. Tracks are drawn uniformly, which is the hardest case: hardly any row is needed twice.

    uv run python tests/benchmarks/train_step.py
    uv run python tests/benchmarks/train_step.py --loss shared --negatives 4096
    uv run python tests/benchmarks/train_step.py --loss full_softmax
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

GB = 1e9
MPD_TRACKS = 2_262_292
SMALL = 20_000
CONTEXT = 50
# What is asked of each --loss: how negatives are drawn.
LOSSES: dict[str, dict[str, Any]] = {
    "published": {},
    "per_position": {"loss": "label_in_denominator", "correct_bias": True},
    "shared": {"loss": "label_in_denominator", "correct_bias": True, "share_negatives": True},
    "gbce": {"loss": "gbce", "share_negatives": True},
    "full_softmax": {"loss": "full_softmax", "optimizer": "dense_adamw"},
}


def _make_configs(options: argparse.Namespace, optimizer: str) -> tuple[Any, Any]:
    """Return the published recipe with what the options change."""
    from recipes import make_model_config, make_train_config  # noqa: PLC0415

    dims = dict.fromkeys(("num_layers", "num_heads", "embed_dim", "feedforward_dim"))
    model = make_model_config(
        env="mpd", size=options.size, block=options.block, compute_dtype=options.compute_dtype, **dims
    )
    changed = {
        "optimizer": optimizer,
        "moment_dtype": "float32" if optimizer == "dense_adamw" else options.moments,
        "batch_size": options.batch,
        "num_negatives": options.negatives,
        "popularity_share": options.popularity_share,
    }
    return model, make_train_config(env="mpd", **(changed | LOSSES[options.loss]))


def _choose_optimizer(options: argparse.Namespace) -> str:
    return "dense_adamw" if options.loss == "full_softmax" else options.optimizer


def _make_playlists(vocabulary: int, count: int) -> Any:
    """Return packed playlists with the MPD's mean length, all longer than the context."""
    import numpy as np  # noqa: PLC0415

    from playlist_pipeline.corpus.sequences import PackedSequences  # noqa: PLC0415

    length = 66
    tokens = np.random.default_rng(0).integers(3, vocabulary, count * length, dtype=np.int32)
    return PackedSequences(tokens, np.arange(count + 1, dtype=np.int64) * length, np.arange(count, dtype=np.int32))


def _make_batches(vocabulary: int, configs: tuple[Any, Any]) -> Any:
    """Return an iterator of training batches."""
    from playlist_pipeline.training.data import make_training_batches  # noqa: PLC0415

    model, train = configs
    return iter(make_training_batches(_make_playlists(vocabulary, 20_000), model_config=model, config=train))


def _make_recipe(vocabulary: int, configs: tuple[Any, Any]) -> Any:
    import numpy as np  # noqa: PLC0415

    from playlist_pipeline.training.step import make_recipe  # noqa: PLC0415

    counts = np.ones(vocabulary, np.int64)
    counts[:3] = 0
    return make_recipe(*configs, counts=counts, total_steps=50_000)


def _start(options: argparse.Namespace, optimizer: str, vocabulary: int) -> tuple[Any, Any, Any]:
    """Return the package's compiled steps, the first state, and an iterator of batches."""
    from playlist_pipeline.training.devices import make_mesh  # noqa: PLC0415
    from playlist_pipeline.training.step import CompiledSteps  # noqa: PLC0415

    configs = _make_configs(options, optimizer)
    recipe = _make_recipe(vocabulary, configs)
    steps = CompiledSteps(recipe, make_mesh(batch_size=options.batch))
    return steps, steps.place_state(recipe.make_state()), _make_batches(vocabulary, configs)


def _time_steps(take: Callable[[], Any], count: int) -> dict[str, Any]:
    """Return the times of ``count`` calls of ``take``, which takes a step and returns its loss last."""
    import jax  # noqa: PLC0415

    seconds = []
    for number in range(count + 2):
        start = time.perf_counter()
        done = jax.block_until_ready(take())
        if number >= 2:  # the first compiles, the second warms up
            seconds.append(time.perf_counter() - start)
    return {
        "seconds": statistics.median(seconds),
        "fastest": min(seconds),
        "slowest": max(seconds),
        "loss": float(done[-1]),
        "device": str(jax.devices()[0]),
    }


def _time_package(options: argparse.Namespace, optimizer: str, vocabulary: int, count: int) -> dict[str, Any]:
    steps, state, batches = _start(options, optimizer, vocabulary)

    def take() -> Any:
        nonlocal state
        state, metrics = steps.train(state, next(batches))
        return state, metrics.loss

    return _time_steps(take, count) | {"compilations": steps.num_compilations}


def _time_dense(options: argparse.Namespace, vocabulary: int, count: int, *, guarded: bool) -> dict[str, Any]:
    from dense import DenseSteps  # noqa: PLC0415

    configs = _make_configs(options, "adamw")
    recipe = _make_recipe(vocabulary, configs)
    steps = DenseSteps(recipe, guarded=guarded)
    state, batches = steps.start(recipe.make_state()), _make_batches(vocabulary, configs)

    def take() -> Any:
        nonlocal state
        state, loss = steps.train(state, next(batches))
        return state, loss

    return _time_steps(take, count)


def run_sparse(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the row-sparse step."""
    return _time_package(options, options.optimizer, options.vocabulary, options.steps)


def run_full(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the step of the full softmax, whose gradient is dense."""
    return _time_package(options, "dense_adamw", options.vocabulary, max(options.steps // 8, 3))


def run_dense(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the same model and loss with optax.adamw over everything, under the rule about what is not finite."""
    return _time_dense(options, options.vocabulary, max(options.steps // 4, 3), guarded=True)


def run_dense_bare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the same without that rule."""
    return _time_dense(options, options.vocabulary, max(options.steps // 4, 3), guarded=False)


def run_small_sparse(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the row-sparse step at the small vocabulary."""
    return _time_package(options, options.optimizer, SMALL, options.steps)


def run_small_full(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the step of the full softmax at the small vocabulary."""
    return _time_package(options, "dense_adamw", SMALL, max(options.steps // 8, 3))


def run_small_dense(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the dense step at the small vocabulary."""
    return _time_dense(options, SMALL, options.steps, guarded=True)


def run_small_dense_bare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the bare dense step at the small vocabulary."""
    return _time_dense(options, SMALL, options.steps, guarded=False)


def run_checkpoint(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the saving of a checkpoint after a step, for what it adds to the memory."""
    from playlist_pipeline.training.checkpoints import CheckpointStore  # noqa: PLC0415

    steps, state, batches = _start(options, _choose_optimizer(options), options.vocabulary)
    state, _ = steps.train(state, next(batches))
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        CheckpointStore(folder).run("0" * 64, {}, keep_checkpoints=1) as run,
    ):
        start = time.perf_counter()
        run.save(state, batches, seconds=0.0)
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {"seconds": seconds, "bytes": size}


def run_loader(options: argparse.Namespace) -> dict[str, Any]:
    """Measure how long the loader takes for a batch, with nothing beside it."""
    batches = _make_batches(options.vocabulary, _make_configs(options, _choose_optimizer(options)))
    for _ in range(20):
        next(batches)
    start = time.perf_counter()
    count = 500
    for _ in range(count):
        next(batches)
    return {"seconds": (time.perf_counter() - start) / count}


def run_matmul(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the device's rate in large matrix products."""
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    size = 2048
    left, right = jnp.ones((2, size, size), options.compute_dtype)
    multiply = jax.jit(lambda left, right: left @ right)
    seconds = _time_calls(lambda: multiply(left, right), 10)
    return {"seconds": seconds, "flops_per_second": 2 * size**3 / seconds}


def _time_calls(function: Callable[[], Any], count: int) -> float:
    """Return the median time of a call, after one that compiles."""
    import jax  # noqa: PLC0415

    seconds = []
    for number in range(count + 1):
        start = time.perf_counter()
        jax.block_until_ready(function())
        if number:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _make_loss_inputs(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    import jax  # noqa: PLC0415

    from playlist_pipeline.model.embedding import draw_normal_rows  # noqa: PLC0415

    model, _ = _make_configs(options, "dense_adamw")
    key = jax.random.key(0)
    hidden = jax.random.normal(key, (options.batch, CONTEXT, model.embed_dim)).astype(options.compute_dtype)
    table = draw_normal_rows(key, options.vocabulary, model.embed_dim, stddev=0.02)
    labels = jax.random.randint(key, (options.batch, CONTEXT), 1, options.vocabulary)
    return hidden, table, labels


def run_full_loss(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the full softmax alone, forward and backward."""
    import jax  # noqa: PLC0415

    from playlist_pipeline.model.losses import full_softmax_loss, score_labels  # noqa: PLC0415

    hidden, table, labels = _make_loss_inputs(options)

    def average(hidden: jax.Array, table: jax.Array) -> jax.Array:
        label_scores = score_labels(hidden, table[labels])
        return full_softmax_loss(hidden, label_scores, table, vocabulary_size=options.vocabulary).mean()

    function = jax.jit(jax.value_and_grad(average, (0, 1)))
    return {"seconds": _time_calls(lambda: function(hidden, table), 3)}


def run_full_matmuls(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the matrix products of the full softmax alone, in the same chunks: logits twice, and two gradients."""
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    from playlist_pipeline.model.losses import CHUNK_SIZE  # noqa: PLC0415

    hidden, table, _ = _make_loss_inputs(options)
    flat = hidden.reshape(-1, hidden.shape[-1])
    multiply = jax.jit(lambda left, right: jnp.matmul(left, right, preferred_element_type=jnp.float32))
    rows = table[:CHUNK_SIZE].astype(flat.dtype)
    weights = multiply(flat, rows.T).astype(flat.dtype)
    columns, turned = jnp.array(rows.T), jnp.array(weights.T)
    chunks = -(-options.vocabulary // CHUNK_SIZE)
    products = [(flat, columns), (flat, columns), (weights, rows), (turned, flat)]
    seconds = [_time_calls(lambda pair=pair: multiply(*pair), 200) for pair in products]
    return {"seconds": chunks * sum(seconds), "each": seconds}


def _count_flops(options: argparse.Namespace) -> float:
    """Return a step's floating-point operations in matrix products, forward and backward (three times forward)."""
    model, train = _make_configs(options, _choose_optimizer(options))
    width, inner, tokens = model.embed_dim, model.feedforward_dim, options.batch * CONTEXT
    inner_products = 3 if model.block == "ligr" else 2
    layer = 2 * tokens * (4 * width**2 + inner_products * width * inner + 2 * CONTEXT * width)
    if model.block == "ligr":
        layer += 2 * tokens * 2 * width**2
    scored = options.vocabulary if train.loss == "full_softmax" else options.negatives
    times = 4 if train.loss == "full_softmax" else 3  # the chunked logits are computed twice
    return 3 * model.num_layers * layer + times * 2 * tokens * scored * width


STEPS = {name.removeprefix("run_"): function for name, function in list(globals().items()) if name.startswith("run_")}


def _run_child(step: str, options: argparse.Namespace) -> dict[str, Any]:
    print(f"{step} ...", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--child", step, *sys.argv[1:]]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run all children, those that are divided by each other in turns, and relate them."""
    full = options.loss == "full_softmax"
    main, rivals, small = ("full", ["full_loss", "full_matmuls"], ["small_full"])
    if not full:
        main, rivals = "sparse", ["dense", "dense_bare"]
        small = ["small_sparse", "small_dense", "small_dense_bare"]
    found: dict[str, Any] = {}
    for _ in range(options.repeat):
        for step in [main, *rivals, *small]:
            run = _run_child(step, options)
            if step not in found or run["seconds"] < found[step]["seconds"]:
                found[step] = run
    for step in ["matmul", "loader", *([] if options.skip_checkpoint else ["checkpoint"])]:
        found[step] = _run_child(step, options)
    seconds = found[main]["seconds"]
    matmul_seconds = _count_flops(options) / found["matmul"]["flops_per_second"]
    floor = min(found[name]["seconds"] for name in small)
    result = {
        "vocabulary": options.vocabulary,
        "batch": options.batch,
        "loss": options.loss,
        "negatives": None if full else options.negatives,
        "size": options.size,
        "moments": options.moments,
        "compute_dtype": options.compute_dtype,
        "device": found[main]["device"],
        "cpus": os.cpu_count(),
        "step_seconds": seconds,
        "tokens_per_second": options.batch * CONTEXT / seconds,
        "speedup_over_dense": None if full else found["dense"]["seconds"] / seconds,
        "speedup_over_dense_bare": None if full else found["dense_bare"]["seconds"] / seconds,
        "over_small_vocabulary": seconds / floor,
        "over_matmul_floor": seconds / matmul_seconds,
        "step_over_loader": seconds / found["loader"]["seconds"],
        "peak_rss_gb": found[main]["peak_rss_gb"],
        "compilations": found[main]["compilations"],
        "steps": found,
    }
    if full:
        result["loss_over_matmuls"] = found["full_loss"]["seconds"] / found["full_matmuls"]["seconds"]
    return result


def _print_table(result: dict[str, Any]) -> None:
    negatives = "" if result["negatives"] is None else f", {result['negatives']:,} negatives"
    print(
        f"{result['vocabulary']:,} tokens, batch {result['batch']}, loss {result['loss']}{negatives}, "
        f"{result['size']}, moments {result['moments']}, {result['compute_dtype']}, {result['device']}, "
        f"{result['cpus']} cores\n"
    )
    print(f"{'':<18}{'median s':>10}{'fastest':>10}{'slowest':>10}{'peak GB':>10}")
    for name, step in result["steps"].items():
        spread = "".join(f"{step[key]:>10.4f}" if key in step else " " * 10 for key in ("fastest", "slowest"))
        print(f"{name:<18}{step['seconds']:>10.4f}{spread}{step['peak_rss_gb']:>10.2f}")
    print(f"\n{result['tokens_per_second']:,.0f} tokens/s, {result['compilations']} compilation, ", end="")
    print(f"at most {result['peak_rss_gb']:.2f} GB")
    if result["speedup_over_dense"]:
        print(
            f"{result['speedup_over_dense']:.1f} times as fast as the dense step under the same rules, "
            f"{result['speedup_over_dense_bare']:.1f} times as fast as the bare one"
        )
    print(
        f"{result['over_small_vocabulary']:.2f} times the step at {SMALL:,} tokens, "
        f"{result['over_matmul_floor']:.1f} times its matrix products at the device's best rate; "
        f"the loader is {result['step_over_loader']:.0f} times as fast"
    )
    if "loss_over_matmuls" in result:
        print(f"the loss takes {result['loss_over_matmuls']:.2f} times its own matrix products")


def main() -> int:
    """Run the benchmark, or one child of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=MPD_TRACKS)
    parser.add_argument("--loss", choices=LOSSES, default="published")
    parser.add_argument("--negatives", type=int, default=20, help="for each position, or for the step if shared")
    parser.add_argument("--popularity-share", type=float, default=0.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", choices=("small", "medium", "large"), default="medium")
    parser.add_argument("--block", choices=("relu", "ligr"), default="relu")
    parser.add_argument("--optimizer", choices=("adamw", "lazy_adamw", "adagrad"), default="adamw")
    parser.add_argument("--moments", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--compute-dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--steps", type=int, default=40, help="steps behind each median; fewer of dense ones")
    parser.add_argument("--repeat", type=int, default=2, help="turns, of which the better counts")
    parser.add_argument("--skip-checkpoint", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the checkpoint is written; a temporary folder if not given")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--child", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.moments == "bfloat16" and options.optimizer == "adagrad":
        parser.error("adagrad has no moments: leave --moments out")
    if options.child:
        result = STEPS[options.child](options)
        result["peak_rss_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB
        print(json.dumps(result))
        return 0
    result = _measure(options)
    _print_table(result)
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
