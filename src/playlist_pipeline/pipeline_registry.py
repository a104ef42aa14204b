"""The project's pipelines by name."""

from importlib import import_module

from kedro.pipeline import Pipeline

DATA_PIPELINES = ("extract", "split", "catalog", "vocabulary")
MODEL_PIPELINES = ("train", "rerank", "index", "evaluate", "report", "generate")
EXTRA_PIPELINES = ("baselines", "tune", "challenge", "verify", "study")  # run by name only
PIPELINES = DATA_PIPELINES + MODEL_PIPELINES + EXTRA_PIPELINES


def register_pipelines() -> dict[str, Pipeline]:
    """Return each pipeline, those of data and model together as ``__default__``, and those of data as ``data``.

    Written out instead of found by ``find_pipelines``, which would look for a folder named ``data``.
    """
    pipelines = {name: import_module(f"playlist_pipeline.pipelines.{name}").create_pipeline() for name in PIPELINES}
    pipelines["data"] = sum((pipelines[name] for name in DATA_PIPELINES), Pipeline([]))
    pipelines["__default__"] = sum((pipelines[name] for name in MODEL_PIPELINES), pipelines["data"])
    return pipelines
