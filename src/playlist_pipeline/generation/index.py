"""Approximate maximum-inner-product search: an inverted file of faiss proposes candidates, exact products rank them.

k-means parts the tracks' vectors into lists. A query looks through the lists whose centroids have the largest inner
product with it, by 4-bit product quantisation of what the vectors differ from their centroids (Jégou et al. 2011, André
et al. 2015), and the best candidates are ranked by their float32 vectors.

What is kept of an index is centroids, lists and codebooks; the codes follow from the table in seconds. faiss's own
files are not used, as its reader trusts what it reads. An index that is damaged, or another model's, is built anew.

Shape letters: V vocabulary, D width of a vector, L lists, M parts of a vector, B queries.
"""

import hashlib
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from jax.typing import ArrayLike

from playlist_pipeline.config import ConfigError, IndexConfig
from playlist_pipeline.corpus.vocabulary import SPECIALS
from playlist_pipeline.digests import check_digests, read_json_object, write_digests
from playlist_pipeline.errors import UserError, in_one_line
from playlist_pipeline.files import write_folder
from playlist_pipeline.generation.search import PADDING, ExactSearcher, Searcher
from playlist_pipeline.model.arrays import load_arrays

logger = logging.getLogger(__name__)

FORMAT = 2
CONFIG_FILE, ARRAYS_FILE = "config.json", "arrays.safetensors"
ADVICE = "make it again with `kedro run --pipelines=index`"
CODE_BITS = 4
LISTS_PER_ROOT = 2.5  # lists for each square root of the number of tracks, rounded to a power of two
ROWS_AT_A_TIME = 1 << 17
MOST_CANDIDATES = 8192  # of a query; where so many would not do, exact search takes over
# As in conf/base: for an index whose own settings cannot be read.
DEFAULTS = IndexConfig(
    kind="auto",
    min_tracks=200_000,
    num_lists=None,
    num_probes=192,
    num_candidates=1400,
    sample_size=1 << 18,
    num_iterations=10,
    seed=2018,
)


@dataclass(frozen=True, eq=False)
class Partition:
    """How a table is parted and compressed.

    Attributes:
        centroids: float32 [L, D].
        list_of: The list of each track, int32 [V - 3]; special tokens are in none.
        codebooks: float32 [M, 16, D / M], for the differences from the centroids.
    """

    centroids: np.ndarray
    list_of: np.ndarray
    codebooks: np.ndarray


@dataclass(frozen=True, eq=False)
class SearchIndex:
    """How the tracks are searched.

    Attributes:
        config: What it was made with.
        table: Fingerprint of the table that it was made for; None where the search is exact.
        partition: None where the search is exact.
        problem: Why its folder cannot be used; it is then built anew from the table.
    """

    config: IndexConfig
    table: str | None = None
    partition: Partition | None = None
    problem: str | None = None


def build_index(table: ArrayLike, config: IndexConfig) -> SearchIndex:
    """Choose by size how a table is searched, and part it if the search is to be approximate.

    Args:
        table: float32 [V, D], one row per token.
        config: The settings.

    Raises:
        UserError: There are fewer tracks than lists.
    """
    num_tracks = np.shape(table)[0] - len(SPECIALS)
    is_small = config.kind == "auto" and num_tracks < config.min_tracks
    if config.kind == "exact" or is_small:
        logger.info("%d tracks are searched exactly, without an index", num_tracks)
        return SearchIndex(config)
    num_lists = config.num_lists or 1 << round(np.log2(LISTS_PER_ROOT * max(num_tracks, 1) ** 0.5))
    if num_tracks < max(num_lists, 1 << CODE_BITS):
        raise UserError(
            f"an index of {num_lists} lists needs as many tracks, and {1 << CODE_BITS} or more, but there are "
            f"{num_tracks}: give index.kind=exact or a smaller index.num_lists"
        )
    rows = np.asarray(table, np.float32)[len(SPECIALS) :]
    return SearchIndex(config, fingerprint_table(table), _part_rows(rows, num_lists, config))


def fingerprint_table(table: ArrayLike) -> str:
    """Return the SHA-256 of shape and values of a table, as hexadecimal text."""
    array = np.ascontiguousarray(table, "<f4")
    digest = hashlib.sha256(f"float32 {array.shape}\n".encode())
    digest.update(array.data)
    return digest.hexdigest()


def _part_rows(rows: np.ndarray, num_lists: int, config: IndexConfig) -> Partition:
    """Part vectors [n, D] into lists by k-means on a sample, and learn codebooks of its differences from them."""
    import faiss  # noqa: PLC0415

    faiss.omp_set_num_threads(os.cpu_count() or 1)
    width = rows.shape[1]
    size = min(len(rows), max(config.sample_size, num_lists))
    chosen = np.random.Generator(np.random.PCG64(config.seed)).choice(len(rows), size, replace=False)
    sample = rows[np.sort(chosen)]
    kmeans = faiss.Kmeans(
        width,
        num_lists,
        niter=config.num_iterations,
        seed=config.seed % 2**31,
        min_points_per_centroid=1,
        max_points_per_centroid=size,
    )
    kmeans.train(sample)
    centroids = np.array(kmeans.centroids)
    list_of = np.empty(len(rows), np.int32)
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        block = slice(start, start + ROWS_AT_A_TIME)
        list_of[block] = kmeans.index.search(rows[block], 1)[1][:, 0]
    num_parts = width // 2 if width % 2 == 0 else width
    quantizer = faiss.ProductQuantizer(width, num_parts, CODE_BITS)
    faiss.omp_set_num_threads(1)  # so little work for each part that threads would only wait for each other
    quantizer.train(sample - centroids[list_of[np.sort(chosen)]])
    codebooks = faiss.vector_to_array(quantizer.centroids).reshape(num_parts, 1 << CODE_BITS, -1)
    return Partition(centroids, list_of, codebooks)


