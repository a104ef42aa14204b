"""Ranking by both stages, and the folder of the second one."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from playlist_pipeline.corpus.vocabulary import SPECIALS, UNK
from playlist_pipeline.digests import write_digests
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


def load_refused(folder, *, resealed=True):
    """Return the one line with which a folder is refused, its digests made right before."""
    if resealed:
        write_digests(folder)
    with pytest.raises(UserError) as error:
        load_reranker(folder)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("make it again with `kedro run --pipelines=rerank`, or take a whole copy of it")
    return str(error.value)


def change_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


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
    def test_a_folder_that_has_changed_is_refused_by_its_digests(self, folder, name):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + b"?")
        assert f"{name}' has changed" in load_refused(folder, resealed=False)
        (folder / name).unlink()
        assert f"{name}' is missing" in load_refused(folder, resealed=False)
        (folder / name).write_bytes(content)
        load_reranker(folder)
        (folder / "digests.json").unlink()
        assert "digests.json is missing" in load_refused(folder, resealed=False)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"format": 1}, "of another version of this program"),
            ({"features": ["log_count"]}, "of another version of this program"),
            ({"num_candidates": 0}, "num_candidates does not fit"),
            ({"num_candidates": True}, "num_candidates does not fit"),
            ({"num_candidates": 1.5}, "num_candidates does not fit"),
            ({"hidden_dim": 10**12}, "hidden_dim does not fit"),
            ({"hidden_dim": "5"}, "hidden_dim does not fit"),
            ({"vocabulary_fingerprint": None}, "vocabulary_fingerprint does not fit"),
        ],
    )
    def test_another_config_is_refused_whatever_the_digests_say(self, folder, changes, said):
        change_json(folder / "config.json", **changes)
        assert said in load_refused(folder)

    @pytest.mark.parametrize("name", ["config.json", "texts.json"])
    @pytest.mark.parametrize(
        ("content", "said"),
        [("[" * 10**5, "is no readable JSON"), ("[]", "holds no JSON object"), ("{}", "second stage")],
    )
    def test_json_of_another_kind_is_refused_whatever_the_digests_say(self, folder, name, content, said):
        (folder / name).write_text(content)
        assert said in load_refused(folder)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"titles": ["Rock"]}, "titles does not fit"),
            ({"titles": ["Rock", 5, None, None]}, "titles does not fit"),
            ({"titles": {"Rock": 1}}, "titles does not fit"),
            ({"artist_names": ["alpha"]}, "artist_names does not fit"),
            ({"artist_names": ["", "alpha"]}, "artists.of_token does not fit"),
            ({"artist_names": "alpha"}, "artist_names does not fit"),
        ],
    )
    def test_other_texts_are_refused_whatever_the_digests_say(self, folder, changes, said):
        change_json(folder / "texts.json", **changes)
        assert said in load_refused(folder)

    @pytest.mark.parametrize(
        ("name", "change", "said"),
        [
            ("network.hidden.kernel", lambda array: array[:-1], "hidden_dim does not fit"),
            ("network.hidden.kernel", lambda array: None, "the second stage lacks 'network.hidden.kernel'"),
            ("network.hidden.bias", lambda array: array[:-1], "network.hidden.bias does not fit"),
            ("network.output.kernel", lambda array: array + np.nan, "network.output.kernel does not fit"),
            ("network.linear.kernel", lambda array: array.astype(np.float64), "network.linear.kernel does not fit"),
            ("network.deviation", lambda array: array * 0, "network.deviation does not fit"),
            ("sequences.tokens", lambda array: array + 100, "sequences.tokens does not fit"),
            ("sequences.tokens", lambda array: array - 100, "sequences.tokens does not fit"),
            ("sequences.tokens", lambda array: array[:-1], "sequences does not fit"),
            ("sequences.tokens", lambda array: array.astype(np.float32), "sequences does not fit"),
            ("sequences.offsets", lambda array: array[::-1], "sequences does not fit"),
            ("sequences.offsets", lambda array: array[:0], "sequences does not fit"),
            ("sequences.playlist_ids", lambda array: array[None], "sequences does not fit"),
            ("artists.of_token", lambda array: array - 1, "artists.of_token does not fit"),
            ("artists.of_token", lambda array: array.astype(np.int64), "artists.of_token does not fit"),
            ("artists.of_token", lambda array: array[:5], "sequences.tokens does not fit"),
        ],
    )
    def test_other_arrays_are_refused_whatever_the_digests_say(self, folder, name, change, said):
        arrays = safetensors.numpy.load_file(folder / "arrays.safetensors")
        changed = change(arrays.pop(name))
        arrays |= {} if changed is None else {name: np.ascontiguousarray(changed)}
        safetensors.numpy.save_file(arrays, folder / "arrays.safetensors")
        assert said in load_refused(folder)


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
        with pytest.raises(UserError, match="belongs to another vocabulary than the model"):
            Recommender(circle, reranker=dataclasses.replace(state, vocabulary=circle.vocabulary.fingerprint))
