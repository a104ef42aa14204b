import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from recipes import make_model_config

from playlist_pipeline.evaluation import plots
from playlist_pipeline.evaluation.metrics import METRICS
from playlist_pipeline.evaluation.names import name_metric
from playlist_pipeline.evaluation.report.page import Extras, Facts, Study, build_page

HOSTILE = "<script>alert('x')</script> & \"quotes\""
TUNING = {
    "metric": "ndcg@500",
    "num_trials": 3,
    "systems": {
        "als": {
            "settings": {"factors": 64, "alpha": 40.0},
            "mean": 0.123,
            "trials": 3,
            "at_edge": ["alpha"],
            "search_space": {"factors": [32, 64], "alpha": [20.0, 40.0]},
        }
    },
}
STUDIED = ("softmax, no mask, positions", "skip_gram")
VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """Reads a page: its tables, the figures drawn in it, anchors, and what it would ask for; tags must match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.scopes: list[str | None] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.labels: list[str] = []
        self.model_rows = 0
        self._rows: list[list[str]] = []
        self._caption = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.add(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.labels += [attributes["aria-label"]] if tag == "svg" and "aria-label" in attributes else []
        values = [attributes.get(name) for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href")]
        (self.links if tag == "a" else self.references).extend(value for value in values if value is not None)
        if tag == "tr":
            self._rows.append([])
            self.model_rows += attributes.get("class") == "model"
        if tag in ("td", "th"):
            self._rows[-1].append("")
            self.scopes += [attributes.get("scope")] if tag == "th" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self.tables[self._caption.strip()] = self._rows
            self._rows, self._caption = [], ""

    def handle_data(self, data):
        if "caption" in self.open:
            self._caption += data
        elif self._rows and self._rows[-1] and {"td", "th"} & set(self.open):
            self._rows[-1][-1] += data if data.strip() else ""


@pytest.fixture(scope="module")
def facts_of_page(make_config):
    def make(archive="tiny.zip"):
        return Facts(
            extraction={
                "archive": {"name": archive},
                "counts": {"playlists": 1500, "memberships": 46444, "tracks": 30, "artists": 15},
            },
            split={"train": 1200, "validation": 150, "test": 150},
            vocabulary={"kept": 20, "unseen": 8, "dropped": 2},
            test_cases={"first_k": {"playlists": 5, "too_short": 2}, "challenge": {"playlists": 1}},
            training={
                "fingerprint": "abc",
                "training_playlists": 1200,
                "steps": 7,
                "loss": 5.25,
                "validation_loss": None,
            },
            evaluate=make_config(protocols=["first_k", "challenge"]),
            model=make_model_config(num_layers=6),
        )

    return make


@pytest.fixture(scope="module")
def figures(metrics):
    history = pd.DataFrame({"step": [1, 2], "loss": [3.0, 2.0], "validation_loss": [float("nan"), 2.5]})
    return {
        "quality": plots.plot_quality(metrics),
        "differences": plots.plot_differences(metrics),
        "cohorts": plots.plot_cohorts(metrics),
        "deciles": plots.plot_deciles(metrics),
        "beyond_accuracy": plots.plot_beyond_accuracy(metrics),
        "training": plots.plot_training_curve(history),
        "tuning": None,
        "study": None,
    }


@pytest.fixture(scope="module")
def text(metrics, facts_of_page, figures):
    return build_page(metrics, facts_of_page(), figures, Extras())


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


@pytest.fixture(scope="module")
def study():
    """A study of one variant: F1 0.02 at each cutoff, against 0.016 of the item-item model."""
    means = dict(zip(STUDIED, (0.02, 0.016), strict=True))
    overall = pd.DataFrame(
        {
            "system": system,
            "loss": "softmax" if system != "skip_gram" else None,
            "causal": False,
            "positions": True,
            "chosen": system != "skip_gram",
            "metric": f"f1@{k}",
            "playlists": 1234,
            "mean": mean,
            "low": mean - 0.001,
            "high": mean + 0.001,
            "difference": mean - 0.016,
            "difference_low": mean - 0.017,
            "difference_high": mean - 0.015,
            "ratio": mean / 0.016,
        }
        for system, mean in means.items()
        for k in (10, 50, 100, 200)
    )
    report = {
        "chosen": {"system": STUDIED[0]},
        "budget": {"steps": [200], "batch_size": 16, "seeds": [1, 2, 3], "is_equal": True, "out_of_time": []},
        "paper": [{}] * 5,
        "differs": [f"F1 of {HOSTILE} is highest at f1@50", "positions do not help"],
    }
    return Study(overall, overall.assign(history="(0,50]", playlists=7), report)


def test_figures_are_those_of_the_metrics(page, metrics):
    shown = {"model": "model (this project)", "popularity": "popularity", "item_knn": "item-kNN"}
    ranking = metrics["ranking"]["first_k"]
    for metric in ranking["model"]["1"]:
        better = "lower is better" if metric == "clicks" else "higher is better"
        header, *rows = page.tables[f"{name_metric(metric)} ({better}), protocol first_k"]
        assert header == ["system", "1 seed", "2 seeds"]
        for (system, name), row in zip(shown.items(), rows, strict=False):
            assert row[0] == name
            for case, cell in zip(("1", "2"), row[1:], strict=True):
                numbers = [float(number.replace(",", "")) for number in re.findall(r"-?[\d.]+", cell)]
                expected = [ranking[system][case][metric][part] for part in ("mean", "low", "high")]
                assert numbers == pytest.approx(expected, abs=0.006 if metric == "clicks" else 0.0006)
        assert rows[3] == ["playlists", "3", "2"]
    ceilings = page.tables["recall@500 (higher is better), protocol first_k"][-1]
    assert ceilings == ["highest that the vocabulary allows", "0.917", "0.833"]


def test_every_system_case_and_protocol_is_there(page, metrics):
    captions = " ".join(page.tables)
    assert "protocol first_k" in captions
    assert "protocol challenge" in captions
    names = {row[0].partition(" (")[0] for rows in page.tables.values() for row in rows}
    assert names >= {"model", "popularity", "item-kNN", "title_only"}
    assert all("title_only" in page.tables[f"{name}, protocol challenge"][0] for name in ("coverage@10", "artists@500"))
    assert page.model_rows >= len(METRICS)


def test_differences_say_on_which_side_of_zero_their_interval_lies(text, page, metrics):
    difference = metrics["differences"]["first_k"]["popularity"]["1"]["ndcg@500"]
    caption = "NDCG@500: the model's minus the other system's, and their ratio, protocol first_k"
    cell = page.tables[caption][1][1]
    assert cell.startswith(f"{difference['mean']:+.3f} (")
    assert f"[{difference['low']:.3f}, {difference['high']:.3f}]" in cell
    sides = {
        (name, case): figures["low"] > 0
        for name, cases in metrics["differences"]["first_k"].items()
        for case, by_metric in cases.items()
        for figures in [by_metric["ndcg@500"]]
    }
    marked = {
        (name, case): "\N{BLACK UP-POINTING TRIANGLE}" in cell
        for row, name in zip(page.tables[caption][1:], ("popularity", "item_knn"), strict=False)
        for cell, case in zip(row[1:], ("1", "2"), strict=True)
    }
    assert marked == sides


def test_the_summary_names_the_best_baseline(page, metrics):
    rows = page.tables["NDCG@500: the model and the best baseline, protocol first_k"]
    assert rows[0] == ["given", "model", "best baseline", "its figure", "difference (ratio)", "playlists"]
    others = {
        name: cases["1"]["ndcg@500"]["mean"] for name, cases in metrics["ranking"]["first_k"].items() if name != "model"
    }
    assert rows[1][2] == {"popularity": "popularity", "item_knn": "item-kNN"}[max(others, key=others.get)]
    assert rows[1][3].startswith(f"{max(others.values()):.3f}")


def test_the_first_stage_alone_is_no_baseline(metrics, facts_of_page, figures):
    """The transformer has the model's figures; then there is no other system beside it."""
    names = ("ranking", "differences", "cohorts", "popularity_deciles", "beyond_accuracy")

    def with_transformer(kept):
        found = {
            name: {
                protocol: {
                    "model": systems["model"],
                    "transformer": systems["model"],
                    **{system: systems[system] for system in kept},
                }
                for protocol, systems in metrics[name].items()
            }
            for name in names
            if name != "differences"
        }
        differences = {
            protocol: {"transformer": systems["popularity"], **{system: systems[system] for system in kept}}
            for protocol, systems in metrics["differences"].items()
        }
        return Page(build_page(metrics | found | {"differences": differences}, facts_of_page(), {}, Extras()))

    caption = "NDCG@500: the model and the best baseline, protocol first_k"
    page = with_transformer(["popularity", "item_knn"])
    assert {row[2] for row in page.tables[caption][1:]} <= {"popularity", "item-kNN"}
    quality = page.tables["NDCG@500 (higher is better), protocol first_k"]
    assert [row[0] for row in quality[1:3]] == ["model (this project)", "transformer alone"]
    assert caption not in with_transformer([]).tables


