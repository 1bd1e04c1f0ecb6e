"""Records say what was measured, by which command and where; processes of one benchmark add to one file."""

from __future__ import annotations

import argparse
import datetime
import json

import numpy as np
import pytest

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.records import add_json_option, command_of, write_record


def test_a_record_has_command_date_machine_versions_and_rows(tmp_path):
    write_record(
        tmp_path / "a" / "x.json", "python -m it", [{"way": "ours", "ms": {"value": np.float32(1.5)}, "n": np.int64(2)}]
    )
    write_record(tmp_path / "a" / "x.json", "python -m it", [{"way": "theirs", "ms": np.float64(2 / 3)}], add=True)

    record = json.loads((tmp_path / "a" / "x.json").read_text())
    assert record["command"] == "python -m it"
    assert abs((datetime.date.fromisoformat(record["date"]) - datetime.date.today()).days) <= 1
    assert record["machine"]["cores"] >= 1 and record["machine"]["cpu"]
    assert record["versions"]["numpy"] == np.__version__
    assert isinstance(record["rows"][0]["n"], int)
    assert record["rows"] == [
        {"way": "ours", "ms": {"value": 1.5}, "n": 2},
        {"way": "theirs", "ms": pytest.approx(0.6666666667, abs=1e-10)},
    ]


def test_a_command_is_told_without_places_of_this_machine(tmp_path):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.x")
    add_json_option(parser)
    given = ["--recordings", str(tmp_path / "street"), "--rounds", "3", "--json", "x.json", "--child", "2", "--json=y"]

    assert command_of(parser, given) == "python -m benchmarks.x --recordings street --rounds 3"


def test_without_a_file_nothing_is_written_and_a_bad_place_is_one_line(tmp_path):
    write_record(None, "python -m it", [])
    (tmp_path / "file").write_text("")
    with pytest.raises((QuaclrsError, FileExistsError, NotADirectoryError)) as caught:
        write_record(tmp_path / "file" / "x.json", "python -m it", [])
    assert str(tmp_path / "file") in str(caught.value)
