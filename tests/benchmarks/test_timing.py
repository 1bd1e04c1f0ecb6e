"""Benchmarks by number of threads: each number has a process of its own, and all of them one record."""

from __future__ import annotations

import json

from benchmarks.timing import THREAD_VARIABLES, run_with_threads

_BENCHMARK = f"""
import argparse, os, pathlib
from quaclrs.evaluation.records import add_json_option, command_of, write_record

parser = argparse.ArgumentParser(prog="python -m counted")
add_json_option(parser)
parser.add_argument("--child", type=int)
options = parser.parse_args()
row = {{"threads": options.child, "told": [os.environ[name] for name in {THREAD_VARIABLES!r}]}}
write_record(options.json, command_of(parser, None), [row], add=True)
raise SystemExit(3 if options.child == 4 else 0)
"""


def test_children_add_their_rows_to_a_record_that_begins_anew(tmp_path, monkeypatch):
    (tmp_path / "counted.py").write_text(_BENCHMARK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    record = tmp_path / "record.json"
    record.write_text('{"rows": [{"threads": 99}]}')

    statuses = [run_with_threads("counted", ["--json", str(record)], counts, record) for counts in ([1, 2], [4, 1])]

    assert statuses == [0, 3]  # the second ends with the child that fails
    assert json.loads(record.read_text())["rows"] == [{"threads": 4, "told": ["4"] * len(THREAD_VARIABLES)}]
    assert run_with_threads("counted", ["--json", str(record)], [1, 2], record) == 0
    kept = json.loads(record.read_text())
    assert kept["command"] == "python -m counted" and [row["threads"] for row in kept["rows"]] == [1, 2]
