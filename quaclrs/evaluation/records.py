"""Records of what was measured: rows of figures with their command, date, machine and versions, in one small JSON file.

`docs/figures.py` fills the tables of README and pages from the records in `docs/results/runs`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from quaclrs.files import name_unwritable
from quaclrs.text_files import read_mapping

#: Packages whose versions a record tells, of those that were loaded; the module's name where it is another.
_PACKAGES = {"quaclrs": "quaclrs", "scikit-learn": "sklearn"} | {
    name: name for name in ("torch", "torchaudio", "transformers", "timm", "lightly", "librosa", "numpy", "onnxruntime")
}

#: Options, with one value each, that say nothing about what was measured.
_LEFT_OUT = ("--json", "--child")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json FILE` to a command that measures something."""
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures, their command and the machine there too"
    )


def command_of(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> str:
    """Name a command for others: absolute paths by their last part, without options that say where its output goes.

    Args:
        parser: of the command.
        arguments: that it was given; those of the process without them.
    """
    words: list[str] = []
    given = iter(sys.argv[1:] if arguments is None else arguments)
    for word in given:
        if word in _LEFT_OUT:
            next(given, None)
        elif not word.startswith(tuple(f"{option}=" for option in _LEFT_OUT)):
            words.append(Path(word).name if Path(word).is_absolute() else word)
    return f"{parser.prog} {shlex.join(words)}".strip()


def write_record(file: Path | None, command: str, rows: Iterable[Mapping[str, Any]], add: bool = False) -> None:
    """Write a record.

    Args:
        file: its path; without one nothing is written.
        command: that measured the figures.
        rows: of figures. A figure is a number, or a mapping with `value` and any of `std`, `low` and `high`; shares are
            in [0, 1].
        add: put the rows after those that the file has, as processes of one benchmark do in turn.

    Raises:
        QuaclrsError: the file cannot be written; the message names it.
    """
    if file is None:
        return
    earlier = read_mapping(file)["rows"] if add and file.is_file() else []
    record: dict[str, Any] = {
        "command": command,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": describe_machine(),
        "versions": {name: _version(name) for name, module in _PACKAGES.items() if module in sys.modules},
        "rows": [*earlier, *map(_rounded, rows)],
    }
    with name_unwritable(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(record_text(record), encoding="utf-8")


def record_text(record: Mapping[str, Any]) -> str:
    """JSON of a record with a line a row."""
    head = json.dumps({**record, "rows": []}, indent=2, ensure_ascii=False).removesuffix("[]\n}")
    return head + "[\n" + ",\n".join(f"    {json.dumps(r, ensure_ascii=False)}" for r in record["rows"]) + "\n  ]\n}\n"


def describe_machine() -> dict[str, Any]:
    """Cores that this process may use, names of processor and GPU, and the load: above `cores` others ran too."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    told: dict[str, Any] = {"cores": cores, "cpu": _processor()}
    if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
        told["gpu"] = torch.cuda.get_device_name()
    return {**told, "load": round(os.getloadavg()[0], 1)} if hasattr(os, "getloadavg") else told


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None  # a clone that was not installed


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _rounded(value: Any) -> Any:
    """Ten digits: a figure that is rounded for a page is the one that rounding all of them gives."""
    if isinstance(value, Mapping):
        return {str(name): _rounded(part) for name, part in value.items()}
    if hasattr(value, "item"):  # a number of NumPy
        value = value.item()
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    if isinstance(value, str | int | None):
        return value
    return float(f"{float(value):.10g}")