def test_what_the_figures_stand_on(page):
    assert ["tracks in playlists", "46,444"] in page.tables["The data"]
    assert ["tracks that training lacks", "10"] in page.tables["The data"]
    training = page.tables["The model and its training; losses in nats, means at the end"]
    assert ["transformer layers", "6"] in training
    assert ["loss", "5.250"] in training
    assert ["validation loss", "-"] in training
    assert page.tables["Cases of protocol first_k, from 5 playlists; left out: too short 2"][1] == [
        "1 seed",
        "3",
        "0.917",
    ]
    assert ["exact", "2.750"] in page.tables["Loss on the test part, in nats"]


def test_it_asks_for_nothing(text, page):
    assert not page.tags & {"script", "iframe", "img", "object", "embed", "base", "form"}
    assert {reference for reference in page.references if not reference.startswith("#")} == {"data:,"}
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert not re.search(r"https?:|url\((?!#)|@import|@font-face|//[a-z]", text)
    assert "default-src 'none'" in text


def test_it_is_well_formed_for_readers_of_all_kinds(text, page):
    assert text.lstrip().startswith("<!doctype html>")
    assert len(page.ids) == len(set(page.ids))
    assert set(page.scopes) == {"col", "row"}
    assert len(page.tables) == text.count("<caption>")  # no two have the same caption
    for rows in page.tables.values():
        assert len({len(row) for row in rows}) == 1
    assert {label.partition(":")[0] for label in page.labels} >= {
        "Quality on the test part, protocol first_k",
        "Training curve",
    }


