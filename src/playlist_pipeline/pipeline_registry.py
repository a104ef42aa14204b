"""The project's pipelines by name."""

from importlib import import_module

from kedro.pipeline import Pipeline

DATA_PIPELINES = ("extract", "split", "catalog", "vocabulary")
MODEL_PIPELINES = ("train", "evaluate", "generate")
STUDY_PIPELINES = ("baselines",)  # take long, so that no other pipeline holds them
PIPELINES = DATA_PIPELINES + MODEL_PIPELINES + STUDY_PIPELINES


def register_pipelines() -> dict[str, Pipeline]:
    """Return each pipeline, the sum of the first seven as ``__default__`` and that of the first four as ``data``.

    Written out instead of found by ``find_pipelines``, which would look for a folder named ``data``.
    """
    pipelines = {name: import_module(f"playlist_pipeline.pipelines.{name}").create_pipeline() for name in PIPELINES}
    pipelines["data"] = sum((pipelines[name] for name in DATA_PIPELINES), Pipeline([]))
    pipelines["__default__"] = sum((pipelines[name] for name in MODEL_PIPELINES), pipelines["data"])
    return pipelines
