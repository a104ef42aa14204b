"""Ranking by both stages, and the folder of the second one."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from playlist_pipeline.corpus.vocabulary import SPECIALS, UNK
from playlist_pipeline.errors import UserError
from playlist_pipeline.generation import Recommender
from playlist_pipeline.generation.reranking import reranker as module
from playlist_pipeline.generation.reranking.reranker import Reranker, load_reranker, save_reranker
from playlist_pipeline.model import save_model

K = 9


@pytest.fixture(scope="module")
def reranker(state, model):
    return Reranker(state, model, batch_size=2)


@pytest.fixture(scope="module")
def asked(seeds_of):
    """Playlists with and without seeds, unknown seeds and titles."""
    seeds = seeds_of([3, 7], [], [UNK, 4, UNK], [8], [], [3, 4, 5, 6, 7, 8, 9])
    return seeds, ["rock", "jazz", None, "Gamma hits", None, "rock"]


def test_lists_have_no_seed_no_special_token_and_nothing_twice(reranker, asked):
    seeds, titles = asked
    tokens, scores = reranker.rank(seeds, K, titles=titles)
    assert (tokens.shape, tokens.dtype) == ((6, K), np.int32)
    assert (scores.shape, scores.dtype) == ((6, K), np.float32)
    for ranked, values, given in zip(tokens.tolist(), scores.tolist(), seeds, strict=True):
        found = [token for token in ranked if token != -1]
        # All tracks of the training playlists but the seeds; token 10 is in none.
        assert sorted(found) == [token for token in range(len(SPECIALS), 10) if token not in given]
        assert ranked == found + [-1] * (K - len(found))
        assert values[: len(found)] == sorted(values[: len(found)], reverse=True)
        assert np.isfinite(values[: len(found)]).all()
        assert set(values[len(found) :]) <= {-np.inf}


def test_the_network_decides_the_order(reranker, model, state, asked):
    seeds, titles = asked
    contrary = nnx.clone(state.network)
    for layer in (contrary.output, contrary.linear):
        layer.kernel[...] = -layer.kernel[...]
    against = Reranker(dataclasses.replace(state, network=contrary), model, batch_size=2)
    lists, reversed_lists = (system.rank(seeds, K, titles=titles)[0] for system in (reranker, against))
    for ranked, backwards in zip(lists, reversed_lists, strict=True):
        found = ranked[ranked != -1]
        np.testing.assert_array_equal(backwards[: len(found)], found[::-1])


def test_a_batch_gives_what_each_playlist_gives_alone(reranker, asked, monkeypatch):
    seeds, titles = asked
    tokens, scores = reranker.rank(seeds, K, titles=titles)
    for number, (given, title) in enumerate(zip(seeds, titles, strict=True)):
        alone, values = reranker.rank([given], K, titles=[title])
        np.testing.assert_array_equal(alone[0], tokens[number])
        np.testing.assert_allclose(values[0], scores[number], rtol=1e-3)
    monkeypatch.setattr(module, "PLAYLISTS_AT_A_TIME", 4)  # two blocks
    np.testing.assert_array_equal(reranker.rank(seeds, K, titles=titles)[0], tokens)


def test_lengths_of_lists(reranker, asked):
    seeds, titles = asked
    tokens, _ = reranker.rank(seeds, K, titles=titles)
    np.testing.assert_array_equal(reranker.rank(seeds, 2, titles=titles)[0], tokens[:, :2])
    long, scores = reranker.rank(seeds, 30, titles=titles)  # more than there are tokens
    np.testing.assert_array_equal(long[:, :K], tokens)
    assert (long[:, K:] == -1).all()
    assert np.isneginf(scores[:, K:]).all()
    assert reranker.rank([], 5)[0].shape == (0, 5)


def test_titles_count(reranker, seeds_of):
    seeds = seeds_of([], [3])
    with_title, without = (reranker.rank(seeds, K, titles=titles)[1] for titles in (["jazz", "jazz"], [None, None]))
    assert (with_title != without).any(axis=1).all()
    np.testing.assert_array_equal(reranker.rank(seeds, K)[1], without)


def test_each_playlist_has_a_title_or_none_has(reranker, seeds_of):
    with pytest.raises(ValueError, match="1 titles for 2 playlists"):
        reranker.rank(seeds_of([3], [4]), 5, titles=["jazz"])


def test_a_state_without_a_network_cannot_rank(state, model):
    with pytest.raises(ValueError, match="no second stage"):
        Reranker(dataclasses.replace(state, network=None), model, batch_size=2)


class TestFolder:
    @pytest.fixture
    def folder(self, state, tmp_path):
        save_reranker(tmp_path / "reranker", state)
        return tmp_path / "reranker"

    def test_what_was_saved_ranks_the_same(self, folder, model, reranker, asked):
        loaded = load_reranker(folder)
        assert loaded.titles == ["Rock", "rock songs", "Jazz", None]
        seeds, titles = asked
        for found, expected in zip(
            Reranker(loaded, model, batch_size=2).rank(seeds, K, titles=titles),
            reranker.rank(seeds, K, titles=titles),
            strict=True,
        ):
            np.testing.assert_array_equal(found, expected)

    def test_the_same_state_gives_the_same_bytes(self, folder, state, tmp_path):
        save_reranker(tmp_path / "again", state)
        for path in folder.iterdir():
            assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()

    def test_saving_again_replaces_the_folder(self, folder, state):
        save_reranker(folder, dataclasses.replace(state, network=None, num_candidates=7))
        loaded = load_reranker(folder)
        assert (loaded.network, loaded.num_candidates) == (None, 7)
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    def test_another_folder_is_not_replaced(self, state, tmp_path):
        (tmp_path / "mine.txt").write_text("x")
        with pytest.raises(UserError, match="is no second stage's folder"):
            save_reranker(tmp_path, state)
        assert (tmp_path / "mine.txt").is_file()

    @pytest.mark.parametrize("name", ["config.json", "arrays.safetensors", "texts.json"])
    def test_a_missing_or_broken_file_is_refused(self, folder, name):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        with pytest.raises(UserError, match="cannot read the second stage"):
            load_reranker(folder)
        (folder / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(UserError, match="cannot read the second stage"):
            load_reranker(folder)

    @pytest.mark.parametrize("changes", [{"format": 0}, {"features": ["log_count"]}])
    def test_another_version_is_refused(self, folder, changes):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(UserError, match="of another version of this program"):
            load_reranker(folder)

    @pytest.mark.parametrize("change", [lambda array: array[:-1], lambda array: None])
    def test_weights_of_another_shape_are_refused(self, folder, change):
        arrays = safetensors.numpy.load_file(folder / "arrays.safetensors")
        changed = change(arrays.pop("network.hidden.kernel"))
        arrays |= {} if changed is None else {"network.hidden.kernel": np.ascontiguousarray(changed)}
        safetensors.numpy.save_file(arrays, folder / "arrays.safetensors")
        with pytest.raises(UserError, match=r"cannot read the second stage \(.*network.hidden.kernel"):
            load_reranker(folder)


class TestRecommender:
    @pytest.fixture
    def second_stage(self, state, circle):
        """The second stage of ``state`` for the vocabulary of ``circle``, which has three more tracks."""
        of_token = np.append(state.artists.of_token, [2, 2, 3]).astype(np.int32)
        artists = dataclasses.replace(state.artists, of_token=of_token)
        return dataclasses.replace(state, artists=artists, vocabulary=circle.vocabulary.fingerprint)

    def test_both_stages_rank_where_there_are_two(self, circle, second_stage, seeds_of):
        both, first = Recommender(circle, reranker=second_stage), Recommender(circle)
        seeds, titles = seeds_of([5, 6], []), ["rock", "jazz"]
        expected, _ = Reranker(second_stage, circle.model, batch_size=32).rank(seeds, 5, titles=titles)
        np.testing.assert_array_equal(both.rank(seeds, 5, titles=titles), expected)
        assert (both.rank(seeds, 5, titles=titles) != first.rank(seeds, 5, titles=titles)).any()
        alone = Recommender(circle, reranker=dataclasses.replace(second_stage, network=None))
        assert alone.reranker is None
        np.testing.assert_array_equal(alone.rank(seeds, 5, titles=titles), first.rank(seeds, 5))

    def test_recommendations_take_the_name_in(self, circle, second_stage):
        recommender = Recommender(circle, reranker=second_stage)
        named, unnamed = (recommender.recommend(k=5, name=name)["score"].tolist() for name in ("jazz", None))
        assert named != unnamed

    def test_a_workspace_brings_its_second_stage(self, circle, second_stage, tmp_path, seeds_of):
        save_model(tmp_path / "06_models" / "model", circle)
        assert Recommender.load(tmp_path).reranker is None
        save_reranker(tmp_path / "06_models" / "reranker", second_stage)
        both, seeds = Recommender.load(tmp_path), seeds_of([5], [3, 4])
        np.testing.assert_array_equal(both.rank(seeds, 5), Recommender(circle, reranker=second_stage).rank(seeds, 5))
        assert Recommender.load(tmp_path / "06_models" / "model").reranker is None

    def test_a_second_stage_of_another_vocabulary_is_refused(self, circle, state):
        with pytest.raises(UserError, match="belongs to another vocabulary than the model"):
            Recommender(circle, reranker=state)
