"""The study's tables and report: F1 overall and by length of history, the chosen variant, and the paper's claims.

A system's figure for a playlist is the mean over its seeds. Intervals are percentile bootstrap intervals of the mean
over playlists; all systems share the resamples, so those of differences and ratios are paired.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from playlist_pipeline.config import StudyConfig
from playlist_pipeline.evaluation.bootstrap import bootstrap_means, bootstrap_ratios
from playlist_pipeline.evaluation.cases import TestCases
from playlist_pipeline.evaluation.study.runs import ITEM_ITEM, METRICS, System, list_seeds, list_systems, name_variant
from playlist_pipeline.evaluation.summary import COHORTS

CHOICE_METRIC = METRICS[0]
SWITCHES = ("causal", "positions")
# F1 of the best variant, mask off and positions on, and of the neural item-item model. Source: the personal preference
# study of Amazon Music.
PAPER_BEST = {"causal": False, "positions": True}
PAPER_F1: Mapping[str, tuple[float, float]] = {
    "f1@10": (0.0228, 0.0178),
    "f1@50": (0.0190, 0.0148),
    "f1@100": (0.0154, 0.0120),
    "f1@200": (0.0112, 0.0087),
}


class Interval(NamedTuple):
    """A figure and the ends of its interval; None where it is not defined."""

    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class StudyFigures:
    """Figures of the systems on one part.

    Attributes:
        systems: m systems, in the order of the tables.
        by_seed: System to figures of each of its runs, float64 [seeds, n, metrics] in the order of ``METRICS``.
        history_lengths: Given tracks of each playlist, int64 [n].
    """

    systems: Sequence[System]
    by_seed: Mapping[str, np.ndarray]
    history_lengths: np.ndarray

    @classmethod
    def read(cls, figures: pa.Table, cases: TestCases, config: StudyConfig) -> "StudyFigures":
        """Read the figures of all runs on one part.

        Args:
            figures: ``FIGURES_SCHEMA``.
            cases: Of the part.
            config: The study.

        Raises:
            ValueError: A run does not have one figure for each playlist.
        """
        of_part = figures.filter(pc.field("part") == cases.case)
        by_seed = {}
        for system in list_systems(config):
            values = []
            for seed in list_seeds(system, config):
                rows = of_part.filter((pc.field("system") == system.name) & (pc.field("seed") == seed))
                if not np.array_equal(rows["playlist_id"].to_numpy(), cases.playlist_ids):
                    raise ValueError(f"{system.name}, seed {seed}: the figures are not those of the {cases.case} part")
                values.append(np.stack([rows[metric].to_numpy() for metric in METRICS], axis=1))
            by_seed[system.name] = np.stack(values)
        return cls(list_systems(config), by_seed, cases.seeds.lengths)

    def average(self, system: str) -> np.ndarray:
        """Return the means over the seeds of a system, float64 [n, metrics]."""
        return self.by_seed[system].mean(axis=0)

    def take(self, chosen: np.ndarray) -> "StudyFigures":
        """Return the figures of some playlists; bool [n]."""
        by_seed = {system: values[:, chosen] for system, values in self.by_seed.items()}
        return StudyFigures(self.systems, by_seed, self.history_lengths[chosen])


def choose_variant(validation: StudyFigures) -> System:
    """Return the variant and loss with the highest mean ``f1@10`` on the validation part; of equal ones the first."""
    variants = [system for system in validation.systems if system.is_variant]
    return max(variants, key=lambda system: float(validation.average(system.name)[:, 0].mean()))


def tabulate_overall(test: StudyFigures, chosen: System, config: StudyConfig) -> pd.DataFrame:
    """Return the first table: F1 at each cutoff, of each system.

    Args:
        test: Figures on the test part.
        chosen: The variant chosen on the validation part.
        config: The bootstrap.

    Returns:
        One row for each system and metric: ``system``, ``loss``, ``causal``, ``positions``, ``chosen``, ``metric``,
        ``seeds``, ``playlists``, ``mean`` with ``low`` and ``high``, ``seed_std`` (standard deviation of the mean over
        the seeds; None with one), and ``difference`` to the item-item baseline and ``ratio`` to it, each with ends.
    """
    columns = _compare(test, config)
    rows = []
    for system, (place, metric) in itertools.product(test.systems, enumerate(METRICS)):
        means = test.by_seed[system.name][:, :, place].mean(axis=1)
        rows.append(
            {
                "system": system.name,
                "loss": system.loss,
                "causal": system.causal,
                "positions": system.positions,
                "chosen": system.name == chosen.name,
                "metric": metric,
                "seeds": len(means),
                "playlists": len(test.history_lengths),
                **columns[system.name, metric],
                "seed_std": float(means.std(ddof=1)) if len(means) > 1 else None,
            }
        )
    return pd.DataFrame(rows)


def tabulate_by_history(test: StudyFigures, chosen: System, config: StudyConfig) -> pd.DataFrame:
    """Return the second table: the first one for playlists with histories of similar length.

    Args:
        test: Figures on the test part.
        chosen: The variant chosen on the validation part.
        config: The bootstrap.

    Returns:
        Columns ``history`` (a key of ``COHORTS``) and those of ``tabulate_overall``; a cohort without playlists has no
        rows.
    """
    tables = []
    for cohort, (low, high) in COHORTS.items():
        inside = (test.history_lengths > low) & (test.history_lengths <= high)
        if inside.any():
            table = tabulate_overall(test.take(inside), chosen, config)
            table.insert(0, "history", cohort)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def report_study(
    runs: pd.DataFrame, validation: StudyFigures, test: StudyFigures, config: StudyConfig
) -> dict[str, Any]:
    """Sum the study up.

    Args:
        runs: From ``tabulate_runs``.
        validation: Their figures on the validation part.
        test: Their figures on the test part.
        config: The study.

    Returns:
        ``chosen``: the variant; ``validation_f1@10`` of all variants; ``against_item_item``: by metric the chosen
        variant's and the baseline's mean on the test part, difference and ratio with ends; ``playlists`` by part;
        ``budget``: what each training was given, and what it took; ``seconds`` of each run, by system; ``paper``: its
        claims beside what was measured; ``differs``: in words, where they do not agree.
    """
    chosen = choose_variant(validation)
    compared = _compare(test, config)
    claims = check_claims(validation, test, config)
    names = [system.name for system in validation.systems if system.is_variant]
    return {
        "chosen": {
            "system": chosen.name,
            "loss": chosen.loss,
            "causal": chosen.causal,
            "positions": chosen.positions,
        },
        f"validation_{CHOICE_METRIC}": {name: float(validation.average(name)[:, 0].mean()) for name in names},
        "against_item_item": {
            metric: {"baseline": compared[ITEM_ITEM, metric]["mean"], **compared[chosen.name, metric]}
            for metric in METRICS
        },
        "playlists": {"validation": len(validation.history_lengths), "test": len(test.history_lengths)},
        "budget": describe_budget(runs, config),
        "seconds": {system.name: runs["seconds"][runs["system"] == system.name].tolist() for system in test.systems},
        "paper": claims,
        "differs": [claim["words"] for claim in claims if not claim["agrees"]],
    }


def describe_budget(runs: pd.DataFrame, config: StudyConfig) -> dict[str, Any]:
    """Return what the trainings were given and what they took.

    Args:
        runs: From ``tabulate_runs``.
        config: The study.

    Returns:
        ``max_steps``, ``batch_size``, ``max_minutes`` and ``seeds`` as given; ``steps``, ``playlists_seen`` and
        ``parameters``: the different numbers among the trainings, rising; ``out_of_time``: the trainings whose time
        ran out, with their steps; ``is_equal``: whether all took as many steps.
    """
    trainings = runs[runs["steps"].notna()]
    late = trainings[trainings["steps"] < trainings["planned_steps"]]
    taken = {
        name: sorted(set(trainings[name].astype(int).tolist())) for name in ("steps", "playlists_seen", "parameters")
    }
    return {
        "max_steps": config.train["max_steps"],
        "batch_size": config.train["batch_size"],
        "max_minutes": config.max_minutes,
        "seeds": list(config.seeds),
        **taken,
        "out_of_time": late[["system", "seed", "steps"]].astype({"steps": int}).to_dict("records"),
        "is_equal": len(taken["steps"]) == 1,
    }


def check_claims(validation: StudyFigures, test: StudyFigures, config: StudyConfig) -> list[dict[str, Any]]:
    """Put the paper's claims beside what was measured.

    Args:
        validation: Figures on the validation part, which chooses the variant.
        test: Figures on the test part.
        config: The study.

    Returns:
        For each claim ``claim``, ``paper``, ``measured``, ``low``, ``high`` (None without interval), ``agrees`` and
        ``words``, one sentence that says what was measured.
    """
    chosen = choose_variant(validation)
    claims = [_check_choice(chosen)]
    claims += [_check_switch(test, loss, switch, config) for loss in config.losses for switch in SWITCHES]
    compared = _compare(test, config)
    claims += [_check_ratio(chosen, metric, compared[chosen.name, metric]) for metric in METRICS]
    claims.append(_check_order(test, chosen))
    return claims


def _check_choice(chosen: System) -> dict[str, Any]:
    best = {switch: getattr(chosen, switch) for switch in SWITCHES}
    return {
        "claim": "best variant",
        "paper": dict(PAPER_BEST),
        "measured": best,
        "low": None,
        "high": None,
        "agrees": best == PAPER_BEST,
        "words": f"the best variant on the validation part is {chosen.name!r}; in the paper, no mask with positions",
    }


def _check_switch(test: StudyFigures, loss: str, switch: str, config: StudyConfig) -> dict[str, Any]:
    """Compare a switch as in the paper's best variant with its opposite, the other switch as in that variant."""
    better = test.average(name_variant(loss, **PAPER_BEST))[:, :1]
    other = test.average(name_variant(loss, **PAPER_BEST | {switch: not PAPER_BEST[switch]}))[:, :1]
    difference = _bootstrap(better - other, config)[0]
    label = {"causal": "no mask instead of the mask", "positions": "positions instead of none"}[switch]
    assert difference.low is not None
    return {
        "claim": f"{loss}: {label} raises {CHOICE_METRIC}",
        "paper": "higher",
        "measured": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "agrees": difference.low > 0,
        "words": (
            f"{loss}: {label} changes {CHOICE_METRIC} on the test part by {difference.mean:+.4f} "
            f"[{difference.low:+.4f}, {difference.high:+.4f}]; in the paper it raises it"
        ),
    }


