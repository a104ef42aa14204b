"""Framing, the mask, epochs, and the iterator's state."""

import numpy as np
import pytest
from recipes import make_model_config

from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.corpus.vocabulary import EOP, START, UNK
from playlist_pipeline.training.data import (
    Batch,
    count_steps,
    crop_randomly,
    fingerprint_playlists,
    frame_playlist,
    inject_unk,
    make_training_batches,
    make_validation_batches,
)
from playlist_pipeline.training.objective import ask


def test_short_playlist_is_framed_and_padded():
    framed = frame_playlist(np.array([7, 8], np.int32), 4)
    assert framed.tolist() == [START, 7, 8, EOP, EOP]
    assert framed.dtype == np.int32


def test_long_playlist_gives_its_first_tracks_and_no_end():
    assert frame_playlist(np.arange(3, 20, dtype=np.int32), 4).tolist() == [START, 3, 4, 5, 6]


def test_only_the_first_end_counts_and_what_is_given_does_not():
    tokens = np.array([[START, 7, 8, EOP, EOP], [START, 3, 4, 5, 6], [START, EOP, EOP, EOP, EOP]])
    questions = ask(Batch(tokens, np.array([0, 2, 0])), causal=True)
    assert questions.inputs.tolist() == tokens[:, :-1].tolist()
    assert questions.labels.tolist() == tokens[:, 1:].tolist()
    assert questions.mask.tolist() == [[True, True, True, False], [False, False, True, True], [True] + [False] * 3]
    assert questions.visible.tolist() == [[True] + [False] * 3, [True, True, True, False], [True] + [False] * 3]


def test_without_a_causal_mask_a_given_track_that_comes_again_is_not_asked_for():
    tokens = np.array([[START, 7, 8, 7, 9, 8], [START, UNK, 8, UNK, 8, EOP]])
    batch = Batch(tokens, np.array([2, 2]))
    assert ask(batch, causal=False).mask.tolist() == [[False] * 3 + [True, False], [False, False, True, False, True]]
    assert ask(batch, causal=True).mask.tolist() == [[False, False, True, True, True]] * 2


def test_crop_is_uniform_over_windows():
    tracks, rng = np.arange(6), np.random.default_rng(0)
    starts = [crop_randomly(tracks, 4, rng=rng)[0] for _ in range(3000)]
    np.testing.assert_allclose(np.bincount(starts) / 3000, [1 / 3] * 3, atol=0.03)
    assert crop_randomly(tracks, 6, rng=rng).tolist() == tracks.tolist()
    assert crop_randomly(tracks, 9, rng=rng).tolist() == tracks.tolist()


def test_unk_replaces_the_given_share_and_leaves_the_source_alone():
    tracks = np.full(50_000, 9, np.int32)
    injected = inject_unk(tracks, 0.01, rng=np.random.default_rng(0))
    assert (injected == UNK).mean() == pytest.approx(0.01, abs=0.002)
    assert set(injected.tolist()) == {UNK, 9}
    assert (tracks == 9).all()
    assert inject_unk(tracks, 0.0, rng=np.random.default_rng(0)).tolist() == tracks.tolist()


def shape(context_length):
    return make_model_config(context_length=context_length)


def _take(batches, count):
    iterator = iter(batches)
    return np.concatenate([next(iterator).tokens for _ in range(count)])


def test_each_epoch_is_a_permutation_even_where_batches_do_not_divide_it(make_train_config):
    playlists = [np.array([3 + number], np.int32) for number in range(10)]
    config = make_train_config(unk_rate=0.0, batch_size=4)
    drawn = _take(make_training_batches(playlists, model_config=shape(2), config=config), 8)[:, 1]
    epochs = drawn[:30].reshape(3, 10)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(3, 13))
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3


def test_shuffled_tracks_are_the_same_tracks_in_another_order_each_epoch(make_train_config):
    playlists = [np.arange(3, 15, dtype=np.int32)]
    config = make_train_config(unk_rate=0.0, batch_size=1, shuffle_tracks=True)
    drawn = _take(make_training_batches(playlists, model_config=shape(12), config=config), 5)[:, 1:]
    assert [sorted(row) for row in drawn.tolist()] == [list(range(3, 15))] * 5
    assert len({tuple(row) for row in drawn.tolist()}) == 5
    assert playlists[0].tolist() == list(range(3, 15))


