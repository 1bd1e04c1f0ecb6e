"""`metrics.json` as somebody else may have left it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.run_metrics import RunMetrics

NAMES = ("backbone", "augment", "protocol", "mixed_precision", "device")
NUMBERS = (
    "image_size", "test_fold", "validation_fold", "seed", "epochs", "clips_train", "clips_validation", "num_processes",
    "train_seconds", "train_clips_per_second", "peak_memory_bytes", "seconds",
)  # fmt: skip
WHOLE = {
    **dict.fromkeys(NAMES, "text"),
    **dict.fromkeys(NUMBERS, 3),
    **{"synthetic": False, "warnings": [], "controls": {}, "accuracy": 0.5, "clips": 40},
}


def read(folder: Path, content: bytes) -> RunMetrics:
    (folder / "metrics.json").write_bytes(content)
    return RunMetrics.read(folder)


def test_metrics_come_back_as_they_were_written(tmp_path):
    metrics = read(tmp_path, json.dumps(WHOLE).encode())
    assert metrics.to_dict() == WHOLE
    metrics.write(tmp_path)
    assert RunMetrics.read(tmp_path) == metrics


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"[" * 100_000,
        bytes(100),
        b"\xff\xfe",
        json.dumps(WHOLE).encode()[:-30],
        *(json.dumps({**WHOLE, name: wrong}).encode() for name, wrong in (
            ("accuracy", "half"), ("clips", None), ("epochs", "three"), ("epochs", None), ("seconds", []),
            ("warnings", "none"), ("controls", []), ("evaluations", []), ("history", 3), ("evaluations", {}),
        )),
        *(json.dumps({k: v for k, v in WHOLE.items() if k != name}).encode() for name in ("backbone", "accuracy")),
    ],
)  # fmt: skip
def test_damaged_metrics_are_one_line_that_names_the_file(tmp_path, content):
    with pytest.raises(QuaclrsError, match=r"metrics\.json") as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value)
