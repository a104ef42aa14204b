"""RecTools' SASRec and eSASRec on playlists; runs in the environment of requirements.txt, not in the project's.

Reads a folder of Parquet files and writes one back; rivals.py makes the folder and judges the lists:

- training.parquet: playlist_id, position, token;
- cases.parquet: the columns that name a test case, and seeds, a list of tokens; one row for each list that is wanted.

The output has the naming columns of cases.parquet, and tokens, the ranked list; rows without a known seed are left out.
A case's seeds are the history of a user whom training has not seen.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.transformers.ligr import LiGRLayers

# eSASRec is SASRec with LiGR layers and the sampled softmax (RecSys 2025); SASRec has its authors' layers and loss,
# the binary cross-entropy, for which RecTools takes any number of negatives.
SYSTEMS: dict[str, dict[str, Any]] = {
    "rectools_sasrec": {"loss": "BCE"},
    "rectools_esasrec": {"loss": "sampled_softmax", "transformer_layers_type": LiGRLayers},
}


class Budget(Callback):
    """Stops training after some seconds of processor time, on which other work on the machine has no bearing."""

    def __init__(self, seconds: float) -> None:
        self.end = time.process_time() + seconds

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Look at the time."""
        trainer.should_stop = trainer.should_stop or time.process_time() > self.end


def make_dataset(users: pd.Series, tokens: pd.Series, positions: pd.Series) -> Dataset:
    """Put histories into RecTools' form; positions stand for seconds."""
    columns = {
        Columns.User: users,
        Columns.Item: tokens,
        Columns.Weight: 1.0,
        Columns.Datetime: pd.Timestamp("2020-01-01") + pd.to_timedelta(positions, unit="s"),
    }
    return Dataset.construct(pd.DataFrame(columns))


def fit(system: str, training: pd.DataFrame, settings: dict[str, Any], *, seconds: float, seed: int) -> SASRecModel:
    """Train a system until its epochs or ``seconds`` of processor time are over."""
    seed_everything(seed)
    epochs = settings.pop("epochs")

    def make_trainer() -> Trainer:
        return Trainer(
            max_epochs=epochs,
            callbacks=[Budget(seconds)],
            devices=1,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )

    model = SASRecModel(**SYSTEMS[system], **settings, get_trainer_func=make_trainer)
    return model.fit(make_dataset(training["playlist_id"], training["token"], training["position"]))


def rank(model: SASRecModel, cases: pa.Table, k: int) -> pa.Table:
    """Rank ``k`` continuations of each case that has a known seed."""
    seeds = cases.select(["seeds"]).to_pandas()["seeds"].explode().dropna().astype("int64")
    known = seeds[seeds.isin(model.data_preparator.get_known_item_ids())]
    rows = known.index.unique()
    dataset = make_dataset(known.index.to_series(), known, known.groupby(level=0).cumcount())
    lists = model.recommend(users=rows.to_numpy(), dataset=dataset, k=k, filter_viewed=True)
    tokens = lists.sort_values([Columns.User, Columns.Rank]).groupby(Columns.User)[Columns.Item].agg(list)
    named = cases.drop(["seeds"]).take(pa.array(tokens.index.to_numpy()))
    return named.append_column("tokens", pa.array(tokens.tolist(), pa.list_(pa.int32())))


def main() -> None:
    """Fit one system with one setting and rank all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("folder", type=Path, help="holds training.parquet and cases.parquet")
    parser.add_argument("output", type=Path, help="Parquet file to write")
    parser.add_argument("--settings", type=json.loads, required=True, help="arguments of SASRecModel, as JSON")
    parser.add_argument("--seconds", type=float, required=True, help="limit of training, processor time")
    parser.add_argument("--k", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    training = pd.read_parquet(options.folder / "training.parquet")
    began = time.process_time()
    model = fit(options.system, training, options.settings, seconds=options.seconds, seed=options.seed)
    fitted = time.process_time()
    lists = rank(model, pq.read_table(options.folder / "cases.parquet"), options.k)
    pq.write_table(lists, options.output)
    trainer = model.fit_trainer
    report = {
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "fit_seconds": round(fitted - began, 1),
        "rank_seconds": round(time.process_time() - fitted, 1),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
