"""The embedded sample: some 400 synthesised clips of the 13 classes, laid out as the real sources are.

It lets everything downstream run without a download. It proves plumbing, not accuracy.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from quaclrs.errors import QuaclrsError
from quaclrs.files import name_unwritable

from .writer import write_sirennet, write_urbansound8k

__all__ = ["write_sample"]


def write_sample(output: Path, seed: int = 0) -> None:
    """Synthesise the sample into `output/UrbanSound8K` and `output/sireNNet`, whole or not at all.

    seed: not negative; the same one gives the same bytes, another one other recordings.

    Raises QuaclrsError if one of the two folders is there already: it might hold the real recordings.
    """
    output = Path(output)
    if seed < 0:
        raise QuaclrsError(f"seed {seed} is negative: give 0 or more")
    sources = {"UrbanSound8K": write_urbansound8k, "sireNNet": write_sirennet}
    for name in sources:
        if (output / name).exists():
            raise QuaclrsError(f"{output / name} exists already: remove it or choose another folder for the sample")
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sample-", dir=output) as unfinished, name_unwritable(output):
        for name, write in sources.items():
            write(Path(unfinished) / name, seed)
        for name in sources:
            (Path(unfinished) / name).rename(output / name)
