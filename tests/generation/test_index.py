import json

import numpy as np
import pytest
import safetensors.numpy
from recipes import make_index_config

from playlist_pipeline.corpus.vocabulary import SPECIALS
from playlist_pipeline.digests import DIGESTS_FILE, write_digests
from playlist_pipeline.errors import UserError
from playlist_pipeline.generation import index as index_module
from playlist_pipeline.generation.index import (
    ARRAYS_FILE,
    CONFIG_FILE,
    ApproximateSearcher,
    build_index,
    ensure_index,
    fingerprint_table,
    load_index,
    make_searcher,
    save_index,
)
from playlist_pipeline.generation.search import PADDING, ExactSearcher, pad_rows

WHOLE = {"num_probes": 24, "num_candidates": 1000}  # every list, every track


def make_table(*, whole_numbers=False):
    """500 tracks in 20 clusters, of norms that vary; the special tokens would beat them all."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((20, 8)) * rng.uniform(0.5, 3, (20, 1))
    tracks = centres[rng.integers(0, 20, 500)] + 0.3 * rng.standard_normal((500, 8))
    table = np.concatenate([np.full((len(SPECIALS), 8), 100), tracks]).astype(np.float32)
    return np.round(table) if whole_numbers else table


@pytest.fixture(scope="module")
def table():
    return make_table()


@pytest.fixture(scope="module")
def config():
    return make_index_config(kind="approximate", num_lists=24, num_probes=4, num_candidates=60)


@pytest.fixture(scope="module")
def index(table, config):
    return build_index(table, config)


@pytest.fixture(scope="module")
def searcher(table, index):
    return make_searcher(table, index)


@pytest.fixture(scope="module")
def queries(table):
    rng = np.random.default_rng(1)
    return table[rng.integers(len(SPECIALS), len(table), 12)] + rng.standard_normal((12, 8)).astype(np.float32)


def exclude_nothing(queries):
    return np.full((len(queries), 1), PADDING, np.int32)


@pytest.mark.parametrize(
    ("kind", "min_tracks", "is_approximate"),
    [("auto", 500, True), ("auto", 501, False), ("exact", 1, False), ("approximate", 501, True)],
)
def test_the_number_of_tracks_decides(table, config, kind, min_tracks, is_approximate):
    built = build_index(table, config.replace(kind=kind, min_tracks=min_tracks))
    assert (built.partition is not None) == is_approximate
    assert isinstance(make_searcher(table, built), ApproximateSearcher if is_approximate else ExactSearcher)


def test_without_an_index_the_search_is_exact(table):
    assert isinstance(make_searcher(table), ExactSearcher)


def test_every_track_is_in_the_list_of_its_nearest_centroid(table, index):
    tracks, centroids = table[len(SPECIALS) :], index.partition.centroids
    distances = np.square(tracks[:, None] - centroids).sum(axis=2)
    np.testing.assert_array_equal(index.partition.list_of, distances.argmin(axis=1))
    assert index.partition.codebooks.shape == (4, 16, 2)


def test_the_number_of_lists_follows_from_that_of_tracks(table, config):
    assert len(build_index(table, config.replace(num_lists=None)).partition.centroids) == 64  # near 2.5 * 500^0.5


def test_the_same_seed_gives_the_same_index(table, config, index):
    again = build_index(table, config)
    for name, array in vars(index.partition).items():
        np.testing.assert_array_equal(array, getattr(again.partition, name))
    assert again.table == index.table


@pytest.mark.parametrize("k", [1, 20, 497])
def test_with_all_lists_and_candidates_it_equals_exact_search_with_ties(config, k):
    table = make_table(whole_numbers=True)
    rng = np.random.default_rng(2)
    queries = rng.integers(-2, 3, (9, 8)).astype(np.float32)
    exclude = pad_rows([rng.choice(len(table), size, replace=False) for size in range(9)], 16)
    searcher = make_searcher(table, build_index(table, config.replace(**WHOLE)))
    found, expected = (method.search(queries, k, exclude) for method in (searcher, ExactSearcher(table)))
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])


def test_some_lists_give_most_of_the_best_tracks_with_their_exact_scores(table, searcher, queries):
    scores, tokens = searcher.search(queries, 20, exclude_nothing(queries))
    _, expected = ExactSearcher(table).search(queries, 20, exclude_nothing(queries))
    assert scores.dtype == np.float32
    assert tokens.dtype == np.int32
    np.testing.assert_allclose(scores, np.einsum("bkd,bd->bk", table[tokens], queries), rtol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == 20 for row in tokens.tolist())
    recall = np.mean([np.isin(row, other).mean() for row, other in zip(expected, tokens, strict=True)])
    assert 0.9 < recall < 1  # four of 24 lists: it is not exact search under another name


def test_batch_equals_single(searcher, queries):
    rng = np.random.default_rng(3)
    exclude = pad_rows([rng.choice(503, size, replace=False) for size in range(len(queries))], 32)
    batch = searcher.search(queries, 30, exclude)
    for row in range(len(queries)):
        single = searcher.search(queries[row : row + 1], 30, exclude[row : row + 1, : row + 1])
        for array, other in zip(single, batch, strict=True):
            np.testing.assert_array_equal(array[0], other[row])


def test_neither_special_nor_excluded_tokens_come_back(searcher, queries):
    _, tokens = searcher.search(queries, 10, exclude_nothing(queries))
    assert tokens.min() >= len(SPECIALS)
    _, others = searcher.search(queries, 10, tokens)
    assert not any(set(row) & set(other) for row, other in zip(tokens.tolist(), others.tolist(), strict=True))


@pytest.mark.parametrize("most_candidates", [100, 1000])
def test_tight_filters_are_filled_up_exactly(searcher, table, queries, most_candidates, monkeypatch):
    monkeypatch.setattr(index_module, "MOST_CANDIDATES", most_candidates)
    allowed = np.array([7, 123, 250, 502])
    exclude = np.tile(np.setdiff1d(np.arange(len(table)), allowed).astype(np.int32), (len(queries), 1))
    exclude[0] = PADDING  # its neighbour is not filtered at all
    scores, tokens = searcher.search(queries, 6, exclude)
    expected = ExactSearcher(table).search(queries, 6, exclude)
    np.testing.assert_array_equal(tokens[1:], expected[1][1:])
    np.testing.assert_array_equal(scores[1:], expected[0][1:])
    assert np.sort(tokens[1, :4]).tolist() == allowed.tolist()
    assert tokens[1, 4:].tolist() == [PADDING, PADDING]
    assert np.isneginf(scores[1, 4:]).all()
    assert (tokens[0] != PADDING).all()


def test_more_than_the_lists_hold_is_filled_up_exactly(searcher, table, queries):
    found = searcher.search(queries, 490, exclude_nothing(queries))
    np.testing.assert_array_equal(found[1], ExactSearcher(table).search(queries, 490, exclude_nothing(queries))[1])


def test_no_queries(searcher):
    scores, tokens = searcher.search(np.zeros((0, 8), np.float32), 3, np.zeros((0, 1), np.int32))
    assert scores.shape == tokens.shape == (0, 3)


def test_rows_of_odd_width(config):
    table = np.random.default_rng(4).standard_normal((60, 3)).astype(np.float32)
    searcher = make_searcher(table, build_index(table, config.replace(num_lists=4)))
    queries = table[5:9]
    expected = ExactSearcher(table).search(queries, 5, exclude_nothing(queries))
    np.testing.assert_array_equal(searcher.search(queries, 5, exclude_nothing(queries))[1], expected[1])


@pytest.mark.parametrize(("num_tracks", "num_lists"), [(10, 24), (10, 2), (0, None)])
def test_refuses_too_few_tracks(config, num_tracks, num_lists):
    with pytest.raises(UserError, match=r"give index\.kind=exact"):
        build_index(np.zeros((num_tracks + len(SPECIALS), 8), np.float32), config.replace(num_lists=num_lists))


@pytest.fixture
def other_table(table):
    other = table.copy()
    other[400, 3] += 1e-6
    return other


def test_an_index_of_its_own_table_is_kept_without_a_word(table, index, caplog):
    caplog.set_level("WARNING")
    assert ensure_index(table, index) is index
    assert caplog.messages == []


def test_an_index_of_another_table_is_built_anew(other_table, index, caplog):
    caplog.set_level("WARNING")
    built = ensure_index(other_table, index)
    assert (built.config, built.table) == (index.config, fingerprint_table(other_table))
    (line,) = caplog.messages
    assert line == (
        "the search index belongs to another model: make it again with `kedro run --pipelines=index`; until then it is "
        "built in memory at each start, which takes a minute for two million tracks"
    )
    assert isinstance(make_searcher(other_table, built), ApproximateSearcher)


@pytest.mark.parametrize("rows", [slice(-1), slice(1, None)])
def test_an_index_of_another_shape_never_reaches_faiss(table, index, rows):
    for other in (table[rows], np.ascontiguousarray(table[:, :6])):
        with pytest.raises(ValueError, match="belongs to another model"):
            make_searcher(other, index)
        assert ensure_index(other, index).partition.centroids.shape == (24, other.shape[1])


def test_default_settings_are_those_of_the_project():
    assert make_index_config(seed=2018) == index_module.DEFAULTS


def test_save_and_load(table, index, searcher, queries, tmp_path):
    path = tmp_path / "deep" / "index"
    for _ in range(2):  # the second replaces the first
        save_index(path, index)
    assert {file.name for file in path.iterdir()} == {CONFIG_FILE, ARRAYS_FILE, DIGESTS_FILE}
    assert [folder.name for folder in path.parent.iterdir()] == ["index"]
    loaded = load_index(path)
    assert (loaded.config, loaded.table) == (index.config, index.table)
    found = make_searcher(table, loaded).search(queries, 20, exclude_nothing(queries))
    for array, other in zip(found, searcher.search(queries, 20, exclude_nothing(queries)), strict=True):
        np.testing.assert_array_equal(array, other)


def test_exact_search_leaves_nothing_but_the_configuration(table, config, tmp_path):
    save_index(tmp_path / "index", build_index(table, config.replace(kind="exact")))
    assert {file.name for file in (tmp_path / "index").iterdir()} == {CONFIG_FILE, DIGESTS_FILE}
    loaded = load_index(tmp_path / "index")
    assert loaded.partition is None
    assert loaded.config.kind == "exact"


def change_config(path, **changes):
    content = json.loads((path / CONFIG_FILE).read_text())
    (path / CONFIG_FILE).write_text(json.dumps(content | changes))


def load_problem(path, *, resealed=True):
    """Load a folder that has a problem, its digests made right before."""
    if resealed:
        write_digests(path)
    loaded = load_index(path)
    assert loaded.partition is None
    assert loaded.problem.endswith("make it again with `kedro run --pipelines=index`")
    assert "\n" not in loaded.problem
    return loaded


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "problem", "keeps_settings"),
    [
        (lambda path: flip_a_bit(path / ARRAYS_FILE), "'arrays.safetensors' has changed", True),
        (lambda path: (path / ARRAYS_FILE).unlink(), "'arrays.safetensors' is missing", True),
        (lambda path: (path / "more.pkl").touch(), "'more.pkl' does not belong there", True),
        (lambda path: flip_a_bit(path / CONFIG_FILE), "'config.json' has changed", False),
        (lambda path: (path / CONFIG_FILE).unlink(), "'config.json' is missing", False),
        (lambda path: (path / DIGESTS_FILE).unlink(), "digests.json is missing: an older version wrote", False),
        (lambda path: [file.unlink() for file in path.iterdir()], "digests.json is missing", False),
    ],
)
def test_a_folder_that_has_changed_is_not_read_and_built_anew(
    index, table, config, tmp_path, damage, problem, keeps_settings, monkeypatch
):
    save_index(tmp_path / "index", index)
    damage(tmp_path / "index")
    monkeypatch.setattr(index_module, "load_arrays", lambda *_, **__: pytest.fail("the arrays were read"))
    loaded = load_problem(tmp_path / "index", resealed=False)
    assert problem in loaded.problem
    assert loaded.config == (config if keeps_settings else index_module.DEFAULTS)
    built = ensure_index(table, loaded)
    assert built.problem is None
    assert built.table == (index.table if keeps_settings else None)  # by the default settings the search is exact


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda path: (path / CONFIG_FILE).write_text("{"), "config.json is no readable JSON"),
        (lambda path: (path / CONFIG_FILE).write_text("[]"), "config.json holds no JSON object"),
        (lambda path: change_config(path, format=0), "format 0, 2 is expected"),
        (lambda path: change_config(path, settings={"kind": "auto"}), "config.json has no settings"),
        (lambda path: change_config(path, settings=5), "config.json has no settings"),
        (lambda path: (path / ARRAYS_FILE).write_bytes(b"\x80\x04"), "is no readable safetensors file"),
        (lambda path: (path / ARRAYS_FILE).unlink(), "is no readable safetensors file"),
    ],
)
def test_other_files_are_not_used_whatever_the_digests_say(index, tmp_path, change, problem):
    save_index(tmp_path / "index", index)
    change(tmp_path / "index")
    assert problem in load_problem(tmp_path / "index").problem


@pytest.mark.parametrize("table_name", [5, "x", ["x"]])
def test_an_index_that_names_another_table_is_built_anew(index, table, tmp_path, table_name):
    save_index(tmp_path / "index", index)
    change_config(tmp_path / "index", table=table_name)
    write_digests(tmp_path / "index")
    assert ensure_index(table, load_index(tmp_path / "index")).table == index.table


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("list_of", lambda array: array + 1, "lists that do not exist"),
        ("list_of", lambda array: array - 1, "lists that do not exist"),
        ("list_of", lambda array: array.astype(np.int64), "arrays of another type"),
        ("list_of", lambda array: array[None], "arrays of another type"),
        ("centroids", lambda array: array[:, :6], "do not fit together"),
        ("centroids", lambda array: array + np.inf, "not finite"),
        ("codebooks", lambda array: array[:, :8], "do not fit together"),
        ("codebooks", lambda array: array + np.nan, "not finite"),
        ("codebooks", lambda array: array.ravel(), "arrays of another type"),
        ("odd", lambda array: np.zeros(3), "unexpected keyword argument 'odd'"),
    ],
)
def test_arrays_that_do_not_fit_are_not_used_whatever_the_digests_say(index, tmp_path, name, change, problem):
    save_index(tmp_path / "index", index)
    arrays = vars(index.partition) | {name: np.ascontiguousarray(change(vars(index.partition).get(name)))}
    safetensors.numpy.save_file(arrays, tmp_path / "index" / ARRAYS_FILE)
    assert problem in load_problem(tmp_path / "index").problem


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="none is no folder of a search index: make it again with"):
        load_index(tmp_path / "none")


def test_a_folder_of_something_else_is_left_alone(index, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="exists and is no search index's folder"):
        save_index(tmp_path, index)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