def _check_ratio(chosen: System, metric: str, compared: Mapping[str, float | None]) -> dict[str, Any]:
    """Compare the ratio of the chosen variant to the item-item baseline with the paper's."""
    best, baseline = PAPER_F1[metric]
    ratio, low, high = (compared[key] for key in ("ratio", "ratio_low", "ratio_high"))
    is_defined = low is not None and high is not None
    measured = f"is {ratio:.2f} [{low:.2f}, {high:.2f}]" if is_defined else "is not defined"
    of_paper = best / baseline
    return {
        "claim": f"{metric} of the best variant over the item-item baseline's",
        "paper": of_paper,
        "measured": ratio,
        "low": low,
        "high": high,
        "agrees": low is not None and high is not None and low <= of_paper <= high,
        "words": f"{metric} of {chosen.name!r} over the item-item baseline's {measured}; in the paper {of_paper:.2f}",
    }


def _check_order(test: StudyFigures, chosen: System) -> dict[str, Any]:
    """Compare at which number of recommendations F1 is highest."""
    means = test.average(chosen.name).mean(axis=0)
    highest, of_paper = METRICS[int(means.argmax())], max(PAPER_F1, key=lambda metric: PAPER_F1[metric][0])
    return {
        "claim": "where F1 is highest",
        "paper": of_paper,
        "measured": highest,
        "low": None,
        "high": None,
        "agrees": highest == of_paper,
        "words": f"F1 of {chosen.name!r} is highest at {highest}; in the paper at {of_paper}",
    }


