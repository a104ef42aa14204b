"""What holds for every system."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from playlist_pipeline.config import BASELINE_PACKAGES, BASELINES, make_config
from playlist_pipeline.corpus.vocabulary import UNK
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.baselines import MAKERS, Popularity, fit_baselines, ranking

BASE = yaml.safe_load((Path(__file__).parents[3] / "conf/base/parameters_baselines.yml").read_text("utf-8"))
QUICK = {"als": {"factors": 8}, "bpr": {"factors": 8, "iterations": 5}, "skip_gram": {"vector_size": 8, "epochs": 2}}


@pytest.fixture(scope="module")
def config():
    values = BASE["baselines"] | {"seed": 7}
    return make_config("baselines", values | {name: values[name] | quick for name, quick in QUICK.items()})


@pytest.fixture(scope="module")
def systems(config, random_data):
    return fit_baselines(BASELINES, random_data, config)


def test_every_system_has_a_maker() -> None:
    assert tuple(MAKERS) == BASELINES


@pytest.mark.parametrize("name", BASELINES)
class TestEverySystem:
    def test_lists_hold_every_track_but_seeds_once(self, name, systems, random_playlists) -> None:
        seeds = [*random_playlists[:6], np.array([UNK]), np.array([], np.int32)]
        titles = ["mood 3", None, "", "mood 5", "no such thing", "MOOD 1", None, "mood 2"]
        for tokens, ranked in zip(seeds, systems[name].rank(seeds, 60, titles=titles), strict=True):
            listed = ranked[ranked >= 0]
            np.testing.assert_array_equal(ranked[len(listed) :], -1)
            assert sorted([*listed.tolist(), *set(tokens[tokens > UNK].tolist())]) == list(range(3, 43))

    def test_batch_equals_single_in_any_chunks(self, name, systems, random_playlists, monkeypatch) -> None:
        system, seeds = systems[name], random_playlists[:7]
        titles = [f"mood {number}" for number in range(6)] + [None]
        whole = system.rank(seeds, 30, titles=titles)
        assert whole.dtype == np.int32
        single = [system.rank([tokens], 30, titles=[title]) for tokens, title in zip(seeds, titles, strict=True)]
        np.testing.assert_array_equal(np.concatenate(single), whole)
        for limit, value in {"PLAYLISTS_PER_CHUNK": 4, "PRODUCTS_PER_BLOCK": 50, "SCORES_PER_BLOCK": 90}.items():
            monkeypatch.setattr(ranking, limit, value)
        np.testing.assert_array_equal(system.rank(seeds, 30, titles=titles), whole)

    def test_nothing_known_is_popularity(self, name, systems, random_data, seeds_of) -> None:
        expected = Popularity(random_data.vocabulary).rank(seeds_of([]), 20)
        for seeds in ([], [UNK], [UNK, UNK]):
            np.testing.assert_array_equal(systems[name].rank(seeds_of(seeds), 20), expected)

    def test_unknown_and_repeated_seeds_change_nothing(self, name, systems, seeds_of) -> None:
        plain, noisy = systems[name].rank(seeds_of([5, 9], [9, UNK, 5, 5, UNK]), 20)
        np.testing.assert_array_equal(plain, noisy)

    def test_no_playlists(self, name, systems) -> None:
        assert systems[name].rank([], 5).shape == (0, 5)

    def test_as_many_titles_as_playlists(self, name, systems, seeds_of) -> None:
        with pytest.raises(ValueError, match="1 titles for 2 playlists"):
            systems[name].rank(seeds_of([3], [4]), 5, titles=["mood"])

    def test_the_same_seed_gives_the_same_lists(self, name, config, systems, random_data, random_playlists) -> None:
        again = fit_baselines([name], random_data, config)[name]
        np.testing.assert_array_equal(again.rank(random_playlists, 20), systems[name].rank(random_playlists, 20))


@pytest.mark.parametrize("name", sorted(BASELINE_PACKAGES))
def test_a_missing_package_is_named(name, config, random_data, monkeypatch) -> None:
    package = BASELINE_PACKAGES[name]
    for module in [package, *(loaded for loaded in sys.modules if loaded.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, module, None)
    message = rf"^the baseline {name} needs the package {package}: install playlist_pipeline\[baselines\]$"
    with pytest.raises(UserError, match=message):
        fit_baselines([name], random_data, config)


def test_systems_come_in_the_order_asked_for(config, random_data) -> None:
    names = ["item_knn", "popularity"]
    assert list(fit_baselines(names, random_data, config)) == names
    assert fit_baselines([], random_data, config) == {}


def test_settings_reach_the_system(config, random_data, seeds_of) -> None:
    lonely = dataclasses.replace(
        config, playlist_knn=dataclasses.replace(config.playlist_knn, num_neighbours=1, length_power=0.0)
    )
    # One neighbour: its tracks lead the list, in the order of their tokens.
    nearest = fit_baselines(["playlist_knn"], random_data, lonely)["playlist_knn"].rank(seeds_of([5, 9, 20]), 40)[0]
    playlists = [set(random_data.sequences[index].tolist()) for index in range(len(random_data.sequences))]
    others = [sorted(playlist - {5, 9, 20}) for playlist in playlists]
    assert any(len(other) > 1 and nearest[: len(other)].tolist() == other for other in others)
