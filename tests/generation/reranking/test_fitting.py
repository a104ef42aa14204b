"""Folds, cuts and training of the second stage."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from flax import nnx
from recipes import make_model_config, make_train_config

from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.corpus.side_information import SIDE_SCHEMA, VOCABULARY_KEY, SideInformation
from playlist_pipeline.errors import UserError
from playlist_pipeline.generation.reranking import fitting
from playlist_pipeline.generation.reranking.features import describe_candidates
from playlist_pipeline.generation.reranking.first_stage import FirstStage
from playlist_pipeline.mpd.schema import ARTISTS_SCHEMA


@pytest.fixture(scope="module")
def fit(data, make_model, artists, make_config):
    return lambda **changes: fitting.fit_network(data, make_model, artists, make_config(**changes))


def list_weights(network):
    return [np.asarray(value[...]).tobytes() for _, value in nnx.to_flat_state(nnx.state(network))]


@pytest.fixture
def watched(monkeypatch):
    """Give a list that gets, of each call for candidates, the titles that the stage has seen, and what it was asked."""
    calls = []

    class WatchedStage(FirstStage):
        def __init__(self, model, sequences, titles, artists, **options):
            super().__init__(model, sequences, titles, artists, **options)
            self.seen, self.sequences = titles, sequences

    def describe(stage, seeds, titles, num_candidates):
        calls.append((stage, list(seeds), list(titles)))
        return describe_candidates(stage, seeds, titles, num_candidates)

    monkeypatch.setattr(fitting, "FirstStage", WatchedStage)
    monkeypatch.setattr(fitting, "describe_candidates", describe)
    return calls


def test_no_first_stage_has_seen_the_playlists_that_it_describes(watched, data, make_model, artists, make_config):
    fitting.make_examples(data, make_model, artists, make_config())
    asked = {title for _, _, titles in watched for title in titles}
    assert asked == set(data.titles)  # each has a title of its own
    for stage, _, titles in watched:
        assert len(stage.seen) == len(stage.sequences) == 16  # two folds of three
        assert not set(titles) & set(stage.seen)
        assert {data.titles[number] for number in stage.sequences.playlist_ids} == set(stage.seen)


def test_a_playlist_is_cut_into_what_is_given_and_what_is_withheld(watched, data, make_model, artists, make_config):
    examples = fitting.make_examples(data, make_model, artists, make_config(num_candidates=43))
    of_title = {title: data.sequences[number].tolist() for number, title in enumerate(data.titles)}
    place = 0
    for _, seeds, titles in watched:
        for given, title in zip(seeds, titles, strict=True):
            tracks = of_title[title]
            assert given.tolist() == tracks[: len(given)]
            assert examples.num_truth[place] == len(tracks) - len(given) >= fitting.MIN_TRUTH
            # All tracks are candidates but the given ones.
            assert examples.is_truth[place].sum() == len(tracks) - len(given)
            assert examples.is_valid[place].sum() == 40 - len(given)
            place += 1
    assert place == len(examples.num_truth)
    assert not (examples.is_truth & ~examples.is_valid).any()
    assert len({len(given) for _, seeds, _ in watched for given in seeds}) > 2


def test_titles_may_be_left_out_but_not_without_tracks(watched, data, make_model, artists, make_config):
    fitting.make_examples(data, make_model, artists, make_config(title_rate=0.0))
    for _, seeds, titles in watched:
        for given, title in zip(seeds, titles, strict=True):
            assert (title is None) == (len(given) > 0)


def test_short_playlists_teach_nothing(watched, data, make_model, artists, make_config):
    short = fitting.take_playlists(data.sequences, np.arange(24))
    offsets = np.array(short.offsets)
    tokens = np.delete(np.array(short.tokens), np.arange(offsets[5], offsets[6] - (fitting.MIN_TRUTH - 1)))
    offsets[6:] -= 14 - (fitting.MIN_TRUTH - 1)
    cut = type(short)(tokens, offsets, short.playlist_ids)
    fitting.make_examples(dataclasses.replace(data, sequences=cut), make_model, artists, make_config())
    asked = {title for _, _, titles in watched for title in titles}
    assert asked == set(data.titles) - {data.titles[5]}


def test_taken_playlists_come_in_the_order_asked_for(data):
    taken = fitting.take_playlists(data.sequences, np.array([7, 2]))
    assert taken.playlist_ids.tolist() == [7, 2]
    assert [playlist.tolist() for playlist in taken] == [data.sequences[row].tolist() for row in (7, 2)]
    assert len(fitting.take_playlists(data.sequences, np.empty(0, int))) == 0


def test_the_loss_falls_and_the_same_seed_gives_the_same_weights(fit):
    network, losses = fit(learning_rate=0.02, num_epochs=6)
    again, same = fit(learning_rate=0.02, num_epochs=6)
    assert len(losses) == 6
    assert losses[-1] < 0.9 * losses[0]
    assert losses == same
    assert list_weights(network) == list_weights(again)
    assert fit(learning_rate=0.02, num_epochs=6, seed=1)[1] != losses


@pytest.fixture(scope="module")
def fit_whole(data):
    """Give ``fit_whole(config, **train)``: the whole fit, where two tracks share an artist."""
    tracks = pa.array([None, None, None, *(f"artist:{number // 2}" for number in range(40))], pa.string())
    of_vocabulary = {VOCABULARY_KEY: data.vocabulary.fingerprint}
    columns = [pa.array(range(43), pa.int32()), tracks, tracks, pa.array([None] * 3 + [180_000] * 40, pa.int32())]
    side = SideInformation(pa.table(columns, names=SIDE_SCHEMA.names).cast(SIDE_SCHEMA.with_metadata(of_vocabulary)))
    names = pa.table(
        [range(20), [f"artist:{number}" for number in range(20)], [f"The  ARTIST, {number}" for number in range(20)]],
        schema=ARTISTS_SCHEMA,
    )
    shape = make_model_config(context_length=8, num_layers=1, num_heads=1, embed_dim=4, feedforward_dim=4)

    def fit(config, **train):
        recipe = make_train_config(**train)
        return fitting.fit_reranker(data, side, names, model_config=shape, train_config=recipe, config=config)

    return fit


def test_the_state_holds_all_that_ranking_needs(fit_whole, data, make_config):
    state, losses = fit_whole(make_config(num_folds=2, num_epochs=1), embedding_init="cooccurrence")
    assert len(losses) == 1
    assert np.isfinite(losses).all()
    assert state.network is not None
    assert state.titles == data.titles
    assert state.vocabulary == data.vocabulary.fingerprint
    assert (state.artists.names[0], state.artists.names[1]) == ("", "the artist 0")
    assert state.artists.of_token[:6].tolist() == [0, 0, 0, 1, 1, 2]
    assert state.sequences is data.sequences


def test_without_folds_there_is_no_second_stage_and_any_start_will_do(fit_whole, make_config):
    state, losses = fit_whole(make_config(num_folds=0), embedding_init="normal")
    assert (state.network, losses) == (None, [])


def test_a_transformer_of_random_vectors_is_refused(fit_whole, make_config):
    with pytest.raises(UserError, match=r"^parameter rerank.num_folds = 3 .* give 0, or another train.embedding_init"):
        fit_whole(make_config(), embedding_init="normal")


@pytest.mark.parametrize(
    ("most_tracks", "changes", "line"),
    [
        (14, {"num_folds": 25}, "rerank.num_folds = 25, but there are 24 training playlists: give fewer"),
        (9, {}, "none of 24 training playlists has the 10 unique tracks that the second stage learns from"),
        (9, {"max_playlists": 1}, "none of 3 training playlists has the 10 unique tracks"),
    ],
)
def test_data_that_give_no_examples_are_refused_before_a_first_stage_is_fitted(
    data, artists, make_config, most_tracks, changes, line
):
    short = [data.sequences[number][:most_tracks] for number in range(len(data.sequences))]
    offsets = np.cumsum([0, *map(len, short)]).astype(np.int64)
    sequences = PackedSequences(np.concatenate(short), offsets, data.sequences.playlist_ids)
    refuse = lambda sequences: pytest.fail("a first stage was fitted")  # noqa: E731
    with pytest.raises(UserError, match=f"^{line}"):
        fitting.make_examples(dataclasses.replace(data, sequences=sequences), refuse, artists, make_config(**changes))
