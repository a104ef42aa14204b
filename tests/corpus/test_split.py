import numpy as np
import pyarrow as pa
import pytest

from playlist_pipeline.config import SplitConfig
from playlist_pipeline.corpus import SPLITS, SPLITS_SCHEMA, split_playlists
from playlist_pipeline.corpus.split import digest_pids, index_splits
from playlist_pipeline.errors import UserError


def make_config(rule: str = "permutation", seed: int = 7, test_pids: str | None = None) -> SplitConfig:
    return SplitConfig(rule=rule, seed=seed, train_fraction=0.8, validation_fraction=0.1, test_pids=test_pids)


def make_playlists(pids) -> pa.Table:
    pids = np.asarray(pids, np.int32)
    return pa.table({"playlist_id": np.arange(len(pids), dtype=np.int32), "pid": pids})


def parts_by_pid(table: pa.Table) -> dict[int, str]:
    return dict(zip(table["pid"].to_pylist(), table["split"].to_pylist(), strict=True))


@pytest.mark.parametrize("rule", ["permutation", "hash"])
def test_every_playlist_is_in_exactly_one_part(rule):
    playlists = make_playlists(range(1000))
    table, counts = split_playlists(playlists, make_config(rule))
    assert table.schema == SPLITS_SCHEMA
    assert table["playlist_id"].equals(playlists["playlist_id"])
    assert table["pid"].equals(playlists["pid"])
    assert set(table["split"].to_pylist()) == set(SPLITS)
    assert sum(counts.values()) == 1000
    assert counts == {name: table["split"].to_pylist().count(name) for name in SPLITS}


@pytest.mark.parametrize("rule", ["permutation", "hash"])
def test_split_does_not_depend_on_row_order(rule):
    pids = np.random.default_rng(0).permutation(500)
    in_order, _ = split_playlists(make_playlists(np.sort(pids)), make_config(rule))
    shuffled, _ = split_playlists(make_playlists(pids), make_config(rule))
    assert parts_by_pid(in_order) == parts_by_pid(shuffled)


@pytest.mark.parametrize(
    ("total", "sizes"),
    [
        (3, (1, 1, 1)),
        (4, (2, 1, 1)),
        (5, (3, 1, 1)),
        (10, (8, 1, 1)),
        (15, (12, 2, 1)),
        (25, (20, 2, 3)),
        (1000, (800, 100, 100)),
    ],
)
def test_permutation_has_exact_sizes(total, sizes):
    _, counts = split_playlists(make_playlists(range(total)), make_config())
    assert tuple(counts[name] for name in SPLITS) == sizes


@pytest.mark.parametrize("rule", ["permutation", "hash"])
def test_seed_changes_the_split(rule):
    playlists = make_playlists(range(300))
    first, second = (parts_by_pid(split_playlists(playlists, make_config(rule, seed))[0]) for seed in (1, 2))
    assert first != second


def test_hash_never_moves_a_playlist_when_others_are_added():
    few, _ = split_playlists(make_playlists(range(0, 400, 2)), make_config("hash"))
    many, _ = split_playlists(make_playlists(range(399, -1, -1)), make_config("hash"))
    after = parts_by_pid(many)
    assert all(after[pid] == part for pid, part in parts_by_pid(few).items())


def test_hash_gives_about_eighty_ten_ten():
    _, counts = split_playlists(make_playlists(range(20_000)), make_config("hash"))
    # Three standard deviations of a binomial of 20,000 draws are 170 and 127.
    assert abs(counts["train"] - 16_000) < 170
    assert abs(counts["validation"] - 2_000) < 127
    assert abs(counts["test"] - 2_000) < 127


def test_digests_are_fixed_for_all_time():
    # BLAKE2b with 8 bytes of the texts "7:0" and "7:123", as any implementation gives them.
    assert digest_pids(np.array([0, 123]), 7).tolist() == [15_971_330_445_000_585_728, 4_215_818_468_251_785_692]


@pytest.mark.parametrize("rule", ["permutation", "hash"])
def test_too_few_playlists_are_refused(rule):
    with pytest.raises(UserError, match="2 playlists cannot be split into 3 parts"):
        split_playlists(make_playlists([5, 9]), make_config(rule))


def test_pid_that_comes_twice_is_refused():
    with pytest.raises(UserError, match="pid 9 comes more than once"):
        split_playlists(make_playlists([5, 9, 9, 4]), make_config())


def test_hash_that_leaves_a_part_empty_is_refused():
    seed = next(s for s in range(50) if (digest_pids(np.arange(3), s) < 0.8 * 2**64).all())
    with pytest.raises(UserError, match=r"split.rule = hash leaves the validation part of 3 playlists empty"):
        split_playlists(make_playlists(range(3)), make_config("hash", seed))


def test_index_splits_follows_playlist_ids():
    table = pa.table({"playlist_id": [2, 0, 1], "pid": [12, 10, 11], "split": ["test", "train", "validation"]})
    assert index_splits(table).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("ids", "names", "message"),
    [
        ([0, 1], ["train", "dev"], "'dev' is none of train, validation, test"),
        ([0, 2], ["train", "test"], "playlist_id 1 is missing"),
        ([0, -1], ["train", "test"], "playlist_id 1 is missing"),
    ],
)
def test_index_splits_refuses_what_is_no_split(ids, names, message):
    with pytest.raises(UserError, match=message):
        index_splits(pa.table({"playlist_id": ids, "pid": ids, "split": names}))


@pytest.mark.parametrize("rule", ["permutation", "hash"])
def test_a_file_of_pids_is_the_test_part(rule, tmp_path):
    path = str(tmp_path / "pids.npy")
    np.save(path, np.array([5, 3, 900, 12345]))  # the last is not in the archive
    playlists = make_playlists(range(1000))
    before, after = (parts_by_pid(split_playlists(playlists, make_config(rule, test_pids=p))[0]) for p in (None, path))
    assert {pid for pid, part in after.items() if part == "test"} == {5, 3, 900}
    for pid, part in after.items():
        if part != "test":
            assert part == ("train" if before[pid] == "test" else before[pid])


def test_a_file_of_other_pids_is_refused(tmp_path):
    path = str(tmp_path / "pids.npy")
    np.save(path, np.array([5000, 6000]))
    with pytest.raises(UserError, match=r"^split.test_pids: the archive has none of the playlists of .*pids.npy$"):
        split_playlists(make_playlists(range(100)), make_config(test_pids=path))
    with pytest.raises(UserError, match=r"^split.test_pids: nothing.npy: there is no such file$"):
        split_playlists(make_playlists(range(100)), make_config(test_pids="nothing.npy"))