def ensure_index(table: ArrayLike, index: SearchIndex) -> SearchIndex:
    """Return an index that belongs to a table: the given one, or else one built with its settings, which takes a while.

    Args:
        table: float32 [V, D], one row per token.
        index: From ``load_index``.

    Raises:
        UserError: It must be built, but there are fewer tracks than its settings ask for lists.
    """
    problem = index.problem
    if problem is None and index.partition is not None and not _belongs(index, table):
        problem = f"the search index belongs to another model: {ADVICE}"
    if problem is None:
        return index
    logger.warning(
        "%s; until then it is built in memory at each start, which takes a minute for two million tracks", problem
    )
    return build_index(table, index.config)


def _belongs(index: SearchIndex, table: ArrayLike) -> bool:
    return _has_shape_of(index, table) and index.table == fingerprint_table(table)


def _has_shape_of(index: SearchIndex, table: ArrayLike) -> bool:
    num_tokens, width = np.shape(table)
    partition = index.partition
    return partition is None or (len(partition.list_of), partition.centroids.shape[1]) == (
        num_tokens - len(SPECIALS),
        width,
    )


def make_searcher(table: ArrayLike, index: SearchIndex | None = None) -> Searcher:
    """Return the search that an index asks for; without one it is exact.

    Args:
        table: float32 [V, D], one row per token.
        index: Of this table, see ``ensure_index``.

    Raises:
        ValueError: The index is of a table of another shape.
    """
    if index is None or index.partition is None:
        return ExactSearcher(table)
    if not _has_shape_of(index, table):
        raise ValueError("the search index belongs to another model")
    return ApproximateSearcher(table, index.partition, index.config)