def _compare(test: StudyFigures, config: StudyConfig) -> dict[tuple[str, str], dict[str, float | None]]:
    """Return mean, difference and ratio to the item-item baseline, each with ends, by system and metric."""
    averages = {system.name: test.average(system.name) for system in test.systems}
    values = np.concatenate(list(averages.values()), axis=1)  # [n, systems * metrics]
    references = np.tile(averages[ITEM_ITEM], len(averages))
    figures = {
        "mean": _bootstrap(values, config),
        "difference": _bootstrap(values - references, config),
        "ratio": _bootstrap(values, config, references),
    }
    compared = {}
    for place, (system, metric) in enumerate(itertools.product(averages, METRICS)):
        row: dict[str, float | None] = {}
        for name, intervals in figures.items():
            prefix = "" if name == "mean" else f"{name}_"
            interval = intervals[place]
            row |= {name: interval.mean, f"{prefix}low": interval.low, f"{prefix}high": interval.high}
        compared[system, metric] = row
    return compared


def _bootstrap(values: np.ndarray, config: StudyConfig, references: np.ndarray | None = None) -> list[Interval]:
    """Return the interval of the mean of each column, or of its ratio to that of ``references``."""
    settings = {"num_samples": config.bootstrap_samples, "confidence": config.confidence, "seed": config.seed}
    if references is None:
        ends = bootstrap_means(values, **settings)  # type: ignore[arg-type]
    else:
        ends = bootstrap_ratios(values, references, **settings)  # type: ignore[arg-type]
    return [
        Interval(*(float(end) if np.isfinite(end) else None for end in column)) for column in zip(*ends, strict=True)
    ]
