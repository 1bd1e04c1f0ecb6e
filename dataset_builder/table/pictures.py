"""Rows with pictures of log-mels (paper, section 3), made by the code that makes training's augmented copies."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np

from quaclrs.audio import load_audio
<<<<<<< HEAD
from quaclrs.augment import ORIGINAL, VARIANTS, FrontEnd, make_variant
from quaclrs.errors import QuaclrsError
from quaclrs.models import LogMelConfig

from ..sources.source import SourceClip
=======
from quaclrs.augment import COPIES, ORIGINAL, copy_id
from quaclrs.data import STORED_SAMPLING_RATE
>>>>>>> fcaa333 (The paper protocol works: augmented copies are rows without sound, made as they are loaded by the code that augments in training; pictures by the same code)

#: What a row of each config holds.
CONTENT_OF_KIND = {
    "audio": "the audio of a clip, mono FLAC at 48 kHz, at its true length",
    "spectrogram": "a picture of a clip's log-mel",
    "augmented": "a picture of one of the paper's twelve variants of a clip, as training draws it by seed 0",
}

#: Variants whose pictures a build makes of every clip, in turn: copies have files of their own.
VARIANTS_OF_KIND = {"spectrogram": [(ORIGINAL,)], "augmented": [(ORIGINAL,), COPIES]}


def picture_rows(row: dict[str, Any], variants: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row with audio, as the data set stores it, as one row with a picture for each of these variants."""
    waveform = load_audio(row["audio"]["bytes"], STORED_SAMPLING_RATE, name=row["clip_id"])
    shared = {name: value for name, value in row.items() if name != "audio"}
    rows = []
    for variant in variants:
        clip_id = copy_id(row["clip_id"], variant)
        # Quoting keeps file names apart: replacing "/" by "_" would give a_b/c the name of a/b_c.
        image = {"bytes": _drawer()(waveform, clip_id), "path": f"{quote(clip_id, safe='')}.png"}
        rows.append({**shared, "image": image, "clip_id": clip_id, "variant": variant})
    return rows


@functools.cache
def _drawer() -> Callable[[np.ndarray, str], bytes]:
    """From a waveform and the id of a variant to the picture that the models see, an RGB PNG.

<<<<<<< HEAD

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
=======
    It is grey, black at the floor of the log-mel, with low frequencies at the bottom. The paper speaks of RGB images
    and names no colour map; grey is what its backbones can be fed without undoing one.
>>>>>>> fcaa333 (The paper protocol works: augmented copies are rows without sound, made as they are loaded by the code that augments in training; pictures by the same code)
    """
    import torch
    from PIL import Image

    from quaclrs.augment import VariantLogMel
    from quaclrs.models import LogMelConfig, LogMelSpectrogram

    torch.set_num_threads(1)  # the processes of a build share the cores already
    size, log_mel_of = LogMelConfig().picture_size, VariantLogMel(LogMelSpectrogram(LogMelConfig()))

    def draw(waveform: np.ndarray, clip_id: str) -> bytes:
        upright = log_mel_of(waveform, clip_id).flip(0)[None, None]
        grey = torch.nn.functional.interpolate(upright, size, mode="bilinear", antialias=True)[0, 0]
        png = io.BytesIO()
        Image.fromarray((255 * grey).round().byte().numpy()).convert("RGB").save(png, format="PNG")
        return png.getvalue()

    return draw
