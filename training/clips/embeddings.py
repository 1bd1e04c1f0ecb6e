"""Linear probing without running the frozen encoder again and again: embeddings are computed once and kept on disk.

A clip's embedding depends on the encoder's weights, the front end, the code of both and the clip, not on folds, so
cross-validation computes each once. The file of an encoder lies in `quaclrs/embeddings` of the Hugging Face cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object, send_to_device
from huggingface_hub.constants import HF_HOME
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

from quaclrs.code_version import EMBEDDING, code_version
from quaclrs.errors import QuaclrsWarning, first_line_of
from quaclrs.files import written
from quaclrs.models import QuaclrsModel
from quaclrs.transforms import ClipTransform, transform_clips

from ..runs.config import TrainingConfig
from .splits import Split, Splits
from .stored import stored

#: Clips that the encoder sees at once. Always as many: a kernel chosen for another shape rounds differently.
CLIPS_AT_ONCE = 32


def embed_clips(
    accelerator: Accelerator,
    encoder: QuaclrsModel,
    clips: Any,
    clip_ids: Sequence[str],
    transform: ClipTransform,
    settings: dict[str, Any],
) -> torch.Tensor:
    """Embeddings of clips by a frozen encoder, from the cache where they are there.

    Args:
        accelerator: its processes share the work; the main one reads and writes the cache.
        encoder: on the accelerator's device.
        clips: rows of a loaded data set.
        clip_ids: of these rows.
        transform: what makes model input of them; one without draws, or whose draws `settings` describe.
        settings: what beside encoder, front end and clip an embedding depends on: the data set, a cut, copies.

    Returns:
        float32 (clips, hidden_size) on the CPU, in the order of the rows.
    """
    encoder.eval()
    settings = {**settings, "precision": accelerator.mixed_precision, "device": accelerator.device.type}
    file = Path(os.path.expanduser(HF_HOME)) / "quaclrs" / "embeddings" / f"{_key(encoder, settings)}.safetensors"
    # Of several processes only the main one looks: two machines may hold different caches.
    known = [_read(file, encoder.hidden_size) if accelerator.is_main_process and file.is_file() else None]
    found: dict[str, torch.Tensor] = broadcast_object_list(known)[0] or {}
    missing = [row for row, clip_id in enumerate(clip_ids) if clip_id not in found]
    if missing:
        accelerator.print(f"embedding {len(missing)} clips with the frozen encoder")
        computed = _embed(accelerator, encoder, transform_clips(clips.select(missing), transform))
        found |= {clip_ids[row]: embedding for row, embedding in zip(missing, computed, strict=True)}
        if accelerator.is_main_process:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                with written(file) as unfinished:
                    save_file({clip_id: embedding.clone() for clip_id, embedding in found.items()}, unfinished)
            except OSError as error:
                message = f"the cache {file.parent} cannot be written ({error.strerror}), so embeddings are not kept"
                warnings.warn(f"{message}; set HF_HOME to a folder that can", QuaclrsWarning, stacklevel=2)
    return torch.stack([found[clip_id] for clip_id in clip_ids])


def embed_split(
    accelerator: Accelerator,
    encoder: QuaclrsModel,
    splits: Splits,
    split: Split,
    config: TrainingConfig,
    heard: Any = None,
) -> Split:
    """A split as embeddings by a frozen encoder.

    Args:
        accelerator, encoder: as in `embed_clips`.
        splits: of the data set.
        split: one of them, or one made of them.
        config: of the run.
        heard: what its draws depend on where it has any, beside its clips.
    """
    settings = {"data": splits.fingerprint, "decoded": config.decode_once, "heard": heard}
    settings["copies"] = config.seed if split.variants else None
    embeddings = embed_clips(accelerator, encoder, split.clips, split.clip_ids, split.transform, settings)
    return stored(split, "embeddings", embeddings)


@torch.inference_mode()
def _embed(accelerator: Accelerator, encoder: QuaclrsModel, rows: Any) -> torch.Tensor:
    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        name = "input_features" if "input_features" in batch[0] else "input_values"
        values = torch.stack([torch.as_tensor(row[name]) for row in batch])
        return {name: torch.cat([values, values[:1].expand(CLIPS_AT_ONCE - len(values), *values.shape[1:])])}

    share = range(accelerator.process_index, len(rows), accelerator.num_processes)
    embeddings = []
    for batch in DataLoader(rows.select(share), batch_size=CLIPS_AT_ONCE, collate_fn=collate):
        with accelerator.autocast():
            embeddings.append(encoder(**send_to_device(batch, accelerator.device)).pooler_output.float().cpu())
    own = torch.cat(embeddings)[: len(share)] if embeddings else torch.zeros(0, encoder.hidden_size)
    return gather_shares(accelerator, own, len(rows))


def gather_shares(accelerator: Accelerator, own: torch.Tensor, rows: int) -> torch.Tensor:
    """All rows on every process, in order, where process p of n has rows p, p + n, p + 2 n and so on."""
    whole = own.new_empty(rows, own.shape[1])
    for process, share in enumerate(gather_object([own])):  # shares differ by a row at most
        whole[process :: accelerator.num_processes] = share
    return whole


def _read(file: Path, size: int) -> dict[str, torch.Tensor]:
    """The embeddings of a file of the cache; none where it is damaged, so that they are made anew."""
    try:
        found = load_file(file)
        for clip_id, embedding in found.items():
            if embedding.shape != (size,) or embedding.dtype != torch.float32 or not embedding.isfinite().all():
                raise ValueError(f"{clip_id} is not an embedding")
        return found
    except (OSError, ValueError, SafetensorError) as error:
        message = f"the cached embeddings {file} are damaged ({first_line_of(error)}); they are computed again"
        warnings.warn(message, QuaclrsWarning, stacklevel=2)
        return {}


def _key(encoder: QuaclrsModel, settings: dict[str, Any]) -> str:
    # Which clips the model will have heard differs from fold to fold. No embedding depends on it.
    options = encoder.config.to_dict() | {"training_data": None}
    # Modules as they print show what no weight and no source of ours does: activations, strides, a layer put in.
    described = [options, str(encoder), code_version(EMBEDDING), settings]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]