def test_every_metric_is_explained(text, metrics):
    terms = " ".join(re.findall(r"<dt>(.*?)</dt>", text))
    for name in (*metrics["ranking"]["first_k"]["model"]["1"], *metrics["beyond_accuracy"]["first_k"]["model"]["1"]):
        assert name_metric(name) in terms
    assert "<code>2h / (k + |G|)</code>" in text
    assert "Source: rules of the RecSys Challenge 2018" in text


def test_text_from_data_is_escaped(metrics, facts_of_page, study):
    renamed = metrics | {
        name: {protocol: {HOSTILE if key == "item_knn" else key: value for key, value in systems.items()}
               for protocol, systems in metrics[name].items()}
        for name in ("ranking", "differences", "cohorts", "popularity_deciles", "beyond_accuracy")
    }  # fmt: skip
    tuning = TUNING | {
        "systems": {HOSTILE: TUNING["systems"]["als"] | {"settings": {"a": HOSTILE}, "search_space": {"a": [HOSTILE]}}}
    }
    named = {"deciles": plots.plot_deciles(renamed)}
    text = build_page(renamed, facts_of_page(HOSTILE), named, Extras(tuning, study))
    page = Page(text)
    assert "script" not in page.tags
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > len(study.report["differs"])


def test_what_was_not_made_is_left_out_and_what_was_is_shown(text, metrics, facts_of_page, study):
    assert 'id="tuning"' not in text
    assert 'id="study"' not in text
    trials = pd.DataFrame({"system": ["als"], "trial": [1], "settings": ["{}"], "mean": [0.1]})
    made = {"tuning": plots.plot_tuning(trials), "study": plots.plot_study(study.overall, study.by_history)}
    text = build_page(metrics, facts_of_page(), made, Extras(TUNING, study))
    page = Page(text)
    assert {"tuning", "study"} <= set(page.ids)
    (tuning,) = [rows for caption, rows in page.tables.items() if caption.startswith("The searched settings of each")]
    assert tuning[1] == ["ALS", "3", "0.123", "factors 64, alpha 40.0", "alpha"]
    assert "3 of 5 claims of Amazon Music&#39;s paper are found here too. What was found otherwise:" in text
    assert "<li>positions do not help</li>" in text
    assert "took 200 steps of 16 playlists, once with each of the seeds 1, 2, 3." in text
    labels = [label for label in page.labels if label.startswith("The study")]
    assert labels == [
        "The study: F1 on the test part: all histories",
        "The study: F1 on the test part: F1@10 by tracks of the history",
    ]


def test_the_tables_of_the_study(metrics, facts_of_page, study):
    tables = Page(build_page(metrics, facts_of_page(), {}, Extras(study=study))).tables
    chosen = f"{STUDIED[0]} (chosen)"
    assert tables["F1 on the test part, all histories"] == [
        ["system", "F1@10", "F1@50", "F1@100", "F1@200"],
        [chosen, *["0.0200[0.0190, 0.0210]"] * 4],
        ["skip-gram", *["0.0160[0.0150, 0.0170]"] * 4],
        ["playlists", *["1,234"] * 4],
    ]
    differences = tables["F1 minus that of skip-gram, and their ratio, all histories"]
    assert [row[0] for row in differences] == ["system", chosen, "playlists"]
    assert differences[1][1].split() == [
        "+0.0040",
        "(\N{MULTIPLICATION SIGN}1.25)",
        "\N{BLACK UP-POINTING TRIANGLE}[0.0030,",
        "0.0050]",
    ]
    for k in (10, 50, 100, 200):
        by_history = tables[f"F1@{k} by tracks of the history"]
        assert by_history[0] == ["system", "(0,50]"]
        assert by_history[-1] == ["playlists", "7"]


def test_without_the_model_or_a_loss_the_rest_is_shown(metrics, facts_of_page):
    baselines = metrics | {
        name: {
            protocol: {system: cases for system, cases in systems.items() if system != "model"}
            for protocol, systems in metrics[name].items()
        }
        for name in ("ranking", "cohorts", "popularity_deciles", "beyond_accuracy")
    }
    del baselines["loss"]
    baselines["differences"] = {"first_k": {}, "challenge": {}}
    plain = {"differences": plots.plot_differences(baselines)}
    page = Page(build_page(baselines, facts_of_page(), plain, Extras()))
    assert page.model_rows == 0
    assert not {"summary", "differences", "training"} & set(page.ids)
    assert "quality" in page.ids
