"""A coverage-guided search for inputs that do harm to the reader or to the parameters.

It runs ``fuzz_targets.py`` under atheris (wheels for CPython 3.11 to 3.13 on Linux) and begins with the inputs
of ``tests/mpd/corpus``. pyarrow and libdeflate are not instrumented, but what crashes them ends the run too.

    uv run --group fuzz python tests/benchmarks/fuzz.py slice --minutes 10
"""

import argparse
import copy
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

sys.modules.pop("zipfile", None)  # atheris instruments what is imported anew
with atheris.instrument_imports(include=["playlist_pipeline", "zipfile"]):
    from fuzz_targets import TARGETS, list_words

CORPUS = Path(__file__).parents[1] / "mpd" / "corpus"
SECONDS_FOR_ONE = 20


VALUES = [None, True, -1, 0, 1, 2**31, 2**63, 10**300, 0.5, float("nan"), "", "x", "\ud83d", "\0", [], {}, [[]], [None]]


def mutate_json(data: bytes, max_size: int, seed: int) -> bytes:
    """Change a value of JSON, most times; bytes otherwise, and where there is no JSON."""
    rng = random.Random(seed)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    places = _list_places(content)
    if not places or rng.random() < 0.25:
        return atheris.Mutate(data, max_size)
    for _ in range(rng.randint(1, 3)):
        place, key = rng.choice(places)
        other, at = rng.choice(places)
        place[key] = copy.deepcopy(other[at] if rng.random() < 0.5 else rng.choice(VALUES))
        if isinstance(place, dict) and rng.random() < 0.2:
            place[rng.choice([*map(str, other), "x"])] = place.pop(key)
            break
        places = _list_places(content)
    text = json.dumps(content, ensure_ascii=rng.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")[:max_size]


def _list_places(content: Any) -> list[tuple[Any, Any]]:
    """Return every object or list with each of its keys."""
    found, pending = [], [content]
    while pending:
        value = pending.pop()
        keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        found += [(value, key) for key in keys]
        pending += [value[key] for key in keys]
    return found


def main() -> None:
    """Search until the time is over or something is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--found", type=Path, help="folder for new inputs and findings; a temporary one if not given")
    parser.add_argument("--max-bytes", type=int, default=8192, help="length of inputs")
    options = parser.parse_args()
    found = options.found or Path(tempfile.mkdtemp(prefix=f"fuzz-{options.target}-"))
    found.mkdir(parents=True, exist_ok=True)
    words = found / "words.dict"
    words.write_text("".join(f'"{word}"\n' for word in list_words()), "utf-8")
    (found / "inputs").mkdir(exist_ok=True)
    arguments = [sys.argv[0], str(found / "inputs"), str(CORPUS / options.target), f"-dict={words}"]
    arguments += [
        f"-max_total_time={round(60 * options.minutes)}",
        f"-max_len={options.max_bytes}",
        "-rss_limit_mb=4096",
    ]
    arguments += [f"-timeout={SECONDS_FOR_ONE}", f"-artifact_prefix={found}/", "-print_final_stats=1"]
    mutator = {} if options.target == "zip" else {"custom_mutator": mutate_json}
    atheris.Setup(arguments, lambda data: TARGETS[options.target](data) and None, **mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
