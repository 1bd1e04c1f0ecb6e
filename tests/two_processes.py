"""Two processes that run a function together, forked from one that has never computed a gradient.

PyTorch's autograd does not survive a fork once it has begun its threads, as another test may have made it do.
"""

from __future__ import annotations

from pathlib import Path

import warm_python

ROOT = Path(__file__).parents[1]


def run_both(module: Path, *arguments: object) -> None:
    """Call `run(rank, *arguments)` of a file of tests in two processes; an `AssertionError` tells why they failed."""
    code = (
        f"import sys; sys.path[:0] = [{str(module.parent)!r}, {str(ROOT)!r}, {str(ROOT / 'tests')!r}]\n"
        f"import torch; from {module.stem} import run\n"
        f"torch.multiprocessing.start_processes(run, {tuple(arguments)!r}, nprocs=2, start_method='fork')"
    )
    finished = warm_python.run(["-c", code], cwd=ROOT)
    assert finished.returncode == 0, finished.stderr[-3000:]
