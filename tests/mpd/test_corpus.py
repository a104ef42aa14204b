"""The inputs from which the search in ``benchmarks/fuzz.py`` begins, and those that it has found."""

from pathlib import Path

import pytest
from fuzz_targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_nothing_does_harm(path):
    TARGETS[path.parent.name](path.read_bytes())


def test_the_corpus_is_small_and_holds_every_kind_of_input():
    sizes = {path.relative_to(CORPUS).as_posix(): path.stat().st_size for path in CORPUS.glob("*/*")}
    assert sum(sizes.values()) < 50_000
    assert {name.split("/")[0] for name in sizes} == set(TARGETS)
    results = [TARGETS["slice"](path.read_bytes()) for path in sorted(CORPUS.glob("slice/*"))]
    kinds = {kind for result in results for kind in result.findings.counts}
    assert kinds >= {"broken_json", "wrong_layout", "repeated_pid", "repeated_field", "num_tracks", "pos_renumbered"}
    assert any(result.replaced_surrogates for result in results)
