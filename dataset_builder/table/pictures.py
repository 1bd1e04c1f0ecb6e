"""Rows with pictures: a clip's log-mel, or its variants' (paper, section 3), drawn in the processes that transcode it.

Worker processes import this file. They draw with librosa and Pillow, in a quarter of torch's memory.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from quaclrs.audio import load_audio
from quaclrs.augment import ORIGINAL, VARIANTS, FrontEnd, make_variant
from quaclrs.errors import QuaclrsError
from quaclrs.models import LogMelConfig

from ..sources.source import SourceClip

#: What a row of each config holds.
CONTENT_OF_KIND = {
    "audio": "the audio of a clip, mono FLAC at 48 kHz, at its true length",
    "spectrogram": "a picture of a clip's log-mel",
    "augmented": "a picture of one of the paper's twelve variants of a clip",
}


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add `--config`, `--image-size`, `--seed` and `--fill-per-fold`; `read_config_options` reads them."""
    group = parser.add_argument_group("what a row holds")
    group.add_argument("--config", choices=list(CONTENT_OF_KIND), default="audio", help="default: audio")
    group.add_argument("--image-size", type=int, metavar="N", help="pixels of a picture's side (default 224)")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of noise, masks and patches (default 0)")
    group.add_argument(
        "--fill-per-fold",
        type=int,
        metavar="N",
        help="with --config augmented: as many copies as give every class N rows in every fold of the paper "
        "(449 in its authors' runs); without it all 12 variants of every clip",
    )


