"""What it costs to complete playlists at the vocabulary of the Million Playlist Dataset, with and without the index.

The model is trained here: the published shape, on playlists generated with the marginals of the MPD (genres, scenes,
artists and albums, popularity as skewed as there), each of the 2,262,292 tracks among them. Training takes
--train-minutes and starts from vectors of co-occurrence. Started at random, so short a training learns little but
popularity; all queries then ask for the same tracks, which flatters any index (--start normal shows it). The loss is
the bounded form of the sampled softmax: the published one, unbounded below, fell to -190 nats here, and the recall to
that of popularity. The model is kept in --model, with how it was trained and its recall beside that of popularity on
playlists held out.

A playlist of 50 tracks has 5 given ones and 45 drawn one after the other: the model reads the playlist, the search
finds 50 candidates among all tracks, and one of them is drawn. Recall is that of the index's best 100 tracks against
the exact ones, for hidden states after 5 to 49 tracks of held-out playlists. The floor of exact search is reading the
table once a track. Every measurement runs in a child process of its own.

    uv run python tests/benchmarks/generate.py --model MODEL --json
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
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

GB = 1e9
MPD_TRACKS, MPD_ALBUMS, MPD_ARTISTS = 2_262_292, 734_684, 295_860
GIVEN, LENGTH, TOP_K = 5, 50, 50
DRAWN = LENGTH - GIVEN
BATCH = 64
HELD_OUT_SLICES = 2
HELD_OUT_FILE = "held_out.npz"
# What differs from the published recipe, beside the start.
RECIPE = {
    "loss": "label_in_denominator",
    "correct_bias": True,
    "share_negatives": True,
    "num_negatives": 1024,
    "table_learning_rate": 5e-5,  # a tenth of the other rate: the vectors are close to good at the start
    "checkpoint_every": 10**9,
}


def _generate_playlists(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Return vocabulary, training playlists, and playlists of slices that training does not see."""
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    from playlist_pipeline.corpus.sequences import PackedSequences  # noqa: PLC0415
    from playlist_pipeline.corpus.vocabulary import SPECIALS, UNK, Vocabulary  # noqa: PLC0415
    from playlist_pipeline.mpd.synthetic import SyntheticConfig, build_world, draw_slice  # noqa: PLC0415

    config = replace(
        SyntheticConfig.mpd(options.slices + HELD_OUT_SLICES),
        num_tracks=options.tracks,
        num_albums=options.tracks * MPD_ALBUMS // MPD_TRACKS,
        num_artists=options.tracks * MPD_ARTISTS // MPD_TRACKS,
        debut_slices=options.slices,  # in which every track appears
    )
    world = build_world(config)
    parts = []
    for numbers in (range(options.slices), range(options.slices, config.num_slices)):
        slices = zip(*(draw_slice(config, world, number) for number in numbers), strict=True)
        parts.append(tuple(np.concatenate(arrays) for arrays in slices))
    counts = np.bincount(parts[0][1], minlength=options.tracks)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    token_of = np.full(options.tracks, UNK, np.int32)
    token_of[order] = np.arange(len(order)) + len(SPECIALS)
    table = {
        "token": pa.array(np.arange(len(SPECIALS) + len(order)), pa.int32()),
        "uri": [*SPECIALS, *(f"spotify:track:{track:022d}" for track in order.tolist())],
        "count": np.concatenate([np.zeros(len(SPECIALS), np.int64), counts[order]]),
    }
    training, held_out = (
        PackedSequences(token_of[tracks], np.concatenate([[0], np.cumsum(lengths)]), np.arange(len(lengths)))
        for lengths, tracks in parts
    )
    return Vocabulary.from_table(pa.table(table)), training, held_out


