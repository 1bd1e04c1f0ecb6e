"""Notebooks in `examples/`: every cell of code runs, in order, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))

#: Takes the place of Jupyter's module: pictures need not be shown.
_DISPLAY = """
import sys
import types

shown = types.ModuleType("IPython.display")
shown.display = shown.Markdown = print
shown.Image = lambda filename: None
sys.modules["IPython.display"] = shown
"""


def code_of(notebook: Path) -> list[str]:
    """Source of each cell of code."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_python_and_was_run_from_top_to_bottom(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "markdown"
    for source in code_of(notebook):
        compile(source, notebook.name, "exec")
    counts = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert not [o for cell in cells for o in cell.get("outputs", ()) if o["output_type"] == "error"]


@pytest.mark.weekly
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, tmp_path):
    script = tmp_path / "notebook.py"
    script.write_text("\n\n".join([_DISPLAY, *code_of(notebook)]), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, str(script)], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
