"""Direct dependencies: all are used, declared and explained, and the README's licences are those of the packages."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
# Imported, but brought along by a dependency that is made of them.
BROUGHT = {
    "click": "kedro",
    "markupsafe": "jinja2",
    "plotly": "kedro-datasets",
    "pydantic": "fastapi",
    "starlette": "fastapi",
    "threadpoolctl": "implicit",
}
# Not imported, but run or named in conf/.
RUN = {"kedro-datasets", "uvloop", "kedro-viz", "tensorboard", "jupyterlab", "ipykernel", "ipython"}
# How packages spell the licences that the README names by their SPDX identifiers.
SPELLINGS = {"PSF-2.0": "Python Software Foundation", "Apache-2.0": "Apache", "BSD-3-Clause": "BSD"}


def name_of(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def require() -> dict[str, list[str]]:
    """Return the names of direct dependencies, those of extras too, by extra."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: [name_of(requirement) for requirement in names] for extra, names in lists.items()}


REQUIRED = {name: extra for extra, names in require().items() for name in names}


def test_what_is_imported_is_declared_and_what_is_declared_is_used() -> None:
    modules = set()
    for path in (PROJECT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            modules |= {name.partition(".")[0] for name in names}
    packages = importlib.metadata.packages_distributions()
    outside = modules - sys.stdlib_module_names - {"playlist_pipeline"}
    imported = {name_of(next(iter(packages[module]))) for module in outside}
    assert imported - REQUIRED.keys() == BROUGHT.keys()
    assert REQUIRED.keys() - imported == RUN


@pytest.mark.parametrize(("name", "bringer"), BROUGHT.items())
def test_what_is_not_declared_is_brought_along(name: str, bringer: str) -> None:
    assert name in {name_of(line) for line in importlib.metadata.requires(bringer)}


def test_the_readme_lists_each_with_its_purpose_and_licence() -> None:
    text = (PROJECT / "README.md").read_text("utf-8").partition("## Dependencies")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| (.+?) \| (\S+) \|$", text, re.MULTILINE)
    assert sorted(name.lower() for name, _, _ in rows) == sorted(REQUIRED)
    for name, _, licence in rows:
        metadata = importlib.metadata.metadata(name)
        fields = [metadata.get("License-Expression"), metadata.get("License"), *metadata.get_all("Classifier", [])]
        assert SPELLINGS.get(licence, licence) in " ".join(filter(None, fields)), name


def test_no_lock_file_and_no_registry_is_named() -> None:
    text = (PROJECT / "pyproject.toml").read_text()
    assert "://" not in text
    assert "uv.lock" in (PROJECT / ".gitignore").read_text().splitlines()