def run_train(options: argparse.Namespace) -> dict[str, Any]:
    """Train the model, compare it with popularity, and keep it."""
    import numpy as np  # noqa: PLC0415
    from recipes import make_model_config, make_train_config  # noqa: PLC0415

    from playlist_pipeline.model.weights import save_model  # noqa: PLC0415
    from playlist_pipeline.training import CheckpointStore, train_model  # noqa: PLC0415

    start = time.perf_counter()
    vocabulary, training, held_out = _generate_playlists(options)
    generated = time.perf_counter()
    first_step: list[float] = []

    def should_end() -> bool:
        first_step.append(time.perf_counter())
        return first_step[-1] - generated > 60 * options.train_minutes

    with tempfile.TemporaryDirectory(dir=options.model.parent) as folder:
        result = train_model(
            training,
            held_out,
            vocabulary,
            model_config=make_model_config(env="mpd"),
            train_config=make_train_config(env="mpd", embedding_init=options.start, **RECIPE),
            checkpoints=CheckpointStore(folder),
            should_end=should_end,
        )
    seconds = time.perf_counter() - generated
    facts = {
        "start": options.start,
        "playlists": len(training),
        "entries": len(training.tokens),
        "tokens": len(vocabulary),
        "steps": result.summary["steps"],
        "validation_loss": result.summary["validation_loss"],
        "generate_seconds": generated - start,
        "start_seconds": first_step[0] - generated,
        "seconds": seconds,
        "recall_at_500": _compare_with_popularity(result.model, held_out),
    }
    save_model(options.model, replace(result.model, meta=result.model.meta | {"benchmark": facts}))
    np.savez(options.model / HELD_OUT_FILE, tokens=held_out.tokens, offsets=held_out.offsets)
    return facts


def _compare_with_popularity(loaded: Any, held_out: Any) -> dict[str, float]:
    """Return the mean recall@500 of model and popularity on 1,000 playlists, from their first tracks."""
    import numpy as np  # noqa: PLC0415

    from playlist_pipeline.evaluation.baselines.popularity import Popularity  # noqa: PLC0415
    from playlist_pipeline.generation.decode import rank_tracks  # noqa: PLC0415

    playlists = _list_playlists(held_out)[:1000]
    seeds, truth = [row[:GIVEN] for row in playlists], [row[GIVEN:] for row in playlists]
    lists = {
        "model": rank_tracks(loaded.model, seeds, 500, batch_size=32)[0],
        "popularity": Popularity(loaded.vocabulary).rank(seeds, 500),
    }
    return {
        name: float(np.mean([np.isin(wanted, row).mean() for wanted, row in zip(truth, ranked, strict=True)]))
        for name, ranked in lists.items()
    }


def _list_playlists(playlists: Sequence[Any]) -> list[Any]:
    """Return the unique known tracks of each playlist that has twice as many as are given, in their order."""
    import numpy as np  # noqa: PLC0415

    from playlist_pipeline.corpus.vocabulary import SPECIALS  # noqa: PLC0415

    rows = (row[np.sort(np.unique(row, return_index=True)[1])] for row in playlists)
    known = (row[row >= len(SPECIALS)] for row in rows)
    return [row for row in known if len(row) >= 2 * GIVEN]


def _load(options: argparse.Namespace) -> tuple[Any, list[Any]]:
    """Return the model and the held-out playlists."""
    import numpy as np  # noqa: PLC0415

    from playlist_pipeline.model.weights import load_model  # noqa: PLC0415

    arrays = np.load(options.model / HELD_OUT_FILE)
    tokens, offsets = arrays["tokens"], arrays["offsets"]
    return load_model(options.model).model, _list_playlists(np.split(tokens, offsets[1:-1]))


def run_build(options: argparse.Namespace) -> dict[str, Any]:
    """Build the index, save it, and load it as a search."""
    from recipes import make_index_config  # noqa: PLC0415

    from playlist_pipeline.generation.index import build_index, load_index, make_searcher, save_index  # noqa: PLC0415

    model, _ = _load(options)
    table = model.scoring.table[...]
    start = time.perf_counter()
    save_index(options.index, build_index(table, make_index_config(kind="approximate")))
    built = time.perf_counter()
    make_searcher(table, load_index(options.index))
    return {
        "seconds": built - start,
        "load_seconds": time.perf_counter() - built,
        "bytes": sum(path.stat().st_size for path in options.index.iterdir()),
    }


def _make_searcher(options: argparse.Namespace, model: Any, *, exact: bool) -> Any:
    from playlist_pipeline.generation.index import load_index, make_searcher  # noqa: PLC0415

    return make_searcher(model.scoring.table[...], None if exact else load_index(options.index))


def run_exact(options: argparse.Namespace) -> dict[str, Any]:
    """Complete single playlists with exact search, and read the table."""
    model, playlists = _load(options)
    searcher = _make_searcher(options, model, exact=True)
    reads = _time_reads(model.scoring.table[...])
    single = _time_drawing(model, searcher, playlists, size=1, count=options.playlists)
    reads += _time_reads(model.scoring.table[...])
    return single | {"read_seconds": statistics.median(reads)}


