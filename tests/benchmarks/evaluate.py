"""What it costs to evaluate the model on 10,000 playlists at the vocabulary of the Million Playlist Dataset.

The published model with random weights ranks 500 of all tracks for each playlist, from five seeds, and the lists are
measured: everything that the pipeline does from test cases to metrics, compilation included. The floor is the time of
the matrix products alone: all queries with the whole table, and the transformer's own, at the same shapes and in
whichever plain form is fastest on this machine. Each runs in a child process of its own, in turns.

    uv run python tests/benchmarks/evaluate.py --json
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

GB = 1e9
MPD_TRACKS = 2_262_292
MPD_ARTISTS = 295_860
TRUTH = 60  # withheld tracks of a playlist, about the MPD's mean length without the seeds
# Queries and rows of the table in a product.
TILES = ((512, 4096), (1024, 2048), (1024, 4096), (1024, 8192), (2048, 4096), (2048, 16384))


def _make_model(options: argparse.Namespace) -> Any:
    from flax import nnx  # noqa: PLC0415
    from recipes import make_model_config  # noqa: PLC0415

    from playlist_pipeline.model.transformer import Transformer  # noqa: PLC0415

    return Transformer(make_model_config(env="mpd"), vocabulary_size=options.vocabulary, rngs=nnx.Rngs(0))


def _make_cases(options: argparse.Namespace) -> Any:
    """Return playlists of tracks drawn uniformly, without a track twice."""
    import numpy as np  # noqa: PLC0415

    from playlist_pipeline.evaluation import RaggedArray, TestCases  # noqa: PLC0415

    rng = np.random.default_rng(0)
    count, length = options.playlists, options.seeds + TRUTH
    tokens = rng.integers(3, options.vocabulary, (count, length), dtype=np.int32)
    for row in np.flatnonzero((np.diff(np.sort(tokens, axis=1), axis=1) == 0).any(axis=1)):
        tokens[row] = 3 + rng.choice(options.vocabulary - 3, length, replace=False)
    artists = [np.unique(rng.integers(0, MPD_ARTISTS, TRUTH, dtype=np.int32)) for _ in range(count)]
    return TestCases(
        protocol="first_k",
        case=str(options.seeds),
        playlist_ids=np.arange(count, dtype=np.int32),
        pids=np.arange(count, dtype=np.int32),
        titles=[None] * count,
        seeds=RaggedArray.from_lists(tokens[:, : options.seeds]),
        truth=RaggedArray.from_lists(tokens[:, options.seeds :]),
        num_truth=np.full(count, TRUTH, np.int32),
        truth_artists=RaggedArray.from_lists(artists),
    )


def _make_facts(options: argparse.Namespace) -> Any:
    import numpy as np  # noqa: PLC0415

    from playlist_pipeline.evaluation import TrackFacts  # noqa: PLC0415

    rng = np.random.default_rng(1)
    counts = 1 + 50_000 // np.arange(1, options.vocabulary + 1)
    counts[:3] = 0
    artists = rng.integers(0, MPD_ARTISTS, options.vocabulary, dtype=np.int32)
    artists[:3] = -1
    return TrackFacts(counts=counts, artists=artists, artist_names=np.arange(MPD_ARTISTS, dtype=np.int32))


def run_evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Rank and measure."""
    import jax  # noqa: PLC0415
    from recipes import make_evaluate_config  # noqa: PLC0415

    from playlist_pipeline.evaluation import rank_cases, summarise  # noqa: PLC0415
    from playlist_pipeline.generation import Recommender  # noqa: PLC0415
    from playlist_pipeline.model.weights import LoadedModel  # noqa: PLC0415

    model = _make_model(options)
    config = make_evaluate_config(num_seeds=[options.seeds], num_recommendations=options.length)
    loaded = LoadedModel(model=model, config=model.cfg, vocabulary=None, meta={})  # type: ignore[arg-type]
    recommender = Recommender(loaded, batch_size=config.batch_size)
    cases, facts = {"first_k": {str(options.seeds): _make_cases(options)}}, _make_facts(options)
    jax.block_until_ready(model.embedding.table[...])
    start = time.perf_counter()
    rankings = rank_cases({"model": recommender}, cases, config)
    ranked = time.perf_counter()
    metrics = summarise(cases, rankings, facts, config)
    end = time.perf_counter()
    return {
        "seconds": end - start,
        "rank_seconds": ranked - start,
        "measure_seconds": end - ranked,
        "lists": rankings.num_rows,
        "recall": metrics["ranking"]["first_k"]["model"][str(options.seeds)]["recall@500"]["mean"],
        "device": str(jax.devices()[0]),
    }