class ApproximateSearcher:
    """A ``Searcher`` that looks at some of the tracks, those in the lists nearest to a query.

    A query alone has the same result as in a batch. Where fewer than ``k`` allowed tracks are among the candidates,
    exact search takes over.

    Args:
        table: float32 [V, D], one row per token; on a CPU it is not copied.
        partition: Of this table.
        config: ``num_probes`` and ``num_candidates`` count here.
    """

    def __init__(self, table: ArrayLike, partition: Partition, config: IndexConfig) -> None:
        self._exact = ExactSearcher(table)
        self._table = np.ascontiguousarray(table, np.float32)
        self._num_candidates = config.num_candidates
        self._index, self._coarse = _fill_index(self._table[len(SPECIALS) :], partition)
        self._index.nprobe = min(config.num_probes, len(partition.centroids))
        self._pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="search")

    def search(self, queries: np.ndarray, k: int, exclude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and tokens, both ``[B, k]``; see ``Searcher``."""
        queries, exclude = np.ascontiguousarray(queries, np.float32), np.asarray(exclude, np.int32)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        tokens = np.full((len(queries), k), PADDING, np.int32)
        # Each query by itself: faiss cuts a batch differently, with other candidates where its coarse scores tie.
        run = self._pool.map if len(queries) > 1 else map
        found = run(lambda row: self._search_one(queries[row], k, exclude[row]), range(len(queries)))
        lacking = []
        for row, (best_scores, best_tokens) in enumerate(found):
            scores[row, : len(best_scores)], tokens[row, : len(best_tokens)] = best_scores, best_tokens
            if len(best_tokens) < k:
                lacking.append(row)
        if lacking:
            scores[lacking], tokens[lacking] = self._exact.search(queries[lacking], k, exclude[lacking])
        return scores, tokens

    def _search_one(self, query: np.ndarray, k: int, exclude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and tokens of at most k tracks for a query [D], best first."""
        import faiss  # noqa: PLC0415

        excluded = exclude[exclude != PADDING]
        num_candidates = max(self._num_candidates, 2 * k) + len(excluded)
        nothing = np.empty(0, np.float32), np.empty(0, np.int32)
        if num_candidates > MOST_CANDIDATES:
            return nothing
        faiss.omp_set_num_threads(1)  # of this thread alone; more would wait for each other longer than they work
        _, rows = self._index.search(query[None], num_candidates)
        candidates = np.sort(rows[0][rows[0] >= 0]) + len(SPECIALS)  # in the order of tokens, which ties keep
        if not len(candidates):
            return nothing
        scores = self._score(query, candidates)
        places = candidates.searchsorted(excluded)
        scores[places[candidates.take(places, mode="clip") == excluded]] = -np.inf
        if k < len(scores):
            kept = scores >= np.partition(scores, -k)[-k]
            scores, candidates = scores[kept], candidates[kept]
        order = np.argsort(-scores, kind="stable")[:k]
        order = order[scores[order] > -np.inf]
        return scores[order], candidates[order].astype(np.int32)

    def _score(self, query: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return the inner products float32 [n] of a query [D] and the rows of some tokens, int64 [n]."""
        from faiss import fvec_inner_products_by_idx, swig_ptr  # type: ignore[attr-defined] # noqa: PLC0415

        scores = np.empty(len(candidates), np.float32)
        pointers = map(swig_ptr, (scores, query, self._table, candidates))
        fvec_inner_products_by_idx(*pointers, len(query), 1, len(candidates))
        return scores


def _fill_index(rows: np.ndarray, partition: Partition) -> tuple[Any, Any]:
    """Return a faiss index of vectors [n, D], and that of its centroids, which must live as long."""
    import faiss  # noqa: PLC0415
    from faiss.contrib.ivf_tools import add_preassigned  # noqa: PLC0415

    faiss.omp_set_num_threads(os.cpu_count() or 1)
    (num_lists, width), num_parts = partition.centroids.shape, len(partition.codebooks)
    coarse = faiss.IndexFlatIP(width)
    coarse.add(partition.centroids)
    index = faiss.IndexIVFPQ(coarse, width, num_lists, num_parts, CODE_BITS, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(partition.codebooks.ravel(), index.pq.centroids)
    index.is_trained = True
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        block = slice(start, start + ROWS_AT_A_TIME)
        add_preassigned(index, rows[block], partition.list_of[block].astype(np.int64))
    return faiss.IndexIVFPQFastScan(index), coarse


def save_index(path: str | os.PathLike[str], index: SearchIndex) -> None:
    """Write an index as a folder; it appears under its name only when it is whole.

    Raises:
        UserError: ``path`` exists and is no such folder.
    """
    with write_folder(path, marker=CONFIG_FILE, kind="search index's folder") as folder:
        content = {"format": FORMAT, "table": index.table, "settings": index.config.to_dict()}
        if index.partition is not None:
            safetensors.numpy.save_file(vars(index.partition), folder / ARRAYS_FILE)
        (folder / CONFIG_FILE).write_text(json.dumps(content, indent=2) + "\n", "utf-8")
        write_digests(folder)


def load_index(path: str | os.PathLike[str]) -> SearchIndex:
    """Read a folder that ``save_index`` wrote.

    If a file is missing, damaged or of another version, the index has a ``problem`` and no partition.

    Raises:
        UserError: There is no such folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder of a search index: {ADVICE}")
    try:
        check_digests(folder, advice=ADVICE)
        return _read_index(folder)
    except UserError as error:
        return SearchIndex(_read_settings(folder), problem=str(error))


def _read_index(folder: Path) -> SearchIndex:
    config, content = _read_config(folder)
    if content.get("table") is None:
        return SearchIndex(config)
    arrays = load_arrays(folder / ARRAYS_FILE, advice=ADVICE)
    try:
        partition = Partition(**arrays)
        _check_partition(partition)
    except (ValueError, TypeError) as error:
        raise UserError(f"{folder / ARRAYS_FILE}: {in_one_line(error)}: {ADVICE}") from error
    return SearchIndex(config, content["table"], partition)


def _read_config(folder: Path) -> tuple[IndexConfig, dict[str, Any]]:
    content = read_json_object(folder / CONFIG_FILE, advice=ADVICE)
    if content.get("format") != FORMAT:
        raise UserError(f"{folder}: format {content.get('format')!r}, {FORMAT} is expected: {ADVICE}")
    try:
        return IndexConfig(**content["settings"]), content
    except (ConfigError, KeyError, TypeError) as error:
        raise UserError(f"{folder / CONFIG_FILE} has no settings ({in_one_line(error)}): {ADVICE}") from error


def _read_settings(folder: Path) -> IndexConfig:
    """Return the settings of an index that is damaged elsewhere, or else the default ones."""
    try:
        check_digests(folder, advice=ADVICE, names=(CONFIG_FILE,))
        return _read_config(folder)[0]
    except UserError:
        return DEFAULTS


def _check_partition(partition: Partition) -> None:
    centroids, list_of, codebooks = partition.centroids, partition.list_of, partition.codebooks
    is_typed = (centroids.dtype, list_of.dtype, codebooks.dtype) == (np.float32, np.int32, np.float32)
    if not is_typed or (centroids.ndim, list_of.ndim, codebooks.ndim) != (2, 1, 3):
        raise ValueError("arrays of another type")
    (num_lists, width), (num_parts, num_codes, part_width) = centroids.shape, codebooks.shape
    if num_codes != 1 << CODE_BITS or num_parts * part_width != width or width == 0:
        raise ValueError("arrays that do not fit together")
    if not np.isfinite(centroids).all() or not np.isfinite(codebooks).all():
        raise ValueError("numbers that are not finite")
    if len(list_of) and not 0 <= list_of.min() <= list_of.max() < num_lists:
        raise ValueError("lists that do not exist")
