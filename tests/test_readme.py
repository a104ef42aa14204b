"""The README's promises name tests that exist."""

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PAGE = (PROJECT / "README.md").read_text("utf-8").partition("## What happens when")[2].partition("\n## ")[0]
NAMED = re.findall(r"^\| .+ \| .+ \| `(.+)::(.+)` \|$", PAGE, re.MULTILINE)


def test_every_line_of_the_page_names_a_test() -> None:
    assert len(NAMED) == PAGE.count("\n| ") - 1
    assert len(set(NAMED)) == len(NAMED) > 30


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_the_test_is_there(file: str, name: str) -> None:
    tree = ast.parse((PROJECT / file).read_text("utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
