"""How much of a continuation stays when the model does not know some of the seeds.

Test playlists with enough known tracks give their first ones as seeds. Some of these, drawn at random, are replaced by
`<unk>`, and the greedy continuations with and without are compared: the mean share of the tracks that stay, whatever
their order, with its standard error over playlists. The replaced tracks are added by neither. `model` is both stages
(its best tracks in one list, titles not given), `transformer` draws track by track. trecs reports one example of this
kind: with 2 of 5 seeds masked, 11 of 14 tracks stay.

    uv run python tests/benchmarks/missing_seeds.py --archive ../shared/data/real_playlists.zip --workspace DIR
    uv run python tests/benchmarks/missing_seeds.py --workspace data   # of a finished run, as it is
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from playlist_pipeline.config import Controls
from playlist_pipeline.corpus.vocabulary import SPECIALS, UNK
from playlist_pipeline.datasets import SequencesDataset
from playlist_pipeline.generation import Recommender
from playlist_pipeline.generation.decode import complete_rows
from playlist_pipeline.generation.drawing import Drawer
from playlist_pipeline.generation.search import PADDING, SubsetSearcher

PROJECT = Path(__file__).parents[2]
NODES = ("data", "train", "rerank")
PUBLISHED = 11 / 14


def prepare(archive: Path, workspace: Path) -> None:
    """Run the pipelines up to a trained model."""
    command = [sys.executable, "-m", "kedro", "run", f"--pipelines={','.join(NODES)}", "--only-missing-outputs"]
    subprocess.run([*command, f"--params=archive={archive.resolve()},workspace={workspace}"], check=True, cwd=PROJECT)


def read_seeds(workspace: Path, recommender: Recommender, num_seeds: int) -> list[np.ndarray]:
    """Return the first known tracks of the test playlists that have so many, int32 [num_seeds] each."""
    sequences = SequencesDataset(filepath=str(workspace / "05_model_input" / "sequences")).load()
    test = sequences.source("test", recommender.vocabulary)
    rows = []
    for index in range(len(test)):
        tokens = np.asarray(test[index])
        known = list(dict.fromkeys(tokens[tokens >= len(SPECIALS)].tolist()))
        if len(known) >= num_seeds:
            rows.append(np.array(known[:num_seeds], np.int32))
    return rows


def mask_seeds(rows: list[np.ndarray], num_missing: int, seed: int) -> list[np.ndarray]:
    """Replace some tracks of each row by ``<unk>``, drawn at random."""
    random = np.random.default_rng(seed)
    masked = [row.copy() for row in rows]
    for row in masked:
        row[random.choice(len(row), num_missing, replace=False)] = UNK
    return masked


def continue_by_model(
    recommender: Recommender, rows: list[np.ndarray], gone: list[np.ndarray], count: int
) -> list[set[int]]:
    """Return the best tracks of each playlist; a track that is gone is as if it had no token."""
    ranked = recommender.rank(rows, count + max(map(len, gone)))
    return [set(row[~np.isin(row, [*lost, PADDING])].tolist()[:count]) for row, lost in zip(ranked, gone, strict=True)]


def continue_by_transformer(
    recommender: Recommender, rows: list[np.ndarray], gone: list[np.ndarray], count: int
) -> list[set[int]]:
    """Return the greedy continuation of each playlist, drawn track by track, without those that are gone."""
    controls = Controls(length=len(rows[0]) + count, top_k=1, unique_songs=False)
    table = recommender.model.scoring.table[...]
    continuations = []
    for row, lost in zip(rows, gone, strict=True):
        is_allowed = ~np.isin(np.arange(len(table)), lost)
        drawer = Drawer(row, controls, recommender.traits, seed=0)
        complete_rows(recommender.model, [drawer], controls=controls, searcher=SubsetSearcher(table, is_allowed))
        continuations.append(set(drawer.continuation.tokens.tolist()))
    return continuations


def compare(whole: list[set[int]], masked: list[set[int]]) -> dict[str, float]:
    """Return the mean share of tracks that stay, and its standard error."""
    shares = np.array([len(before & after) / len(before) for before, after in zip(whole, masked, strict=True)])
    return {"mean": float(shares.mean()), "standard_error": float(shares.std(ddof=1) / np.sqrt(len(shares)))}


def run(options: argparse.Namespace) -> dict[str, object]:
    """Measure both systems."""
    workspace = options.workspace.resolve()
    if options.archive is not None:
        prepare(options.archive, workspace)
    recommender = Recommender.load(workspace)
    rows = read_seeds(workspace, recommender, options.seeds)
    masked = mask_seeds(rows, options.missing, options.seed)
    gone = [row[after == UNK] for row, after in zip(rows, masked, strict=True)]
    systems = {"transformer": continue_by_transformer}
    if recommender.reranker is not None:
        systems["model"] = continue_by_model
    stays = {
        name: compare(*(continue_(recommender, given, gone, options.tracks) for given in (rows, masked)))
        for name, continue_ in systems.items()
    }
    return {"playlists": len(rows), "published": PUBLISHED, "stays": stays}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, help="train on it first, what is not there yet")
    parser.add_argument("--workspace", type=Path, default=PROJECT / "data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--missing", type=int, default=2)
    parser.add_argument("--tracks", type=int, default=14)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of what is missing")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    found = run(options)
    print(
        f"{options.missing} of {options.seeds} seeds missing, {found['playlists']} playlists, {options.tracks} tracks:"
    )
    for system, share in found["stays"].items():  # type: ignore[attr-defined]
        print(f"  {system:<12} {share['mean']:.3f} +- {share['standard_error']:.3f} of the tracks stay")
    print(f"  trecs' one example: {PUBLISHED:.3f}")
    if options.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
