"""Evaluation of a frozen encoder on held-out clips: k-NN, probes, and signs of collapse."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from quaclrs.evaluation.probes import knn_accuracy, knn_probabilities, linear_probe_probabilities
from quaclrs.evaluation.run_metrics import KNN, LINEAR, RANDOM_KNN, RANDOM_LINEAR
from quaclrs.models import LogMelSpectrogram
from quaclrs.ssl import QuasiSupervised, diagnose
from quaclrs.ssl.diagnostics import alignment

from ..clips.embeddings import gather_shares
from ..clips.splits import Split, Splits
from ..clips.stored import log_mels_of
from ..runs.compilation import uncompiled

#: Clips that the encoder sees at once.
_BATCH = 128


class StoredLogMels:
    """Log-mels of a split's clips as they are, in memory; of several processes each keeps its share.

    Args:
        accelerator: of the run.
        split: whose clips.
        front_end: on the CPU.
        num_workers: processes that decode.
    """

    def __init__(self, accelerator: Accelerator, split: Split, front_end: LogMelSpectrogram, num_workers: int) -> None:
        self._accelerator = accelerator
        self.split = split.plain()
        share = range(accelerator.process_index, len(split), accelerator.num_processes)
        own = dataclasses.replace(self.split, dataset=self.split.dataset.select(share))
        self._log_mels = log_mels_of(own, front_end, num_workers)

    @torch.inference_mode()
    def embed(self, encoder: nn.Module) -> torch.Tensor:
        """Embeddings (clips, hidden_size) of all clips, float32 on the CPU, in the order of the split."""
        accelerator = self._accelerator
        encoder.eval()
        own = []
        for log_mels in self._log_mels.split(_BATCH):
            with accelerator.autocast(), uncompiled():
                own.append(encoder(log_mels.to(accelerator.device).float()).float().cpu())
        return gather_shares(accelerator, torch.cat(own), len(self.split))


class HeldOutEvaluation:
    """Measures an encoder on the validation fold, against the training clips that have labels. Never the test fold.

    Args:
        accelerator: of the run.
        splits: of the run.
        front_end: on the CPU.
        neighbours: of k-NN; fewer where fewer clips have labels.
        num_workers: processes that decode.
    """

    def __init__(
        self, accelerator: Accelerator, splits: Splits, front_end: LogMelSpectrogram, neighbours: int, num_workers: int
    ) -> None:
        self._accelerator = accelerator
        self._front_end, self._num_workers = front_end, num_workers
        self.train, self.validation = self.store(splits.train), self.store(splits.validation)
        self._labelled = splits.train.labelled
        self._neighbours = min(neighbours, int(self._labelled.sum()))

    def store(self, split: Split) -> StoredLogMels:
        """Make the log-mels of a split's clips and keep them."""
        return StoredLogMels(self._accelerator, split, self._front_end, self._num_workers)

    def __call__(self, network: QuasiSupervised, views: list[torch.Tensor]) -> dict[str, Any]:
        """`knn_accuracy`, `probe_accuracy`, `embedding_std`, `effective_rank`, `uniformity`, and `alignment` of views.

        Args:
            network: whose encoder and probe run in evaluation mode.
            views: two views of the same clips, the same after every epoch.
        """
        encoder, device = network.method.encoder, self._accelerator.device
        network.eval()
        embeddings = self.validation.embed(encoder)
        row: dict[str, Any] = dict.fromkeys(("knn_accuracy", "probe_accuracy"), 0.0)
        figures: dict[str, Any] = dict(diagnose(embeddings))
        if torch.isfinite(embeddings).all() and torch.isfinite(bank := self.train.embed(encoder)).all():
            labels = self.validation.split.labels
            known = self._labelled
            row["knn_accuracy"] = knn_accuracy(
                bank[known].numpy(), self.train.split.labels[known], embeddings.numpy(), labels, self._neighbours
            )
            with torch.inference_mode(), uncompiled():
                predicted = network.probe(embeddings.to(device)).argmax(1).cpu().numpy()
                first, second = (encoder(view) for view in views)
            row["probe_accuracy"] = float((predicted == labels).mean())
            figures["alignment"] = alignment(first, second).item()
        return row | figures


def probe_encoders(
    splits: Splits, trained: dict[str, torch.Tensor], before: dict[str, torch.Tensor], neighbours: int
) -> dict[str, np.ndarray]:
    """Class probabilities of the test clips by k-NN and by a linear probe, of the encoder now and before training.

    Args:
        splits: of the run.
        trained, before: embeddings (clips, hidden_size) by split, `train` and `test`.
        neighbours: of k-NN.
    """
    known = splits.train.labelled
    labels, classes = splits.train.labels[known], len(splits.class_names)
    probabilities = {}
    for embeddings, knn, linear in ((trained, KNN, LINEAR), (before, RANDOM_KNN, RANDOM_LINEAR)):
        bank, test = embeddings["train"].numpy()[known], embeddings["test"].numpy()
        probabilities[knn] = knn_probabilities(bank, labels, test, classes, min(neighbours, len(bank)))
        probabilities[linear] = linear_probe_probabilities(bank, labels, test, classes)
    return probabilities


def describe_epoch(row: dict[str, Any]) -> str:
    """One line on a finished epoch, or on the encoder before training (epoch 0)."""
    line = (
        f"epoch {row['epoch']}: loss {row['train_loss']:.3f}; validation k-NN {row['knn_accuracy']:.3f}, probe "
        f"{row['probe_accuracy']:.3f}; embedding std {row['embedding_std']:.2f}, rank {row['effective_rank']:.0f}"
    )
    return line if row["epoch"] == 0 else f"{line}; {row['seconds']:.0f} s"


def name_means(means: dict[str, float]) -> dict[str, float | None]:
    """Columns of `history.csv` from the means of an epoch's steps; accuracy is over the clips that have labels."""
    means = dict(means)
    loss, correct, labelled = means.pop("loss"), means.pop("correct"), means.pop("labelled")
    return {"train_loss": loss, "train_accuracy": correct / labelled if labelled else None, **means}