def read_config_options(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of `BuildConfig` that `add_config_options` sets."""
    return {
        "kind": options.config,
        "image_size": options.image_size,
        "seed": options.seed,
        "fill_per_fold": options.fill_per_fold,
    }


def check_kind(kind: str, image_size: int | None, seed: int, fill_per_fold: int | None) -> None:
    """Raise a `QuaclrsError` where a value is out of range or has no meaning for this kind of rows."""
    if kind not in CONTENT_OF_KIND:
        raise QuaclrsError(f"--config is {kind!r}; choose {', '.join(CONTENT_OF_KIND)}")
    if image_size is not None and kind == "audio":
        raise QuaclrsError("--image-size has no meaning for --config audio; choose spectrogram or augmented")
    if image_size is not None and image_size < 1:
        raise QuaclrsError(f"--image-size is {image_size}; it must be 1 or more")
    if seed < 0:
        raise QuaclrsError(f"--seed is {seed}; it must be 0 or more")
    if fill_per_fold is not None and kind != "augmented":
        raise QuaclrsError(f"--fill-per-fold has no meaning for --config {kind}; choose augmented")
    if fill_per_fold is not None and fill_per_fold < 1:
        raise QuaclrsError(f"--fill-per-fold is {fill_per_fold}; it must be 1 or more")


@dataclass(frozen=True)
class LibrosaFrontEnd:
    """The models' front end by librosa, without torch. Equal to `LogMelSpectrogram`; a test holds it to that.

    Args:
        log_mel: every field of `quaclrs.LogMelConfig`, as a dictionary.
    """

    log_mel: Mapping[str, Any]

    @property
    def sampling_rate(self) -> int:
        """Of its waveforms, Hz."""
        return self.log_mel["sampling_rate"]

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """A waveform (samples,) of any length to a log-mel (n_mels, frames), float32 in [0, 1]."""
        import librosa

        c = self.log_mel
        mel = librosa.feature.melspectrogram(
            y=LogMelConfig.from_dict(c).fit(waveform),
            sr=c["sampling_rate"],
            n_fft=c["n_fft"],
            hop_length=c["hop_length"],
            n_mels=c["n_mels"],
            fmin=c["f_min"],
            fmax=c["f_max"],
            pad_mode="constant",
        )
        if mel.max() <= c["amin"]:  # librosa would call silence the loudest cell
            return np.zeros_like(mel)
        return 1 + librosa.power_to_db(mel, ref=np.max, amin=c["amin"], top_db=c["top_db"]) / np.float32(c["top_db"])


@dataclass(frozen=True)
class ClipVariants(SourceClip):
    """A clip and the names of those of its variants that are drawn together."""

    variants: tuple[str, ...] = ()

    @classmethod
    def of(cls, clip: SourceClip, variants: Iterable[str]) -> ClipVariants:
        return cls(**vars(clip), variants=tuple(variants))


@dataclass(frozen=True)
class PictureRows:
    """Turns a row with audio into rows with pictures, in any process.

    The picture is that of the clip as the data set stores it, so the `audio` and the `spectrogram` config show a model
    the same.

    Args:
        front_end: draws the log-mel.
        image_size: height and width in pixels.
        seed: of noise, masks and patches.
        named: whether rows name their variant and parent, as in `augmented`.
    """

    front_end: FrontEnd
    image_size: int
    seed: int = 0
    named: bool = False

    def __call__(self, clip: SourceClip, row: dict[str, Any]) -> list[dict[str, Any]]:
        """A row with `image` for every variant of the clip; for the original where the clip is no `ClipVariants`."""
        variants = clip.variants if isinstance(clip, ClipVariants) else (ORIGINAL,)
        audio = row["audio"]["bytes"]
        waveform = load_audio(audio, self.front_end.sampling_rate, name=clip.clip_id)
        shared = {name: value for name, value in row.items() if name != "audio"}
        return [{**shared, **self._own_columns(clip.clip_id, variant, waveform)} for variant in variants]

    def _own_columns(self, parent: str, variant: str, waveform: np.ndarray) -> dict[str, Any]:
        log_mel = make_variant(variant, waveform, parent, self.seed, self.front_end)
        # No variant holds a "#", so the last one of an id divides it: ids of two rows are never equal.
        clip_id = f"{parent}#{variant}" if self.named else parent
        # Quoting keeps them apart in file names too: replacing "/" by "_" would give a_b/c the name of a/b_c.
        image = {"bytes": draw_picture(log_mel, self.image_size), "path": f"{quote(clip_id, safe='')}.png"}
        names = {"parent_clip_id": parent, "variant": variant} if self.named else {}
        return {"image": image, "clip_id": clip_id, **names}


def draw_picture(log_mel: np.ndarray, image_size: int) -> bytes:
    """Encode a log-mel as the picture that the models see: an RGB PNG, square, low frequencies at the bottom.

    The three channels are the same grey, 0 (black) the floor and 255 (white) the clip's loudest cell. The paper speaks
    of RGB images and names no colour map; grey is what its backbones can be fed without undoing one.

    Args:
        log_mel: (n_mels, frames) in [0, 1].
        image_size: height and width in pixels; bilinear, antialiased, as `QuaclrsModel.pictures`.
    """
    from PIL import Image

    upright = np.ascontiguousarray(log_mel[::-1], dtype=np.float32)
    grey = np.asarray(Image.fromarray(upright).resize((image_size, image_size), Image.Resampling.BILINEAR))
    channel = Image.fromarray(np.rint(255 * grey.clip(0, 1)).astype(np.uint8))
    buffer = io.BytesIO()
    Image.merge("RGB", [channel] * 3).save(buffer, format="PNG")
    return buffer.getvalue()


def choose_copies(clips: Sequence[SourceClip], fill_per_fold: int | None) -> tuple[dict[str, list[str]], list[str]]:
    """Which augmented copies are made of each clip: all, or as many as fill its class and paper fold.

    Filling goes round the clips of a class and fold in turn, and every clip round the variants, starting one further
    than the clip before it and where the class and fold before left off, so all clips of a class and fold, and all
    variants of the data set, are used about equally often.

    Args:
        clips: with class and `fold_paper`, in any order.
        fill_per_fold: rows of every class and fold, originals included (449 in the paper authors' runs); where there
            are as many originals no copies are made, and originals are never left out.

    Returns:
        Names of copies by clip_id, in the paper's order, and `class fold n: rows` of what stays below `fill_per_fold`
        though every variant of every clip is used.
    """
    copies = [name for name in VARIANTS if name != ORIGINAL]
    if fill_per_fold is None:
        return {clip.clip_id: copies for clip in clips}, []
    cells: dict[tuple[str, int], list[str]] = defaultdict(list)
    for clip in clips:
        cells[clip.label, int(clip.fold_paper or 0)].append(clip.clip_id)
    chosen: dict[str, list[str]] = {clip.clip_id: [] for clip in clips}
    short, first = [], 0
    for (label, fold), of_cell in sorted(cells.items()):
        of_cell.sort()
        wanted, possible = max(0, fill_per_fold - len(of_cell)), len(of_cell) * len(copies)
        if wanted > possible:
            short.append(f"{label} fold {fold}: {len(of_cell) + possible}")
        for turn in range(min(wanted, possible)):
            round_, place = divmod(turn, len(of_cell))
            chosen[of_cell[place]].append(copies[(first + place + round_) % len(copies)])
        first += min(wanted, possible)
    return {clip_id: sorted(names, key=copies.index) for clip_id, names in chosen.items()}, short


def picture_columns(audio_columns: Mapping[str, Any], image: Any, string: Any, named: bool) -> dict[str, Any]:
    """The columns of rows with pictures, from those of rows with audio: `image` first, `variant` after `clip_id`."""
    columns: dict[str, Any] = {"image": image}
    for name, feature in audio_columns.items():
        if name != "audio":
            columns[name] = feature
        if name == "clip_id" and named:
            columns |= {"parent_clip_id": string, "variant": string}
    return columns
