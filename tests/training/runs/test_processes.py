"""What a process says that lost another, by the words of the libraries that found out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from training.runs.processes import end_where_another_died


@pytest.mark.parametrize(
    "words",
    [
        "Application timeout caused pair closure",
        "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:21405",
        "[Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=3, OpType=ALLREDUCE)",
    ],
)
def test_a_process_that_lost_another_says_so_in_one_line(words, capsys):
    with pytest.raises(SystemExit), end_where_another_died(SimpleNamespace(num_processes=2, process_index=1)):
        raise RuntimeError(words)
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "process 1 lost another of the run, which died or hangs" in error


@pytest.mark.parametrize(("processes", "words"), [(2, "shapes do not match"), (1, "Connection closed by peer")])
def test_other_errors_stay_what_they_are(processes, words):
    with (
        pytest.raises(RuntimeError, match=words),
        end_where_another_died(SimpleNamespace(num_processes=processes, process_index=0)),
    ):
        raise RuntimeError(words)
