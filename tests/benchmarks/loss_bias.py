"""How far the sampled softmax losses are from the exact one on average, with and without the correction of their bias.

The problem is fixed and random. Counts fall as 1 / rank (Zipf). A token's logit is a multiple of its log count, the
same at all positions, plus normal noise; together they have the standard deviation --spread. At the default slope of 1
the logits hold the tokens' base rates, as a trained model's do; at 0 they know nothing of the counts. Labels are drawn
in proportion to the softmax, as if the model were calibrated. The exact loss is computed in float64.

A draw is one set of negatives for all positions, and its error the mean over these of sampled minus exact loss. The
table shows the mean error of the draws in nats, with its standard error. gBCE is not here: it estimates no softmax.

    uv run python tests/benchmarks/loss_bias.py
    uv run python tests/benchmarks/loss_bias.py --negatives 20 200 4096 --slope 0 --spread 3
"""

import argparse
import json
import sys
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from playlist_pipeline.model.losses import (
    FIRST_CANDIDATE,
    SOFTMAX_FORMS,
    NegativeSampler,
    make_sampler,
    sampled_softmax_loss,
    score_labels,
    score_negatives,
)

WIDTH = 128
SHARES = {"uniform": 0.0, "by popularity": 1.0, "mixed half": 0.5}
COLUMNS = [
    (f"{name} {form}", form, correct)
    for form in reversed(SOFTMAX_FORMS)
    for name, correct in (("naive", False), ("corrected", True))
]


class Problem(NamedTuple):
    """Hidden states [1, T, D], rows [V, D], labels [1, T], counts [V], and the exact loss."""

    hidden: np.ndarray
    table: np.ndarray
    labels: np.ndarray
    counts: np.ndarray
    exact: float


def make_problem(options: argparse.Namespace) -> Problem:
    """Return the problem of a seed; hidden states have the norm sqrt(D), as after a layer norm."""
    rng = np.random.default_rng(options.seed)
    size = options.vocabulary
    counts = np.zeros(size, np.int64)
    counts[FIRST_CANDIDATE:] = 5 * size // np.arange(1, size - FIRST_CANDIDATE + 1)
    popularity = np.log(counts[FIRST_CANDIDATE:])
    popularity = options.slope * (popularity - popularity.mean())
    noise = options.spread**2 - popularity.var()
    if noise < 0:
        raise SystemExit(f"--spread must be at least {popularity.std():.3f} at this --slope and --vocabulary")

    # The first dimension is 1 everywhere and carries the popularity.
    hidden = rng.normal(size=(options.positions, WIDTH))
    hidden[:, 0] = 0
    hidden *= np.sqrt(WIDTH - 1) / np.linalg.norm(hidden, axis=1, keepdims=True)
    hidden[:, 0] = 1
    table = rng.normal(size=(size, WIDTH)) * np.sqrt(noise / (WIDTH - 1))
    table[FIRST_CANDIDATE:, 0] = popularity
    hidden, table = hidden.astype(np.float32), table.astype(np.float32)

    labels = np.empty(options.positions, np.int32)
    losses = np.empty(options.positions)
    wide = table[FIRST_CANDIDATE:].astype(np.float64)
    for position, state in enumerate(hidden):
        logits = wide @ state.astype(np.float64)
        log_denominator = np.logaddexp.reduce(logits)
        # The highest of logits with Gumbel noise is a draw from their softmax.
        label = np.argmax(logits + rng.gumbel(size=len(logits)))
        labels[position] = label + FIRST_CANDIDATE
        losses[position] = log_denominator - logits[label]
    return Problem(hidden[None], table, labels[None], counts, float(losses.mean()))


@jax.jit(static_argnames="num_negatives")
def estimate(
    keys: jax.Array, sampler: NegativeSampler, arrays: tuple[jax.Array, jax.Array, jax.Array], num_negatives: int
) -> jax.Array:
    """Return each draw's mean loss by column, float32 [draws, 4], of hidden states, rows and labels."""
    hidden, table, labels = arrays
    label_scores = score_labels(hidden, table[labels])
    label_log_q = sampler.log_probabilities(labels)

    def take_draw(key: jax.Array) -> jax.Array:
        negatives = sampler.draw(key, (num_negatives,))
        scores = score_negatives(hidden, table[negatives])
        is_label = negatives == labels[..., None]
        log_q = sampler.log_probabilities(negatives)
        losses = [
            sampled_softmax_loss(
                label_scores,
                scores,
                is_label,
                log_q=log_q,
                label_log_q=label_log_q,
                form=form,
                correct_bias=correct,
            )
            for _, form, correct in COLUMNS
        ]
        return jnp.stack(losses).mean(axis=(1, 2))

    return jax.lax.map(take_draw, keys)


def measure(problem: Problem, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of the table."""
    found = []
    arrays = tuple(jnp.asarray(array) for array in problem[:3])
    for number, num_negatives in enumerate(options.negatives):
        keys = jax.random.split(jax.random.key(options.seed + number), options.draws)
        for name, share in SHARES.items():
            print(f"{num_negatives} negatives, {name} ...", file=sys.stderr, flush=True)
            sampler = make_sampler(problem.counts, share)
            losses = estimate(keys, sampler, arrays, num_negatives)
            errors = np.asarray(losses, np.float64) - problem.exact
            bias, deviation = errors.mean(axis=0), errors.std(axis=0, ddof=1) / np.sqrt(options.draws)
            columns = {
                column: {"bias": float(bias[place]), "standard_error": float(deviation[place])}
                for place, (column, _, _) in enumerate(COLUMNS)
            }
            found.append({"drawn": name, "popularity_share": share, "negatives": num_negatives, "columns": columns})
    return found


def _print_table(result: dict[str, Any]) -> None:
    print(
        f"{result['vocabulary']:,} tokens, logits with standard deviation {result['spread']:g} (slope "
        f"{result['slope']:g}), {result['positions']} positions, {result['draws']:,} draws, {result['seconds']:.0f} s"
    )
    print(f"exact loss {result['exact_loss']:.4f} nats; mean error in nats, and its standard error:\n")
    width = 24
    forms = "".join(f"{column.split(' ')[1]:>{width}}" for column, _, _ in COLUMNS)
    names = "".join(f"{column.split(' ')[0]:>{width}}" for column, _, _ in COLUMNS)
    print(f"{'':<25}{forms}\n{'drawn':<15}{'negatives':>10}{names}")
    for row in result["rows"]:
        cells = [f"{cell['bias']:+.4f} +- {cell['standard_error']:.4f}" for cell in row["columns"].values()]
        print(f"{row['drawn']:<15}{row['negatives']:>10,}" + "".join(f"{cell:>{width}}" for cell in cells))


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=100_000)
    parser.add_argument("--negatives", type=int, nargs="+", default=[20, 1024])
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--positions", type=int, default=128)
    parser.add_argument("--spread", type=float, default=2.0, help="standard deviation of the logits")
    parser.add_argument("--slope", type=float, default=1.0, help="by which logits rise with the log count")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    start = time.perf_counter()
    problem = make_problem(options)
    rows = measure(problem, options)
    settings = {
        name: getattr(options, name) for name in ("vocabulary", "spread", "slope", "positions", "draws", "seed")
    }
    result = settings | {"exact_loss": problem.exact, "seconds": time.perf_counter() - start, "rows": rows}
    _print_table(result)
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
