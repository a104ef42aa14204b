"""Tuning on the validation part: a search along the settings of a system, whose trials are kept.

The search starts at the configured settings. It tries the next lower and the next higher value of each setting,
others being those of the best trial so far, and goes on from a better one when it finds it. A value at the end of a
grid has a further one, found by ``extend_grid``, so that the best value lies inside of what was tried unless the
trials run out or the setting has a natural limit there. When all neighbours of the best trial are tried, the rest of
the trials are random points of the grid.
"""

import dataclasses
import hashlib
import itertools
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from playlist_pipeline.config import (
    TUNABLE,
    BaselinesConfig,
    Config,
    ConfigError,
    EvaluateConfig,
    TuningConfig,
)
from playlist_pipeline.evaluation.baselines import MAKERS, Ranker, TrainingPlaylists
from playlist_pipeline.evaluation.cases import CasesByProtocol, cases_to_table
from playlist_pipeline.evaluation.rankings import measure_lists, rank_lists
from playlist_pipeline.evaluation.results import ResultStore
from playlist_pipeline.fingerprint import code_fingerprint, fingerprint_of

logger = logging.getLogger(__name__)

Value = int | float | str | bool
Settings = Mapping[str, Value]
Grids = Mapping[str, Sequence[Value]]


class Searchable(Protocol):
    """Settings that can be searched: ``Config`` and ``SystemConfig``."""

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some settings changed; ``ConfigError`` if they are not allowed."""

    def to_dict(self) -> dict[str, Any]:
        """Return the settings by name."""


Searched = TypeVar("Searched", bound=Searchable)

RANDOM_DRAWS = 200
DIGITS = 6  # of an extended grid's values


@dataclasses.dataclass(frozen=True)
class Trial:
    """One setting of a system, measured on the validation part.

    Attributes:
        settings: All of the system's settings.
        scores: Case to the mean of the metric over its playlists.
        seconds: Fitting and ranking.
    """

    settings: dict[str, Value]
    scores: dict[str, float]
    seconds: float

    @property
    def mean(self) -> float:
        """Mean of the scores over the cases."""
        return float(np.mean(list(self.scores.values())))


class TrialStore(ResultStore[Trial]):
    """Finished trials as files, one for each, so that they are not repeated.

    Args:
        path: The folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, Trial)


