"""What a frozen encoder knows of held-out clips, after every epoch: k-NN, online probe, and signs of collapse."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from quaclrs.evaluation.probes import knn_accuracy
from quaclrs.models import LogMelSpectrogram
from quaclrs.ssl import QuasiSupervised, diagnose
from quaclrs.ssl.diagnostics import alignment

from ..clips.embeddings import gather_shares
from ..clips.splits import Split, Splits
from ..clips.stored import log_mels_of

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
        self.split.dataset = self.split.dataset.select(share)
        self._log_mels = log_mels_of(self.split, front_end, num_workers)

    @torch.inference_mode()
    def embed(self, encoder: nn.Module) -> torch.Tensor:
        """Embeddings (clips, hidden_size) of all clips, float32 on the CPU, in the order of the split."""
        accelerator = self._accelerator
        encoder.eval()
        own = []
        for log_mels in self._log_mels.split(_BATCH):
            with accelerator.autocast():
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
        self.train = StoredLogMels(accelerator, splits.train, front_end, num_workers)
        self.validation = StoredLogMels(accelerator, splits.validation, front_end, num_workers)
        self._labelled = splits.train.labelled
        self._neighbours = min(neighbours, int(self._labelled.sum()))

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
            with torch.inference_mode():
                predicted = network.probe(embeddings.to(device)).argmax(1).cpu().numpy()
                first, second = (encoder(view) for view in views)
            row["probe_accuracy"] = float((predicted == labels).mean())
            figures["alignment"] = alignment(first, second).item()
        return row | figures
