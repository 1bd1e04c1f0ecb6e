"""Children in which only the light install can be imported, whatever else this environment has.

`.ci/run` runs this folder once more in environments that hold nothing else: the newest versions, and the lowest ones
that `pyproject.toml` allows.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

#: What the light install does without, with the libraries that others bring along.
HEAVY = (
    *("torch", "torchvision", "torchaudio", "transformers", "timm", "accelerate", "datasets", "evaluate", "librosa"),
    *("lightly", "matplotlib", "pandas", "pyarrow", "pytorch_grad_cam", "onnx", "onnxscript", "gradio", "numba"),
    "sklearn",
    *("paho", "sounddevice"),
)

#: `import torch` fails as where it is not installed.
_BLOCKED = f"import sys; sys.modules.update(dict.fromkeys({HEAVY}))"

Child = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="session")
def python() -> Child:
    """Run lines of Python in a child."""

    def run(code: str, *arguments: str, **options) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", f"{_BLOCKED}\n{code}", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, timeout=120, **{"text": True, **options})

    return run


@pytest.fixture(scope="session")
def quaclrs(python) -> Child:
    """Run a command of `quaclrs` in a child."""

    def run(*arguments: str, **options) -> subprocess.CompletedProcess:
        return python("from quaclrs.cli import main\nsys.exit(main(sys.argv[1:]))", *arguments, **options)

    return run