def _time_reads(table: Any) -> list[float]:
    """Return the seconds of some passes over the table that do next to nothing else."""
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    read = jax.jit(jnp.max)
    jax.block_until_ready(read(table))
    return [_time(lambda: jax.block_until_ready(read(table))) for _ in range(10)]


def run_approximate(options: argparse.Namespace) -> dict[str, Any]:
    """Complete single playlists and many at once with the index."""
    model, playlists = _load(options)
    searcher = _make_searcher(options, model, exact=False)
    single = _time_drawing(model, searcher, playlists, size=1, count=options.playlists)
    batch = _time_drawing(model, searcher, playlists, size=BATCH, count=3)
    return single | {"batch": batch}


def run_recall(options: argparse.Namespace) -> dict[str, Any]:
    """Compare the best 100 tracks of both ways of searching."""
    import numpy as np  # noqa: PLC0415

    from playlist_pipeline.generation.decode import encode_rows  # noqa: PLC0415
    from playlist_pipeline.generation.search import pad_rows  # noqa: PLC0415

    model, playlists = _load(options)
    rng = np.random.default_rng(0)
    rows = [row[: rng.integers(GIVEN, min(len(row), LENGTH))] for row in playlists[: options.queries]]
    queries, exclude = encode_rows(model, rows, batch_size=32), pad_rows(rows, LENGTH)
    exact, found = (
        _make_searcher(options, model, exact=exact).search(queries, 100, exclude)[1] for exact in (True, False)
    )
    recalls = [np.isin(wanted, row).mean() for wanted, row in zip(exact, found, strict=True)]
    return {
        "recall_at_100": float(np.mean(recalls)),
        "worst": float(np.min(recalls)),
        "queries": len(rows),
        "different_tracks": len(np.unique(exact)),
        "median_token": float(np.median(exact)),
    }


class _TimedSearcher:
    """Passes on to another ``Searcher`` and adds up the seconds that it takes."""

    def __init__(self, searcher: Any) -> None:
        self._searcher, self.seconds = searcher, 0.0

    def search(self, queries: Any, k: int, exclude: Any) -> tuple[Any, Any]:
        start = time.perf_counter()
        found = self._searcher.search(queries, k, exclude)
        self.seconds += time.perf_counter() - start
        return found


def _time_drawing(model: Any, searcher: Any, playlists: list[Any], *, size: int, count: int) -> dict[str, Any]:
    """Complete ``count`` batches of ``size`` playlists after one that compiles; return the medians of their seconds."""
    import numpy as np  # noqa: PLC0415

    from playlist_pipeline.config import Controls  # noqa: PLC0415
    from playlist_pipeline.generation.decode import complete_rows  # noqa: PLC0415
    from playlist_pipeline.generation.drawing import Drawer, TrackTraits  # noqa: PLC0415

    controls = Controls(length=LENGTH, top_k=TOP_K)
    vectors = model.scoring.table[...]
    # Here every track is a song of its own; in a catalog that is looked up.
    traits = TrackTraits(counts=np.ones(len(vectors), np.int64), vectors=vectors, find_song=int)
    times = []
    for number in range(count + 1):
        rows = [row[:GIVEN] for row in playlists[number * size : (number + 1) * size]]
        drawers = [Drawer(row, controls, traits, seed=seed) for seed, row in enumerate(rows)]
        timed = _TimedSearcher(searcher)
        seconds = _time(
            lambda drawers=drawers, timed=timed: complete_rows(model, drawers, controls=controls, searcher=timed)
        )
        assert {len(drawer.tokens) for drawer in drawers} == {LENGTH}
        times.append({"seconds": seconds, "search_seconds": timed.seconds})
    return {name: statistics.median(time[name] for time in times[1:]) for name in times[0]}


