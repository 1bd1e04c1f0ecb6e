"""The queue of MoCo and SwAV: first in, first out, all the way round."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from ssl_stand_ins import CLIPS, build, random_views, unit

from quaclrs.ssl.moco import KeyQueue


def numbered(first: int, count: int) -> torch.Tensor:
    return torch.arange(first, first + count).float()[:, None].repeat(1, 3)


def test_a_new_queue_holds_random_unit_vectors_and_counts_none_of_them():
    torch.manual_seed(0)
    queue = KeyQueue(200, 16)
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(200))
    assert float(queue.keys.mean(0).norm()) < 0.2
    assert int(queue.filled) == int(queue.position) == 0


@pytest.mark.parametrize("counts", [[2, 2, 2], [3, 3, 3, 3, 3], [5], [4, 4, 1, 5, 2], [1] * 13])
def test_the_newest_keys_take_the_place_of_the_oldest(counts):
    queue, expected, pushed = KeyQueue(5, 3), deque(maxlen=5), 0
    for count in counts:
        queue.push(numbered(pushed, count))
        expected.extend(range(pushed, pushed + count))
        pushed += count
        held = queue.keys[:, 0].tolist()
        assert set(expected) <= set(held)
        assert int(queue.filled) == min(5, pushed)
        assert int(queue.position) == pushed % 5
        # Read from the oldest on, they are in the order in which they came.
        oldest_first = held[int(queue.position) :] + held[: int(queue.position)]
        assert oldest_first[5 - len(expected) :] == list(expected)


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("count", [6, 12])
def test_of_more_keys_than_it_holds_the_last_stay(before, count):
    queue = KeyQueue(5, 3)
    queue.push(numbered(100, before))
    queue.push(numbered(0, count))
    assert sorted(queue.keys[:, 0].tolist()) == list(range(count - 5, count))
    queue.push(numbered(50, 1))  # takes the place of the oldest
    assert sorted(queue.keys[:, 0].tolist()) == [*range(count - 4, count), 50]


@pytest.mark.parametrize("name", ["moco", "moco_v2"])
def test_moco_queues_the_unit_keys_of_every_step_in_order(name):
    method = build(name)
    keys = []
    for step in range(4):
        views = random_views(seed=step)
        with torch.no_grad():
            halves = [method.key_projection(method.key_encoder(views[1][parity::2])) for parity in (0, 1)]
            keys.append(unit(torch.stack(halves, dim=1).flatten(0, 1)))
        output = method(views)
        assert float(output.logs["queue_filled"]) == pytest.approx(min(1.0, (step + 1) * CLIPS / 16))
    newest = torch.cat(keys)[-16:]
    # 24 keys in 16 places: the next falls on place 8, where the oldest lies.
    torch.testing.assert_close(method.queue.keys.roll(-8, 0), newest)


def test_a_queue_is_saved_with_the_method_and_is_not_trained():
    method = build("moco")
    assert {"queue.keys", "queue.position", "queue.filled"} <= method.state_dict().keys()
    assert not any(name.startswith("queue") for name, _ in method.named_parameters())


def test_swav_without_a_queue_has_none():
    method = build("swav", queue_size=0)
    method.progress = 0.9
    assert len(method.queues) == 0
    assert torch.isfinite(method(random_views()).loss)