def run_products(options: argparse.Namespace) -> dict[str, Any]:
    """Multiply all queries with the whole table, and what the transformer multiplies, and do nothing else."""
    import jax  # noqa: PLC0415
    from recipes import make_evaluate_config, make_model_config  # noqa: PLC0415

    cfg = make_model_config(env="mpd")
    key = jax.random.key(0)
    queries = jax.random.normal(key, (options.playlists, cfg.embed_dim))
    table = jax.block_until_ready(jax.random.normal(key, (options.vocabulary, cfg.embed_dim)))
    search, form = _time_search(queries, table)
    batch_size = make_evaluate_config().batch_size
    return {
        "search_seconds": search,
        "form": form,
        "forward_seconds": (forward := _time_forward(cfg, options, batch_size)),
        "seconds": search + forward,
        "flops_per_second": 2 * options.playlists * options.vocabulary * cfg.embed_dim / search,
    }


def _make_products(queries: Any, table: Any) -> dict[str, Callable[[int, int], Any]]:
    """Return the forms of the product of a tile by name; each takes the first query and the first row."""
    from functools import partial  # noqa: PLC0415

    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    highest = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)

    @partial(jax.jit, static_argnames=("num_queries", "num_rows"))
    def multiply(queries: Any, table: Any, first: Any, start: Any, *, num_queries: int, num_rows: int) -> Any:
        rows = jax.lax.dynamic_slice_in_dim(table, start, num_rows)
        return highest(jax.lax.dynamic_slice_in_dim(queries, first, num_queries), rows.T)

    tiles = {(min(rows, len(queries)), min(columns, len(table))) for rows, columns in TILES}
    forms: dict[str, Callable[[int, int], Any]] = {
        f"jax {num_queries}x{num_rows}": partial(
            lambda first, start, **sizes: multiply(queries, table, np.int32(first), np.int32(start), **sizes),
            num_queries=num_queries,
            num_rows=num_rows,
        )
        for num_queries, num_rows in sorted(tiles)
    }
    if jax.default_backend() == "cpu":
        left, right = np.asarray(queries), np.asarray(table)
        forms |= {
            f"numpy {num_queries}x{num_rows}": partial(
                lambda first, start, out: np.matmul(
                    right[start : start + out.shape[0]], left[first : first + out.shape[1]].T, out=out
                ),
                out=np.empty((num_rows, num_queries), np.float32),
            )
            for num_queries, num_rows in sorted(tiles)
        }
    return forms


