"""The house's floors: a room imports only from floors below, and the domain rooms know nothing of Kedro."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import playlist_pipeline

SOURCE = Path(playlist_pipeline.__file__).parent
FLOORS = {
    "errors": 0,
    "files": 0,
    "fingerprint": 0,
    "config": 0,
    "digests": 0,
    "mpd": 1,
    "corpus": 2,
    "model": 3,
    "training": 4,
    "evaluation": 5,
    "generation": 6,
    "serving": 7,
    "console": 8,
}
DOMAIN = ["mpd", "corpus", "model", "training", "evaluation", "generation", "serving"]


def imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules.add(node.module)
    return modules


def files_of(room: str) -> list[Path]:
    files = sorted((SOURCE / room).rglob("*.py")) or [SOURCE / f"{room}.py"]
    assert all(file.is_file() for file in files)
    return files


@pytest.mark.parametrize("room", [*DOMAIN, "console"])
def test_domain_rooms_import_no_kedro_and_only_floors_below(room: str) -> None:
    for path in files_of(room):
        for module in imported_modules(path):
            assert module.split(".")[0] not in ("kedro", "kedro_datasets", "kedro_viz"), f"{path} imports {module}"
            if module.startswith("playlist_pipeline."):
                other = module.split(".")[1]
                assert other == room or FLOORS[other] < FLOORS[room], f"{path} imports {module}"


def test_nodes_hold_functions_of_at_most_twenty_statements_lines() -> None:
    for path in sorted(SOURCE.glob("pipelines/*/nodes.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:]
                length = body[-1].end_lineno - body[0].lineno + 1
                assert length <= 20, f"{path}: {node.name} has {length} lines"


def test_registry_loads_without_the_heavy_libraries() -> None:
    """``kedro info`` and the like import every pipeline; JAX, implicit and plotly would cost seconds each."""
    code = (
        "import sys; from playlist_pipeline.pipeline_registry import register_pipelines; register_pipelines();"
        "import playlist_pipeline.datasets, playlist_pipeline.hooks;"
        "print([name for name in ('jax', 'flax', 'orbax', 'grain', 'implicit', 'plotly', 'matplotlib', 'scipy')"
        " if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
