"""Rows of the data set to model input, on the fly: decode, crop, and all or part of the augmentation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from .audio import decode_pcm, encode_pcm, load_audio
from .augment.draws import Draws, clip_key, seeded_generator
from .code_version import DECODING, code_version
from .errors import QuaclrsError, QuaclrsWarning, first_line_of
from .files import refuse_unwritable_cache

if TYPE_CHECKING:
    from datasets import Dataset

    from .augment.pipeline import AugmentedLogMel
    from .augment.variant_log_mel import VariantLogMel

#: Clips that a streamed data set decodes at a time.
_STREAMED_CLIPS = 16

#: Column of `decode_once`.
_PCM = "pcm"

#: A waveform (samples,), its sampling rate in Hz and a generator to draw from, to a waveform.
WaveformAugmentation = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


class FeatureExtractor(Protocol):
    """A feature extractor as `ClipTransform` needs it: rate and length, and a call that makes `input_values`."""

    @property
    def sampling_rate(self) -> int: ...

    @property
    def n_samples(self) -> int: ...

    def __call__(self, raw_speech: Any, sampling_rate: int | None = None) -> Any: ...


class ClipTransform:
    """Turns rows into model input: decode, crop, augment. For `transform_clips`, in any number of worker processes.

    Decoding is soundfile's, whatever else is installed. Every random draw is a function of (seed, epoch, clip_id), so
    a clip comes out the same whichever worker, rank or batch it falls to.

    Args:
        feature_extractor: makes each clip mono, of its rate and of its length.
        crop: `center` cuts clips longer than the model's from their centre (paper, section 3), `random` anywhere.
        augment: takes a mono waveform (samples,), its sampling rate and a numpy generator, and returns a waveform.
        seed: of every draw.
        views: the policies that each clip is to be seen under, usually one.
        augment_on: `device` adds to each row what `AugmentedLogMel.augment_batch` needs there: `length` in samples and
            `clip_key`, and for mixup `partner_values`, `partner_length` and `partner_labels`. `worker` applies the
            views here, on the CPU: rows have `input_features` (n_mels, frames), or (views, n_mels, frames) of several,
            in place of `input_values`, and for mixup `label_share`.
        partners: the data set that mixup draws other clips from; not a stream.
        variants: makes `input_features` in place of `input_values`, of augmented copies too (their `clip_id` is
            `CLIP#VARIANT`). Not together with views, which are drawn of the clip itself.

    Raises:
        QuaclrsError: an unknown choice, or a policy that mixes clips without partners.
    """

    def __init__(
        self,
        feature_extractor: FeatureExtractor,
        crop: Literal["center", "random"] = "center",
        augment: WaveformAugmentation | None = None,
        seed: int = 0,
        views: Sequence[AugmentedLogMel] = (),
        augment_on: Literal["device", "worker"] = "device",
        partners: Dataset | None = None,
        variants: VariantLogMel | None = None,
    ) -> None:
        for name, value, choices in (
            ("crop", crop, ("center", "random")),
            ("augment_on", augment_on, ("device", "worker")),
        ):
            if value not in choices:
                raise QuaclrsError(f"{name} is {value!r}; choose {' or '.join(choices)}")
        self.feature_extractor = feature_extractor
        self.crop = crop
        self.augment = augment
        self.seed = seed
        self.variants = variants
        # Workers get no more of the views than they need: on the device lie their banks of noise.
        self.views = list(views) if augment_on == "worker" else []
        self._mixups = [(view.mixup, view.policy.salt) for view in views]
        self._keyed = bool(self._mixups)
        self._mixes = any(mixup is not None for mixup, _ in self._mixups)
        self._partners: Dataset | None = None
        if self._mixes:
            if partners is None:
                raise QuaclrsError("mixup draws other clips of the data set; pass partners=dataset (not a stream)")
            self._partners = partners.select_columns(self.columns_of(partners.column_names))
        self._epoch = _SharedNumber()

    @property
    def draws(self) -> bool:
        """True where anything is random."""
        return self.crop == "random" or self.augment is not None or self._keyed or self.variants is not None

    def columns_of(self, available: Sequence[str]) -> list[str]:
        """Columns of a data set that it needs, among those available."""
        wanted = [_PCM if _PCM in available else "audio", "label", "clip_id"]
        return [name for name in wanted if name in available]

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch: draws change with it. Reaches workers that are running already."""
        self._epoch.set(epoch)

    def __call__(self, rows: dict[str, list[Any]]) -> dict[str, Any]:
        batch = self._load(rows)
        if self._keyed:
            batch["clip_key"] = np.array([clip_key(name) for name in rows["clip_id"]])
        if self._mixes:
            batch |= self._load_partners(batch)
        return self._see(batch) if self.views else batch

    def _load(self, rows: dict[str, list[Any]]) -> dict[str, Any]:
        rate = self.feature_extractor.sampling_rate
        clips = [decode_pcm(samples) for samples in rows[_PCM]] if _PCM in rows else _decode(rows, rate)
        if front_end := getattr(self.feature_extractor, "log_mel_config", None):  # others hear clips as they are
            clips = [front_end.trim(clip) for clip in clips]
        if self.crop == "random" or self.augment is not None:
            clips = [self._draw(clip, rate, name) for clip, name in zip(clips, rows["clip_id"], strict=True)]
        batch: dict[str, Any] = {}
        if self.variants is None:
            batch["input_values"] = self.feature_extractor(clips, sampling_rate=rate)["input_values"]
        else:
            made = [self.variants(clip, name).numpy() for clip, name in zip(clips, rows["clip_id"], strict=True)]
            batch["input_features"] = np.stack(made)
        if "label" in rows:
            batch["labels"] = np.asarray(rows["label"], dtype=np.int64)
        if self._keyed:
            batch["length"] = np.minimum([len(clip) for clip in clips], self.feature_extractor.n_samples)
        return batch

    def _load_partners(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Load the clips that mixup mixes in; a clip that no view mixes is its own partner and costs no decoding."""
        assert self._partners is not None
        draws = [
            (mixup, Draws(batch["clip_key"], self.seed, self._epoch.get(), view).salted(salt))
            for view, (mixup, salt) in enumerate(self._mixups)
            if mixup is not None
        ]
        mixed = np.flatnonzero(np.min([mixup.shares(of_view) for mixup, of_view in draws], axis=0) < 1)
        # One partner for all views, by the draws of the first that mixes.
        chosen = draws[0][0].partners(draws[0][1], len(self._partners))
        partners = {f"partner_{name}": batch[key].copy() for name, key in _PARTNER_COLUMNS.items() if key in batch}
        if len(mixed):
            loaded = self._load(self._partners[chosen[mixed]])
            for name, key in _PARTNER_COLUMNS.items():
                if key in batch:
                    partners[f"partner_{name}"][mixed] = loaded[key]
        return partners

    def _see(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Apply the views in this process."""
        import torch

        tensors = {name: torch.from_numpy(values) for name, values in batch.items()}
        seen = [view.augment_batch(tensors, self.seed, self._epoch.get(), i) for i, view in enumerate(self.views)]
        if len(seen) > 1:
            for name in {"input_features", "label_share"} & seen[0].keys():
                seen[0][name] = torch.stack([of_view[name] for of_view in seen], dim=1)
        return {name: values.numpy() for name, values in seen[0].items()}

    def _draw(self, clip: np.ndarray, rate: int, clip_id: str) -> np.ndarray:
        generator = seeded_generator(self.seed, self._epoch.get(), clip_id)
        if self.augment is not None:
            clip = self.augment(clip, rate, generator)
        surplus = len(clip) - self.feature_extractor.n_samples
        if self.crop == "random" and surplus > 0:
            start = int(generator.integers(surplus + 1))
            clip = clip[start : start + self.feature_extractor.n_samples]
        return clip


_ON_HOST = frozenset({"length", "clip_key", "partner_length"})

#: What a row holds of its partner, and the column of the partner's own that it is.
_PARTNER_COLUMNS = {"values": "input_values", "length": "length", "labels": "labels"}


def transform_clips(dataset: Any, transform: ClipTransform) -> Any:
    """Apply a transform on the fly to a `Dataset` (`with_transform`) or, streaming, to an `IterableDataset`.

    Either can be handed to a PyTorch `DataLoader` with any number of workers.

    Raises:
        QuaclrsError: the data set has no clip_id for draws to depend on.
    """
    columns = transform.columns_of(dataset.column_names)
    if transform.draws and "clip_id" not in columns:
        raise QuaclrsError("the data set has no column clip_id, on which random draws depend; add one")
    chosen = dataset.select_columns(columns)
    if hasattr(chosen, "with_transform"):
        return chosen.with_transform(transform)
    return chosen.map(transform, batched=True, batch_size=_STREAMED_CLIPS, remove_columns=columns)


def collate_clips(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Collate rows for a `DataLoader` whose batches go to `AugmentedLogMel.augment_batch`.

    Lengths and keys of draws stay numpy, which moving a batch to an accelerator leaves on the host: reading them back
    would wait for the device at every step.
    """
    from torch.utils.data import default_collate

    batch = default_collate(rows)
    return {name: values.numpy() if name in _ON_HOST else values for name, values in batch.items()}


def decode_once(dataset: Dataset, sampling_rate: int) -> Dataset:
    """Decode every clip now instead of in every epoch, into the cache of `datasets` on disk.

    A column of 16-bit samples, which is what the builder stores, takes the place of `audio`: 96 kB a second at 48 kHz
    instead of about a third of it, and `ClipTransform` then spends about a tenth of the time. Done once for a data set
    and the code that decodes.

    Args:
        dataset: rows with encoded audio, as `load_urbansound13` gives them.
        sampling_rate: of the samples, Hz: the front end's.
    """

    def decode(rows: dict[str, list[Any]], code: str) -> dict[str, list[Any]]:
        return {_PCM: [encode_pcm(clip) for clip in _decode(rows, sampling_rate)]}

    def decoded(**options: Any) -> Dataset:
        code = {"code": code_version(DECODING)}  # a part of the cache's key
        made = dataset.map(
            decode, fn_kwargs=code, batched=True, batch_size=64, remove_columns="audio", desc="decoding", **options
        )
        if len(made) != len(dataset):
            raise ValueError(f"it holds {len(made)} clips, not {len(dataset)}")
        return made

    try:
        return decoded()
    except QuaclrsError:
        raise
    except (ValueError, OSError) as error:  # Arrow's of a file that is cut off are both
        refuse_unwritable_cache(error)
        message = f"the cache of decoded clips is damaged ({first_line_of(error)}); they are decoded again"
        warnings.warn(message, QuaclrsWarning, stacklevel=2)
        return decoded(load_from_cache_file=False)


def _decode(rows: dict[str, list[Any]], sampling_rate: int) -> list[np.ndarray]:
    """Waveforms of encoded clips; an `AudioError` names the clip that cannot be decoded."""
    names = [f"clip {name}" for name in rows["clip_id"]] if "clip_id" in rows else None
    return [
        load_audio(audio["bytes"], sampling_rate, name=names[place] if names else audio.get("path"))
        for place, audio in enumerate(rows["audio"])
    ]


class _SharedNumber:
    """An integer that every worker process sees, started before or after it was set."""

    def __init__(self) -> None:
        import torch

        self._value = torch.zeros(1, dtype=torch.int64).share_memory_()

    def get(self) -> int:
        return int(self._value[0])

    def set(self, value: int) -> None:
        self._value[0] = value
