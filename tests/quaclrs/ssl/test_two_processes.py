"""Two processes that share a batch and average gradients learn what one learns from the whole batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import ssl_two_processes
import torch
from ssl_two_processes import BATCH, METHODS_AND_OPTIONS, STEPS, train
from two_processes import run_both


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    """What each of two processes came to, by method."""
    folder = tmp_path_factory.mktemp("processes")
    run_both(Path(ssl_two_processes.__file__), 2, str(folder))
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module")
def alone() -> dict:
    return {name: train(name, 0, 1) for name in METHODS_AND_OPTIONS}


@pytest.mark.parametrize("name", METHODS_AND_OPTIONS)
@pytest.mark.parametrize("what", ["losses", "gradients"])
def test_losses_and_gradients_are_those_of_the_whole_batch(name, what, ranks, alone):
    assert float(alone[name]["gradients"].abs().max()) > 1e-3
    for rank in ranks:
        torch.testing.assert_close(rank[name][what], alone[name][what], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", METHODS_AND_OPTIONS)
def test_weights_teachers_centres_and_queues_are_those_of_the_whole_batch_on_every_rank(name, ranks, alone):
    for rank in ranks:
        assert rank[name]["state"].keys() == alone[name]["state"].keys()
        for entry, expected in alone[name]["state"].items():
            torch.testing.assert_close(
                rank[name]["state"][entry], expected, rtol=1e-3, atol=1e-5, msg=lambda m, e=entry: f"{e}: {m}"
            )


def test_the_queue_of_moco_holds_the_keys_of_both_ranks_in_the_order_of_ranks(ranks, alone):
    state = ranks[0]["moco"]["state"]
    assert int(state["queue.filled"]) == 20
    assert int(state["queue.position"]) == STEPS * BATCH - 20
    # A key of rank 1 never stands in the place of one of rank 0: other clips, other keys.
    keys, expected = state["queue.keys"], alone["moco"]["state"]["queue.keys"]
    assert (torch.cdist(keys, expected).argmin(1) == torch.arange(20)).all()