def test_seed_decides_the_batches(make_train_config, make_playlists):
    def take(seed):
        config = make_train_config(seed=seed)
        return _take(make_training_batches(make_playlists(9), model_config=shape(6), config=config), 3)

    np.testing.assert_array_equal(take(1), take(1))
    assert (take(1) != take(2)).any()


def test_two_sources_with_the_same_content_give_the_same_batches(make_train_config, make_playlists):
    playlists = make_playlists(9)
    offsets = np.cumsum([0, *(len(playlist) for playlist in playlists)])
    packed = PackedSequences(np.concatenate(playlists), offsets, np.arange(9, dtype=np.int32))
    config = make_train_config()
    for make in (make_training_batches, make_validation_batches):
        first, second = (make(source, model_config=shape(6), config=config) for source in (playlists, packed))
        np.testing.assert_array_equal(_take(first, 5), _take(second, 5))
    assert fingerprint_playlists(packed) == fingerprint_playlists(playlists)


def test_a_restored_iterator_goes_on_with_the_same_batches(make_train_config, make_playlists):
    batches = make_training_batches(make_playlists(9), model_config=shape(6), config=make_train_config())
    iterator = iter(batches)
    for _ in range(3):
        next(iterator)
    state = iterator.get_state()
    restored = iter(batches)
    restored.set_state(state)
    for _ in range(3):
        for first, second in zip(next(iterator), next(restored), strict=True):
            np.testing.assert_array_equal(first, second)


def test_validation_takes_beginnings_without_unk_at_any_number(make_train_config):
    playlists = [np.arange(3, 13, dtype=np.int32)] * 3
    config = make_train_config(unk_rate=0.9)
    batches = make_validation_batches(playlists, model_config=shape(4), config=config)
    assert batches[17].tokens.tolist() == [[START, 3, 4, 5, 6]] * 4
    assert batches[17].num_given.tolist() == [0] * 4
    one_way = make_model_config(context_length=4, causal=False)
    batches = make_validation_batches(playlists, model_config=one_way, config=config)
    assert batches[17].num_given.tolist() == [2] * 4


@pytest.mark.parametrize(("causal", "seed_sets"), [(True, True), (False, False)])
def test_seeds_are_drawn_evenly_and_at_least_one_track_is_asked_for(causal, seed_sets, make_train_config):
    playlists = [np.arange(3, 7, dtype=np.int32), np.arange(3, 30, dtype=np.int32), np.array([3], np.int32)]
    config = make_train_config(batch_size=300, seed_sets=seed_sets)
    shape = make_model_config(context_length=6, causal=causal)
    batches = iter(make_training_batches(playlists, model_config=shape, config=config))
    drawn = [next(batches) for _ in range(2)]
    tokens, given = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    lengths = (tokens[:, 1:] != EOP).sum(1)
    for length in (1, 4, 6):
        shares = np.bincount(given[lengths == length], minlength=length) / (lengths == length).sum()
        np.testing.assert_allclose(shares, np.full(length, 1 / length), atol=0.07)


def test_without_seed_sets_a_causal_model_is_asked_for_all(make_train_config, make_playlists):
    config = make_train_config(seed_sets=False)
    batches = make_training_batches(make_playlists(9), model_config=shape(6), config=config)
    assert not next(iter(batches)).num_given.any()


@pytest.mark.parametrize(
    ("num_playlists", "num_epochs", "max_steps", "steps"),
    [(8, 1, None, 2), (9, 1, None, 3), (9, 2, None, 5), (9, 2, 4, 4), (9, 2, 99, 5), (1, 1, None, 1)],
)
def test_number_of_steps(make_train_config, num_playlists, num_epochs, max_steps, steps):
    assert count_steps(num_playlists, make_train_config(num_epochs=num_epochs, max_steps=max_steps)) == steps


def test_fingerprint_sees_content_order_and_borders():
    first, second = np.array([3, 4], np.int32), np.array([5], np.int32)
    prints = {
        fingerprint_playlists(playlists)
        for playlists in ([first, second], [second, first], [np.array([3, 4, 5], np.int32)], [first], [])
    }
    assert len(prints) == 5
