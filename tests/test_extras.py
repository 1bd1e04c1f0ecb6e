"""`pyproject.toml` against the code: every library that is imported is named there, in the extra that brings it."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from quaclrs.extras import _EXTRA_OF

tomllib = pytest.importorskip("tomllib")

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {"quaclrs", "training", "dataset_builder"}

#: Libraries that others cannot do without, and so bring along: Pillow with Matplotlib, Starlette with Gradio.
BROUGHT = {"onnx-ir": "torch", "pillow": "torch", "fsspec": "train", "starlette": "space"}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names_in(lines: list[str]) -> set[str]:
    return {normalised(re.match(r"[\w.-]+", line)[0]) for line in lines if not line.startswith("quaclrs[")}


BASE = names_in(PROJECT["dependencies"])
EXTRAS = {extra: names_in(lines) for extra, lines in PROJECT["optional-dependencies"].items()}


def imported_by(package: str) -> dict[str, set[str]]:
    """Module of a library -> files that import it, but for what serves type checkers alone."""
    found = defaultdict(set)
    for file in sorted((ROOT / package).rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        typing = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in names:
                module = name.partition(".")[0]
                if id(node) not in typing and module not in OURS | set(sys.stdlib_module_names):
                    found[module].add(str(file.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("package", ["quaclrs", "training", "dataset_builder"])
def test_every_library_that_is_imported_is_named_in_the_extra_that_a_missing_one_is_told_by(package: str) -> None:
    distributions, imported = packages_distributions(), imported_by(package)
    assert "numpy" in imported
    for module, files in imported.items():
        names = {normalised(name) for name in distributions.get(module, [])}
        if names & BASE:
            assert module not in _EXTRA_OF, f"{module} is installed always; quaclrs/extras.py takes it for an extra's"
            continue
        extras = {extra for extra, wanted in EXTRAS.items() if names & wanted} | {
            BROUGHT[name] for name in names & BROUGHT.keys()
        }
        assert extras, f"{module} is named nowhere in pyproject.toml; {sorted(files)[:3]} import it"
        told = _EXTRA_OF.get(module, BROUGHT.get(next(iter(names)), ""))
        assert told in extras, f"{module} comes with {sorted(extras)}; quaclrs/extras.py says {told!r}"
        assert package == "quaclrs" or told in ("torch", "train"), f"{package} needs [{told}] beside [train]"


def test_an_extra_that_stands_on_another_holds_it() -> None:
    wanted = {"train": {"torch"}, "space": {"torch"}, "bench": {"train"}, "test": {"live", "space", "train"}}
    for extra, others in wanted.items():
        (line,) = [line for line in PROJECT["optional-dependencies"][extra] if line.startswith("quaclrs[")]
        assert others <= set(re.search(r"\[(.*)\]", line)[1].split(","))