def tune_systems(
    data: TrainingPlaylists,
    cases: CasesByProtocol,
    config: EvaluateConfig,
    baselines: BaselinesConfig,
    tuning: TuningConfig,
    *,
    store: TrialStore,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Tune each of ``tuning.systems`` on the validation part, by the same number of trials.

    A system without a search space has one trial.

    Args:
        data: Training part.
        cases: The validation part's.
        config: ``num_recommendations`` counts here.
        baselines: The settings that the search begins with, and the seed of the systems.
        tuning: The search.
        store: Keeps finished trials.

    Returns:
        ``tabulate_trials``, and a report: ``metric``, ``num_trials``, and ``systems`` with each one's
        ``describe_search``.
    """
    code = code_fingerprint("playlist_pipeline.evaluation.baselines")
    inputs: dict[str, Any] = {"data": data.fingerprint, "cases": fingerprint_table(cases_to_table(cases)), "code": code}
    inputs |= {"seed": baselines.seed, "num_recommendations": config.num_recommendations, "metric": tuning.metric}
    trials, report = {}, {}
    for system in tuning.systems:

        def measure(settings: Config, system: str = system) -> dict[str, float]:
            fitted = MAKERS[system](data, settings, baselines.seed)
            return measure_system(fitted, cases, config, metric=tuning.metric)

        start, space = baselines.settings_of(system), tuning.search_space.get(system, {})
        trials[system] = tune_system(system, start, tuning, measure=measure, store=store, context=inputs)
        report[system] = describe_search(trials[system], start, space)
        if at_edge := ", ".join(report[system]["at_edge"]):
            logger.warning("%s: more trials are wanted, the best is at the edge of what was tried: %s", system, at_edge)
    return tabulate_trials(trials), {"metric": tuning.metric, "num_trials": tuning.num_trials, "systems": report}


def measure_system(system: Ranker, cases: CasesByProtocol, config: EvaluateConfig, *, metric: str) -> dict[str, float]:
    """Return the mean of a metric over the playlists of each case.

    Args:
        system: Ranks.
        cases: Protocol, then case, to its playlists.
        config: ``num_recommendations`` counts here.
        metric: One of ``METRICS``.
    """
    scores = {}
    for protocol, parts in cases.items():
        for case, part in parts.items():
            lists = rank_lists(system, part, config.num_recommendations, name=protocol)
            scores[f"{protocol} {case}"] = float(measure_lists(lists, part)[metric].mean())
    return scores


def apply_settings(baselines: BaselinesConfig, report: Mapping[str, Any]) -> BaselinesConfig:
    """Return the configuration with the settings that a report of ``tune_systems`` chose."""
    chosen = {system: found["settings"] for system, found in report["systems"].items() if system in TUNABLE}
    return BaselinesConfig(**baselines.to_dict() | chosen)


def tune_system(
    system: str,
    start: Searched,
    config: TuningConfig,
    *,
    measure: Callable[[Searched], Mapping[str, float]],
    store: TrialStore,
    context: Mapping[str, Any],
) -> list[Trial]:
    """Try settings of a system.

    Args:
        system: Its name.
        start: The settings to begin with.
        config: ``num_trials``, ``search_space`` and ``seed`` count here.
        measure: Fits the system with some settings and returns the metric for each case.
        store: Keeps finished trials.
        context: What else a trial depends on, such as digests of data and code.

    Returns:
        Trials in their order, at most ``num_trials``: fewer if the grid has no more points.
    """
    trials: list[Trial] = []
    while len(trials) < config.num_trials:
        proposed = propose_settings(trials, start, config.search_space.get(system, {}), seed=config.seed)
        if proposed is None:
            break
        key = fingerprint_of({"system": system, "settings": proposed.to_dict(), **context})
        trial = store.load(key)
        if trial is None:
            began = time.monotonic()
            scores = dict(measure(proposed))
            trial = Trial(proposed.to_dict(), scores, round(time.monotonic() - began, 3))
            store.save(key, trial)
        trials.append(trial)
        values = ", ".join(f"{name} {trial.settings[name]}" for name in config.search_space.get(system, {}))
        logger.info("%s, trial %d of %d: %.4f with %s", system, len(trials), config.num_trials, trial.mean, values)
    return trials


def find_best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the highest mean; of equal ones the first."""
    return max(trials, key=lambda trial: trial.mean)


def propose_settings(trials: Sequence[Trial], start: Searched, space: Grids, *, seed: int) -> Searched | None:
    """Choose what to try next; it follows from the trials so far.

    Args:
        trials: The trials so far.
        start: The settings to begin with.
        space: Values to try, rising if they are numbers, of each setting that is searched.
        seed: Of the random points at the end.

    Returns:
        Settings that were not tried, or None if there are none left.
    """
    if not trials:
        return start
    tried = {_key_of(trial.settings, space) for trial in trials}
    best = start.replace(**find_best(trials).settings)
    grids = _widen_grids(space, start, trials)
    values_tried = {name: {trial.settings[name] for trial in trials} for name in space}
    # A setting of which little was tried comes first.
    for name in sorted(space, key=lambda name: len(values_tried[name])):
        for neighbour in find_neighbours(best, name, grids[name]):
            if _key_of(neighbour.to_dict(), space) not in tried:
                return neighbour
    return _draw_settings(best, grids, tried, np.random.default_rng([seed, len(trials)]))


def find_neighbours(settings: Searched, name: str, grid: Sequence[Value]) -> list[Searched]:
    """List settings that differ from ``settings`` in one of them.

    Args:
        settings: One point of the grid.
        name: The setting to change.
        grid: Its values, among them that of ``settings``.

    Returns:
        For a number the next higher and the next lower value, beyond the grid's ends those of ``extend_grid``; else all
        other values. What the settings' class refuses is left out: there the setting has a natural limit.
    """
    value = settings.to_dict()[name]
    if not _is_number(value):
        candidates: list[Value] = [other for other in grid if other != value]
    else:
        place = grid.index(value)
        higher = grid[place + 1] if place + 1 < len(grid) else extend_grid(grid, upwards=True)
        lower = grid[place - 1] if place else extend_grid(grid, upwards=False)
        candidates = [candidate for candidate in (higher, lower) if candidate != value]
    return [changed for candidate in candidates if (changed := _change(settings, {name: candidate})) is not None]


def extend_grid(grid: Sequence[Any], *, upwards: bool) -> int | float:
    """Return the next value beyond an end of a rising grid of numbers.

    It goes on geometrically where the two values at that end are positive, else by their difference; a grid of one
    value is doubled or halved. Whole numbers stay whole.
    """
    if len(grid) == 1:
        value = grid[0] * 2 if upwards else grid[0] / 2
    else:
        end, inner = (grid[-1], grid[-2]) if upwards else (grid[0], grid[1])
        value = end * end / inner if end > 0 and inner > 0 else end + (end - inner)
    if all(isinstance(item, int) for item in grid):
        return round(value)
    return float(f"{value:.{DIGITS}g}")


def describe_search(trials: Sequence[Trial], start: Searchable, space: Grids) -> dict[str, Any]:
    """Sum up a search.

    Args:
        trials: At least one.
        start: The settings that it began with.
        space: The values that were to be tried.

    Returns:
        ``settings``, ``mean`` and ``scores`` by case of the best trial; ``trials``, their number; ``search_space`` and
        ``tried``, the values of each setting that were given and that were tried; ``at_edge``, numeric settings whose
        best value is the lowest or highest tried although the setting goes on there; ``at_limit``, those for which it
        does not; ``settled``, whether all neighbours of the best trial were tried.
    """
    best = find_best(trials)
    settings = start.replace(**best.settings)
    tried = {name: sorted({trial.settings[name] for trial in trials}) for name in space}
    at_edge: list[str] = []
    at_limit: list[str] = []
    for name, values in tried.items():
        value: Any = best.settings[name]
        if not _is_number(value):
            continue
        ends = [upwards for upwards, end in ((False, values[0]), (True, values[-1])) if value == end]
        open_ends = [upwards for upwards in ends if _goes_on(settings, name, values, space[name], upwards=upwards)]
        (at_edge if open_ends else at_limit if ends else []).append(name)
    return {
        "settings": best.settings,
        "mean": best.mean,
        "scores": best.scores,
        "trials": len(trials),
        "search_space": {name: list(values) for name, values in space.items()},
        "tried": tried,
        "at_edge": at_edge,
        "at_limit": at_limit,
        "settled": _is_settled(settings, trials, _widen_grids(space, start, trials)),
    }


def tabulate_trials(trials: Mapping[str, Sequence[Trial]]) -> pd.DataFrame:
    """Return one row for each trial: system, trial (from 1), settings (JSON), the metric of each case, mean, seconds.

    Args:
        trials: System to its trials; at least one in all.
    """
    rows = [
        {
            "system": system,
            "trial": number,
            "settings": json.dumps(trial.settings),
            **trial.scores,
            "mean": trial.mean,
            "seconds": trial.seconds,
        }
        for system, of_system in trials.items()
        for number, trial in enumerate(of_system, 1)
    ]
    return pd.DataFrame(rows)


def fingerprint_table(table: pa.Table) -> str:
    """Return the SHA-256 of a table's content, as hexadecimal text."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _change(settings: Searched, changes: Settings) -> Searched | None:
    """Return changed settings; None if their class refuses them."""
    try:
        return settings.replace(**changes)
    except ConfigError:
        return None


def _goes_on(settings: Searchable, name: str, tried: list[Any], grid: Sequence[Any], *, upwards: bool) -> bool:
    """Return whether a setting allows a value beyond the ends of what was tried."""
    beyond = extend_grid(sorted({*tried, *grid}), upwards=upwards)
    inside = [value for value in grid if (value > tried[-1] if upwards else value < tried[0])]
    return bool(inside) or (beyond != settings.to_dict()[name] and _change(settings, {name: beyond}) is not None)


def _is_settled(settings: Searchable, trials: Sequence[Trial], grids: Grids) -> bool:
    tried = {_key_of(trial.settings, grids) for trial in trials}
    neighbours = (neighbour for name, grid in grids.items() for neighbour in find_neighbours(settings, name, grid))
    return all(_key_of(neighbour.to_dict(), grids) in tried for neighbour in neighbours)


def _key_of(settings: Settings, space: Grids) -> tuple[Value, ...]:
    return tuple(settings[name] for name in space)


def _widen_grids(space: Grids, start: Searchable, trials: Sequence[Trial]) -> dict[str, list[Value]]:
    """Return the grids with the first and all tried values among them."""
    grids: dict[str, list[Value]] = {}
    for name, values in space.items():
        known = dict.fromkeys([*values, start.to_dict()[name], *(trial.settings[name] for trial in trials)])
        grids[name] = sorted(known, key=float) if all(map(_is_number, known)) else list(known)
    return grids


def _draw_settings(
    settings: Searched, grids: Grids, tried: set[tuple[Value, ...]], rng: np.random.Generator
) -> Searched | None:
    """Draw a point of the grid that was not tried; None if none is found."""
    if np.prod([len(grid) for grid in grids.values()], dtype=float) <= RANDOM_DRAWS:
        left = [point for point in itertools.product(*grids.values()) if point not in tried]
        points = [left[place] for place in rng.permutation(len(left))]
    else:
        drawn = ([grid[int(rng.integers(len(grid)))] for grid in grids.values()] for _ in range(RANDOM_DRAWS))
        points = [point for point in map(tuple, drawn) if point not in tried]
    changed = (_change(settings, dict(zip(grids, point, strict=True))) for point in points)
    return next((settings for settings in changed if settings is not None), None)
