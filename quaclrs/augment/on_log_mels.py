"""Log-mel augmentations of a batch in PyTorch, on any device: SpecAugment, PatchAugment and random resized crops.

torchaudio's masking transforms draw from torch's global generator, which would tie a clip's masks to its place in the
batch; here the draws come first and the masks are one comparison.
"""

from __future__ import annotations

import numpy as np
import torch

from ..errors import QuaclrsError
from .augmentation import Augmentation, Range, number, number_range, whole_number
from .draws import Draws
from .interpolation import interpolate


class SpecAugment(Augmentation):
    """Mask bands of frequency and spans of time with silence (Park et al., 2019, without time warp; the paper's 2 + 2).

    Args:
        n_masks: masks along frequency, and as many along time.
        max_width: mel bands or frames; widths are uniform from 1.
        probability: of acting on a clip.
    """

    name = "spec_augment"

    def __init__(self, n_masks: int = 2, max_width: int = 20, probability: float = 1.0) -> None:
        super().__init__(probability)
        self.n_masks = whole_number(self.name, "n_masks", n_masks, low=0)
        self.max_width = whole_number(self.name, "max_width", max_width, low=1)

    def forward(self, log_mel: torch.Tensor, draws: Draws) -> torch.Tensor:
        chosen = draws.chosen(self.name, self.probability)
        mels = self._kept("mels", log_mel.shape[1], draws, chosen).to(log_mel.device)
        frames = self._kept("frames", log_mel.shape[2], draws, chosen).to(log_mel.device)
        return log_mel * mels[:, :, None] * frames[:, None, :]

    def _kept(self, axis: str, length: int, draws: Draws, chosen: np.ndarray) -> torch.Tensor:
        """1 for the lines along an axis that stay, 0 for those under a mask: float32 (clips, length)."""
        size = (self.n_masks,)
        widths = np.minimum(length, 1 + draws.integers(f"{self.name}.{axis}.width", self.max_width, size))
        starts = draws.integers(f"{self.name}.{axis}.start", length - widths + 1, size)
        lines = np.arange(length)
        inside = (lines >= starts[..., None]) & (lines < (starts + widths)[..., None])
        return torch.from_numpy(1 - (inside.any(axis=1) & chosen[:, None]).astype(np.float32))


class PatchAugment(Augmentation):
    """Replace square patches by patches from elsewhere in the same spectrogram (paper, section 4.5: 5 of 10 x 10).

    A patch is always taken from another position of the spectrogram as it was, never from one that was replaced.

    Args:
        n_patches: patches to replace.
        size: mel bands and frames of a patch.
        probability: of acting on a clip.
    """

    name = "patch_augment"

    def __init__(self, n_patches: int = 5, size: int = 10, probability: float = 1.0) -> None:
        super().__init__(probability)
        self.n_patches = whole_number(self.name, "n_patches", n_patches, low=0)
        self.size = whole_number(self.name, "size", size, low=1)

    def forward(self, log_mel: torch.Tensor, draws: Draws) -> torch.Tensor:
        rows, columns = self.check_fits(*log_mel.shape[1:])
        patches = (self.n_patches,)
        targets = draws.integers(f"{self.name}.target", rows * columns, patches)
        sources = draws.integers(f"{self.name}.source", rows * columns - 1, patches)
        sources += sources >= targets  # any position but the target's
        patched = log_mel.clone()
        clips = self.rows(draws)
        for number_of_patch in range(self.n_patches):  # one after the other: a later patch lies on top
            to = self._cells(targets[clips, number_of_patch], columns, clips, log_mel.device)
            patched[to] = log_mel[self._cells(sources[clips, number_of_patch], columns, clips, log_mel.device)]
        return patched

    def check_fits(self, n_mels: int, n_frames: int) -> tuple[int, int]:
        """Rows and columns where a patch can begin; a `QuaclrsError` where a log-mel has no two places for one."""
        rows, columns = n_mels - self.size + 1, n_frames - self.size + 1
        if min(rows, columns) < 1 or rows * columns < 2:
            raise QuaclrsError(
                f"{self.name} size is {self.size}; a log-mel of {(n_mels, n_frames)} cells holds no two such patches"
            )
        return rows, columns

    def _cells(
        self, positions: np.ndarray, columns: int, clips: np.ndarray, device: torch.device
    ) -> tuple[torch.Tensor, ...]:
        """Indices of the patches' cells, each broadcast to (clips, size, size)."""
        within = np.arange(self.size)
        top, left = np.divmod(positions, columns)
        indices = (clips[:, None, None], (top[:, None] + within)[:, :, None], (left[:, None] + within)[:, None, :])
        return tuple(torch.from_numpy(index).to(device) for index in indices)


class RandomResizedCrop(Augmentation):
    """Cut a random part of the spectrogram and stretch it to the whole (BYOL-A: Niizumi et al., 2021, section III-C).

    The part may reach beyond the spectrogram, which lies in the middle of a larger canvas of silence. Interpolation is
    bilinear. The defaults are BYOL-A's.

    Args:
        frequency: height of the part, relative to the spectrogram's; cut to the canvas.
        time: width of the part, relative to the spectrogram's; cut to the canvas.
        canvas: height and width of the canvas, relative to the spectrogram's, at least 1 each.
        probability: of acting on a clip.
    """

    name = "random_resized_crop"

    def __init__(
        self,
        frequency: Range = (0.6, 1.5),
        time: Range = (0.6, 1.5),
        canvas: tuple[float, float] = (1.0, 1.5),
        probability: float = 1.0,
    ) -> None:
        super().__init__(probability)
        self.frequency = number_range(self.name, "frequency", frequency, above=0)
        self.time = number_range(self.name, "time", time, above=0)
        if not isinstance(canvas, (list, tuple)) or len(canvas) != 2:
            raise QuaclrsError(f"{self.name} canvas is {canvas!r}; it must be [height, width]")
        self.canvas = tuple(number(self.name, "canvas", side, low=1) for side in canvas)

    def forward(self, log_mel: torch.Tensor, draws: Draws) -> torch.Tensor:
        clips = self.rows(draws)
        if len(clips) == 0:
            return log_mel
        chosen = torch.from_numpy(clips).to(log_mel.device)
        cut = log_mel[chosen]
        for axis, canvas in (("frequency", self.canvas[0]), ("time", self.canvas[1])):
            cut = cut.transpose(1, 2)  # the axis goes last; after both turns every axis is in its place again
            length = cut.shape[2]
            side = np.minimum(self.draw(axis, draws), canvas)[clips]
            start = draws.uniform(f"{self.name}.{axis}.start")[clips] * (canvas - side) - (canvas - 1) / 2
            centres = (np.arange(length) + 0.5) / length
            cut = interpolate(cut, (start[:, None] + side[:, None] * centres) * length - 0.5)
        return log_mel.index_copy(0, chosen, cut)
