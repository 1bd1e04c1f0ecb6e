"""Commands that run other trainings take the lock of their folder before they read anything."""

from __future__ import annotations

import pytest

from quaclrs.locks import only_writer
from training import cross_validate, label_efficiency, quickstart

ABSENT = ["--dataset", "absent"]


@pytest.mark.parametrize(
    ("main", "options"),
    [
        (cross_validate.main, [*ABSENT, "--backbone", "resnet18"]),
        (label_efficiency.main, [*ABSENT, "--test-fold", "1", "--encoder", "absent"]),
        (quickstart.main, []),
    ],
)
def test_a_folder_that_another_process_writes_is_refused(main, options, tmp_path, expect_one_error_line):
    folder = tmp_path / "out"
    with only_writer(folder):
        assert main([*options, "--output-dir", str(folder)]) == 2
    expect_one_error_line("is being written by another process; wait for it, or choose another --output-dir")
    assert list(tmp_path.iterdir()) == []