def _time(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


STEPS = {name.removeprefix("run_"): function for name, function in list(globals().items()) if name.startswith("run_")}


def _run_child(step: str, options: argparse.Namespace) -> dict[str, Any]:
    print(f"{step} ...", file=sys.stderr, flush=True)
    places = ["--model", str(options.model), "--index", str(options.index)]
    command = [sys.executable, __file__, *sys.argv[1:], *places, "--child", step]
    # Huge pages take a third off a training step, see README; nothing else is measured with them.
    huge_pages = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"} if step == "train" else {}
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | huge_pages)
    return json.loads(result.stdout.splitlines()[-1])


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train if need be, build, and draw in turns; of each way of drawing the fastest turn counts."""
    if not (options.model / HELD_OUT_FILE).is_file():
        _run_child("train", options)
    model = json.loads((options.model / "config.json").read_text("utf-8"))["benchmark"]
    found = {step: _run_child(step, options) for step in ("build", "recall")}
    for _ in range(options.repeat):
        for step in ("approximate", "exact"):
            run = _run_child(step, options)
            if step not in found or run["seconds"] < found[step]["seconds"]:
                found[step] = run
    approximate, exact = found["approximate"], found["exact"]
    return {
        "tokens": model["tokens"],
        "cpus": os.cpu_count(),
        "seconds_approximate": approximate["seconds"],
        "seconds_exact": exact["seconds"],
        "exact_over_read": exact["seconds"] / (DRAWN * exact["read_seconds"]),
        "seconds_batch64": approximate["batch"]["seconds"],
        "batch64_over_one": approximate["batch"]["seconds"] / approximate["seconds"],
        "recall_at_100": found["recall"]["recall_at_100"],
        "index_build_seconds": found["build"]["seconds"],
        "index_load_seconds": found["build"]["load_seconds"],
        "index_bytes": found["build"]["bytes"],
        "peak_rss_gb": max(step["peak_rss_gb"] for step in found.values()),
        "model": model,
        "steps": found,
    }


def _print_table(result: dict[str, Any]) -> None:
    model, steps = result["model"], result["steps"]
    print(
        f"{result['tokens']:,} tokens, {result['cpus']} cores; the model took {model['steps']:,} steps in "
        f"{model['seconds'] / 60:.0f} min from the start '{model['start']}', on {model['entries']:,} entries; "
        f"recall@500 {model['recall_at_500']['model']:.3f}, of popularity {model['recall_at_500']['popularity']:.3f}\n"
    )
    print(f"{'seconds of ' + str(LENGTH) + ' tracks':<34}{'all':>8}{'search':>8}{'peak GB':>9}")
    rows = {
        "approximate, one playlist": steps["approximate"],
        f"approximate, {BATCH} playlists": steps["approximate"]["batch"],
        "exact, one playlist": steps["exact"],
    }
    for name, row in rows.items():
        parts = "".join(f"{row[key]:>8.3f}" for key in ("seconds", "search_seconds"))
        print(f"{name:<34}{parts}" + (f"{row['peak_rss_gb']:>9.2f}" if "peak_rss_gb" in row else ""))
    recall, build = steps["recall"], steps["build"]
    print(
        f"\nexact: {result['exact_over_read']:.2f} times {DRAWN} readings of the table "
        f"({1000 * steps['exact']['read_seconds']:.1f} ms each)\n"
        f"{BATCH} playlists at once: {result['batch64_over_one']:.1f} times one\n"
        f"recall@100: {result['recall_at_100']:.4f} on average, {recall['worst']:.2f} at worst, {recall['queries']} "
        f"queries with {recall['different_tracks']:,} different tracks\n"
        f"index: built in {build['seconds']:.1f} s with {build['peak_rss_gb']:.2f} GB, loaded in "
        f"{build['load_seconds']:.1f} s, {build['bytes'] / 1e6:.0f} MB on disk"
    )


def main() -> int:
    """Run the benchmark, or one child of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="where the trained model is kept; trained anew if not given")
    parser.add_argument("--tracks", type=int, default=MPD_TRACKS)
    parser.add_argument("--slices", type=int, default=300, help="of 1,000 playlists, to train on")
    parser.add_argument("--train-minutes", type=float, default=10.0, help="the start's vectors included")
    parser.add_argument("--start", choices=("cooccurrence", "als", "normal"), default="cooccurrence")
    parser.add_argument("--playlists", type=int, default=5, help="single playlists behind each median")
    parser.add_argument("--queries", type=int, default=1000, help="behind the recall")
    parser.add_argument("--repeat", type=int, default=2, help="turns, of which the faster counts")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--child", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--index", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        result = STEPS[options.child](options)
        result["peak_rss_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB
        print(json.dumps(result))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        options.model, options.index = (options.model or Path(folder, "model")).absolute(), Path(folder, "index")
        options.model.parent.mkdir(parents=True, exist_ok=True)
        result = _measure(options)
    _print_table(result)
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
