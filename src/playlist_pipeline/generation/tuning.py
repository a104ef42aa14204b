"""Tuning of the project's own system on the validation part, by the search and the number of trials of a baseline."""

import tempfile
from typing import Any

import pandas as pd
import pyarrow as pa

from playlist_pipeline.config import MODEL, EvaluateConfig, SystemConfig, TuningConfig
from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.corpus.side_information import SideInformation
from playlist_pipeline.evaluation.baselines import TrainingPlaylists
from playlist_pipeline.evaluation.cases import CasesByProtocol, cases_to_table
from playlist_pipeline.evaluation.tuning import (
    TrialStore,
    describe_search,
    fingerprint_table,
    measure_system,
    tabulate_trials,
    tune_system,
)
from playlist_pipeline.fingerprint import code_fingerprint
from playlist_pipeline.generation.recommender import Recommender
from playlist_pipeline.generation.reranking.fitting import fit_reranker
from playlist_pipeline.training.checkpoints import CheckpointStore
from playlist_pipeline.training.data import fingerprint_playlists
from playlist_pipeline.training.loop import TrainingInterrupted, train_model


def tune_model(
    data: TrainingPlaylists,
    validation: PackedSequences,
    side: SideInformation,
    artists: pa.Table,
    cases: CasesByProtocol,
    start: SystemConfig,
    config: EvaluateConfig,
    tuning: TuningConfig,
    *,
    store: TrialStore,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Train both stages with ``tuning.num_trials`` settings; the search is that of ``tune_systems``.

    Args:
        data: Training part, with titles.
        validation: Validation part, for the losses while training.
        side: Artist, album and duration of the tokens.
        artists: ``ARTISTS_SCHEMA``, for their names.
        cases: The validation part's.
        start: The settings that the search begins with.
        config: ``num_recommendations`` and ``batch_size`` count here.
        tuning: The search; its space is ``search_space["model"]``.
        store: Keeps finished trials.

    Returns:
        What ``tune_systems`` does, of the one system ``model``.

    Raises:
        TrainingInterrupted: SIGTERM or Ctrl-C during a training.
    """
    context = {
        "data": data.fingerprint,
        "validation": fingerprint_playlists(validation),
        "side_information": side.fingerprint,
        "artists": fingerprint_table(artists),
        "cases": fingerprint_table(cases_to_table(cases)),
        "code": code_fingerprint(__name__),
        "num_recommendations": config.num_recommendations,
        "metric": tuning.metric,
    }

    def measure(settings: SystemConfig) -> dict[str, float]:
        try:
            with tempfile.TemporaryDirectory(prefix="playlist_pipeline-") as folder:
                trained = train_model(
                    data.sequences,
                    validation,
                    data.vocabulary,
                    side_information=side,
                    model_config=settings.model,
                    train_config=settings.train,
                    checkpoints=CheckpointStore(folder),
                )
        except TrainingInterrupted as error:
            raise TrainingInterrupted(
                "the search was stopped; finished trials are kept: run the same command again to go on"
            ) from error
        reranker, _ = fit_reranker(
            data, side, artists, model_config=settings.model, train_config=settings.train, config=settings.rerank
        )
        recommender = Recommender(trained.model, reranker=reranker, batch_size=config.batch_size)
        return measure_system(recommender, cases, config, metric=tuning.metric)

    trials = tune_system(MODEL, start, tuning, measure=measure, store=store, context=context)
    found = describe_search(trials, start, tuning.search_space.get(MODEL, {}))
    report = {"metric": tuning.metric, "num_trials": tuning.num_trials, "systems": {MODEL: found}}
    return tabulate_trials({MODEL: trials}), report
