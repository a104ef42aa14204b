"""Recipes for tests and benchmarks: what conf/ says, with some of it replaced."""

from pathlib import Path
from typing import Any

import yaml

from playlist_pipeline.config import (
    EvaluateConfig,
    ExtractConfig,
    IndexConfig,
    ModelConfig,
    RerankConfig,
    StudyConfig,
    TrainConfig,
)

CONF = Path(__file__).parents[2] / "conf"


def _read(key: str, env: str, changed: dict[str, Any], *, file: str = "parameters_train.yml") -> dict[str, Any]:
    values = yaml.safe_load((CONF / "base" / file).read_text("utf-8"))[key]
    if env != "base":
        values |= yaml.safe_load((CONF / env / file).read_text("utf-8"))[key]
    return values | changed


def make_extract_config(**changed: Any) -> ExtractConfig:
    """Return how conf/base reads an archive, with the given fields replaced."""
    return ExtractConfig(**_read("extract", "base", changed, file="parameters_extract.yml"))


def make_model_config(*, env: str = "base", **changed: Any) -> ModelConfig:
    """Return the model's shape in an environment of conf/, with the given fields replaced."""
    return ModelConfig(**_read("model", env, changed))


def make_train_config(*, env: str = "base", **changed: Any) -> TrainConfig:
    """Return the training recipe of an environment of conf/, with the given fields replaced and seed 0 if not given."""
    return TrainConfig(**_read("train", env, {"seed": 0} | changed))


def make_evaluate_config(*, env: str = "base", **changed: Any) -> EvaluateConfig:
    """Return what an environment of conf/ measures, with the given fields replaced and seed 0 if not given."""
    return EvaluateConfig(**_read("evaluate", env, {"seed": 0} | changed, file="parameters_evaluate.yml"))


def make_rerank_config(**changed: Any) -> RerankConfig:
    """Return the second stage of conf/base, with the given fields replaced and seed 0 if not given."""
    return RerankConfig(**_read("rerank", "base", {"seed": 0} | changed, file="parameters_rerank.yml"))


def make_index_config(**changed: Any) -> IndexConfig:
    """Return the search index of conf/base, with the given fields replaced and seed 0 if not given."""
    return IndexConfig(**_read("index", "base", {"seed": 0} | changed, file="parameters_index.yml"))


def make_study_config(**changed: Any) -> StudyConfig:
    """Return the study of conf/base, with the given fields replaced; parts of ``model`` and ``train`` one by one."""
    values = _read("study", "base", {}, file="parameters_study.yml") | {"seed": 0}
    for name, value in changed.items():
        values[name] = values[name] | value if name in ("model", "train") else value
    return StudyConfig(**values)
