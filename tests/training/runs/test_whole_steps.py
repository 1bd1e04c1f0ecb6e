"""A step of the optimiser is the same however its clips are dealt out to accumulated batches and to processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import whole_steps
from accelerate.state import AcceleratorState
from torch.nn.functional import cross_entropy
from two_processes import run_both
from whole_steps import (
    CLASS_WEIGHTS,
    CLIPS,
    DEALINGS,
    MOST_NORM,
    RATE,
    SMOOTHING,
    make_classifier,
    make_clips,
    make_few_labels,
    make_quasi_supervised,
    make_sampler,
    train,
)

STEP = 32


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    """What each of two processes came to."""
    folder = tmp_path_factory.mktemp("processes")
    run_both(Path(whole_steps.__file__), str(folder))
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.fixture
def results(request):
    """What the processes of a dealing came to, each."""

    def of(kind: str, name: str) -> list[dict]:
        *dealing, processes = DEALINGS[name]
        if processes == 1:
            return [train(kind, *dealing)]
        return [results[kind, name] for results in request.getfixturevalue("ranks")]

    return of


def descend(network, parts, loss_of, count: int, most_norm: float) -> None:
    """Gradient descent in float64 on all clips of each step at once; the norm of the first part is clipped."""
    order = torch.from_numpy(make_sampler(count).order(1))
    norms = []
    for rows in order.split(STEP):
        network.zero_grad()
        loss_of(rows).backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parts[0].parameters(), most_norm).item())
        with torch.no_grad():
            for parameter in (p for part in parts for p in part.parameters() if p.grad is not None):
                parameter -= RATE * parameter.grad
    assert norms[0] > most_norm > norms[1]  # of clipped gradients alone the length would not be tested


def assert_same_weights(found: dict, expected: torch.nn.Module, before: torch.nn.Module) -> None:
    for name, values in expected.named_parameters():
        torch.testing.assert_close(found["state"][name].double(), values.detach(), rtol=1e-5, atol=1e-6)
    moved = [(p - q.double()).abs().max() for p, q in zip(expected.parameters(), before.parameters(), strict=True)]
    assert max(moved) > 0.05


@pytest.mark.parametrize("name", DEALINGS)
def test_the_weighted_loss_and_its_gradients_are_those_of_all_clips_of_the_step(name, results):
    count = DEALINGS[name][0]
    data, expected = make_clips(count), make_classifier().double()
    total = []

    def loss_of(rows: torch.Tensor) -> torch.Tensor:
        logits, labels = expected(data.values[rows].double()).logits, data.labels[rows]
        weight = CLASS_WEIGHTS.double()
        losses = cross_entropy(logits, labels, weight, reduction="none", label_smoothing=SMOOTHING)
        total.append(losses.sum().item())
        return losses.sum() / weight[labels].sum()

    descend(expected, [expected], loss_of, count, MOST_NORM["supervised"])
    for found in results("supervised", name):
        assert_same_weights(found, expected, make_classifier())
        assert found["loss"] == pytest.approx(sum(total) / CLASS_WEIGHTS[data.labels].sum().item(), rel=1e-5)


@pytest.mark.parametrize("name", DEALINGS)
def test_the_cross_entropy_of_quasi_supervision_is_that_of_all_labelled_clips_of_the_step(name, results):
    count = DEALINGS[name][0]
    data, expected = make_few_labels(count), make_quasi_supervised().double()

    def loss_of(rows: torch.Tensor) -> torch.Tensor:
        logits = expected.probe(expected.method.encoder(data.values[rows].double()))
        return cross_entropy(logits, data.labels[rows])

    descend(expected, [expected.method, expected.probe], loss_of, count, MOST_NORM["quasi-supervised"])
    for found in results("quasi-supervised", name):
        assert_same_weights(found, expected, make_quasi_supervised())


@pytest.mark.parametrize("kind", ["supervised", "quasi-supervised"])
def test_under_the_loss_scale_of_fp16_steps_are_the_same(kind, monkeypatch):
    """A scale of a power of two rounds nothing. Gradients that are divided by it twice teach nothing."""
    expected = train(kind, CLIPS, 32, 1)["state"]
    AcceleratorState()
    monkeypatch.setitem(AcceleratorState._shared_state, "_mixed_precision", "fp16")
    found = train(kind, CLIPS, 32, 1, loss_scale=65536.0)["state"]
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-6, atol=1e-7)