def _time_search(queries: Any, table: Any) -> tuple[float, str]:
    """Return the seconds of all products of queries and table in the fastest form, and that form."""
    import jax  # noqa: PLC0415

    forms = _make_products(queries, table)
    sizes = {name: tuple(map(int, name.split()[1].split("x"))) for name in forms}
    rates = {}
    for name, multiply in forms.items():
        num_queries, num_rows = sizes[name]
        count = max(1, min(int(2e9 / (num_queries * num_rows * queries.shape[1])), len(table) // num_rows))

        def sample(multiply: Callable = multiply, count: int = count, num_rows: int = num_rows) -> None:
            for number in range(count):
                jax.block_until_ready(multiply(0, number * num_rows))

        rates[name] = count * num_queries * num_rows / min(_time(sample) for _ in range(4))
    best = max(rates, key=rates.__getitem__)
    num_queries, num_rows = sizes[best]

    def sweep() -> None:
        # The last tiles overlap those before: what is counted twice is taken off below.
        before = None
        for first in range(0, len(queries), num_queries):
            for start in range(0, len(table), num_rows):
                tile = forms[best](min(first, len(queries) - num_queries), min(start, len(table) - num_rows))
                jax.block_until_ready(before)  # one tile is computed while the next one is asked for
                before = tile
        jax.block_until_ready(before)

    seconds = _time(sweep)
    tiles = -(-len(queries) // num_queries) * -(-len(table) // num_rows)
    return seconds * len(queries) * len(table) / (tiles * num_queries * num_rows), best


def _time_forward(cfg: Any, options: argparse.Namespace, batch_size: int) -> float:
    """Return the seconds of the products of the transformer for all playlists, batch by batch."""
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    from playlist_pipeline.generation.search import round_up  # noqa: PLC0415

    length = min(round_up(1 + options.seeds), cfg.context_length)
    width, inner, heads = cfg.embed_dim, cfg.feedforward_dim, cfg.num_heads
    tokens = batch_size * length
    pairs = [((tokens, a), (a, b)) for a, b in ((width, 3 * width), (width, width), (width, inner), (inner, width))]
    head = (batch_size, heads, length, width // heads)
    pairs += [(head, (*head[:2], head[3], length)), ((*head[:2], length, length), head)]
    multiply = jax.jit(jnp.matmul)
    repeats, total = 50, 0.0
    for left, right in pairs:
        arrays = jnp.ones(left), jnp.ones(right)

        def sample(arrays: tuple[Any, Any] = arrays) -> None:
            jax.block_until_ready([multiply(*arrays) for _ in range(repeats)])

        total += min(_time(sample) for _ in range(5)) / repeats
    return -(-options.playlists // batch_size) * cfg.num_layers * total


def _time(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


STEPS = {name.removeprefix("run_"): function for name, function in list(globals().items()) if name.startswith("run_")}


def _run_child(step: str) -> dict[str, Any]:
    print(f"{step} ...", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--child", step, *sys.argv[1:]]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the children in turns; of each the fastest turn counts."""
    found: dict[str, Any] = {}
    for _ in range(options.repeat):
        for step in STEPS:
            run = _run_child(step)
            if step not in found or run["seconds"] < found[step]["seconds"]:
                found[step] = run
    evaluate, products = found["evaluate"], found["products"]
    return {
        "playlists": options.playlists,
        "vocabulary": options.vocabulary,
        "length": options.length,
        "device": evaluate["device"],
        "cpus": os.cpu_count(),
        "seconds": evaluate["seconds"],
        "matmul_seconds": products["seconds"],
        "over_matmul": evaluate["seconds"] / products["seconds"],
        "peak_rss_gb": evaluate["peak_rss_gb"],
        "steps": found,
    }


def _print_table(result: dict[str, Any]) -> None:
    evaluate, products = result["steps"]["evaluate"], result["steps"]["products"]
    print(
        f"{result['playlists']:,} playlists, {result['vocabulary']:,} tokens, lists of {result['length']}, "
        f"{result['device']}, {result['cpus']} cores\n"
    )
    rows = {
        "rank": evaluate["rank_seconds"],
        "measure": evaluate["measure_seconds"],
        "both": evaluate["seconds"],
        f"products with the table ({products['form']})": products["search_seconds"],
        "products of the transformer": products["forward_seconds"],
        "all products": products["seconds"],
    }
    for name, seconds in rows.items():
        print(f"{name:<46}{seconds:>9.2f} s")
    print(f"\n{result['over_matmul']:.2f} times the products; at most {result['peak_rss_gb']:.2f} GB")


def main() -> int:
    """Run the benchmark, or one child of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--playlists", type=int, default=10_000)
    parser.add_argument("--vocabulary", type=int, default=MPD_TRACKS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--length", type=int, default=500, help="recommended tracks for each playlist")
    parser.add_argument("--repeat", type=int, default=2, help="turns, of which the faster counts")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--child", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
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
