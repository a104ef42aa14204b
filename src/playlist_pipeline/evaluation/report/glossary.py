"""The glossary of the report: what each metric is, from the docstring of the function that computes it."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup, escape

from playlist_pipeline.evaluation.beyond_accuracy import BEYOND_ACCURACY
from playlist_pipeline.evaluation.metrics import ARTIST_METRICS, ARTIST_NAME_METRICS, METRICS
from playlist_pipeline.evaluation.names import name_metric

CODE = re.compile(r"``?(.+?)``?")


@dataclass(frozen=True)
class Definition:
    """What a metric is.

    Attributes:
        names: Those under which it stands in the report.
        words: In plain words.
        details: Formula, bounds and source.
    """

    names: list[str]
    words: Markup
    details: Markup


def define_metrics() -> list[Definition]:
    """Define the ranking metrics."""
    return _define({**METRICS, **ARTIST_METRICS, **ARTIST_NAME_METRICS})


def define_beyond_accuracy() -> list[Definition]:
    """Define coverage, popularity bias and artist diversity."""
    return _define(BEYOND_ACCURACY)


def _define(functions: Mapping[str, Callable[..., Any]]) -> list[Definition]:
    names: dict[Callable[..., Any], list[str]] = {}
    for name, function in functions.items():
        names.setdefault(function.func if isinstance(function, partial) else function, []).append(name_metric(name))
    return [Definition(of_function, *_read_docstring(function)) for function, of_function in names.items()]


def _read_docstring(function: Callable[..., Any]) -> tuple[Markup, Markup]:
    """Return a docstring's first line, and what follows up to the arguments; empty under ``python -OO``."""
    text = (inspect.getdoc(function) or "").partition("\nArgs:")[0]
    words, _, details = text.partition("\n")
    return _mark_code(words), _mark_code(" ".join(details.split()))


def _mark_code(text: str) -> Markup:
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))
