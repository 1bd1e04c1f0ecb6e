"""The embedded sample: some 400 synthesised clips of the 13 classes, laid out as the real sources are.

It lets everything downstream run without a download. It shows that everything works, and says nothing about streets.
"""

from __future__ import annotations

from pathlib import Path

from quaclrs.errors import QuaclrsError

from .writer import write_sirennet, write_urbansound8k

__all__ = ["write_sample"]


def write_sample(output: Path, seed: int = 0) -> None:
    """Synthesise the sample into `output/UrbanSound8K` and `output/sireNNet`; an error may leave a part of it.

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
    for name, write in sources.items():
        write(output / name, seed)
