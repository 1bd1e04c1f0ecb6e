"""Log-mel spectrograms in PyTorch, equal to librosa's (paper, Table 1).

This file travels with every pushed model, so it imports nothing from the rest of the package.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import embedding_bag
from transformers.audio_utils import mel_filter_bank, window_function

from .configuration_log_mel import LogMelConfig
from .matrix_dft import frame, power_spectrum

#: Frames that a CPU thread transforms at a time: what it makes of them stays close to its core.
_FRAMES_PER_THREAD = 190

#: Floats that a thread keeps for its next clips: 8 MB. A clip of 4 s takes half.
_MOST_KEPT = 1 << 21

_of_thread = threading.local()

#: What is added before a square root, whose slope at zero is infinite.
_TINY = 1e-20


class LogMelSpectrogram(nn.Module):
    """Waveforms to log-mel spectrograms in [0, 1]: 1 is the clip's loudest cell, 0 is `top_db` below it or silence.

    Equal to `librosa.power_to_db(librosa.feature.melspectrogram(..., pad_mode="constant"), ref=np.max)` rescaled, but
    for a digitally silent clip, which is 0 everywhere. The transform always runs in float32, also inside autocast
    and in a model cast to half precision: squared magnitudes overflow float16.

    Nothing is computed above `f_max` past the FFT. A CPU works in chunks of frames that stay in its cache;
    accelerators, exported graphs and whatever needs a gradient take the batch in one pass. Graphs for ONNX get the
    transform as matrix products.

    Shapes:
        input (batch, samples) or (samples,), any real dtype; output (batch, n_mels, frames) or (n_mels, frames),
        float32, with frames = 1 + samples // hop_length.

    Raises:
        ValueError: the input has no samples or more than two dimensions.
    """

    window: torch.Tensor
    filterbank: torch.Tensor

    def __init__(self, config: LogMelConfig | None = None) -> None:
        super().__init__()
        self.config = config or LogMelConfig()
        # Constants are derived from the config, never stored: a checkpoint cannot disagree with its own config.
        window = torch.empty(self.config.n_fft, dtype=torch.float32)
        filterbank = torch.empty(self.config.n_bins, self.config.n_mels, dtype=torch.float32)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filterbank", filterbank, persistent=False)
        self._weights: Weights | None = None
        if not window.is_meta:
            self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Fill the window and the filterbank; `from_pretrained` calls it again after its start on the meta device."""
        c = self.config
        length = c.win_length or c.n_fft
        first = (c.n_fft - length) // 2
        self.window.zero_()
        self.window[first : first + length] = torch.from_numpy(window_function(length, "hann", periodic=True))
        bank = mel_filter_bank(
            num_frequency_bins=c.n_fft // 2 + 1,
            num_mel_filters=c.n_mels,
            min_frequency=c.f_min,
            max_frequency=c.f_max,
            sampling_rate=c.sampling_rate,
            norm=None if c.mel_norm == "none" else c.mel_norm,
            mel_scale=c.mel_scale,
        )
        self.filterbank.copy_(torch.from_numpy(bank[: c.n_bins]))
        self._weights = None

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> LogMelSpectrogram:
        # `model.half()` and `model.to(torch.bfloat16)` may move the constants, never round them.
        super()._apply(fn, recurse)
        if self.window.dtype != torch.float32 and not self.window.is_meta:
            self.window = self.window.to(torch.float32)
            self.filterbank = self.filterbank.to(torch.float32)
            self.reset_parameters()
        return self

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        if waveform.ndim not in (1, 2) or waveform.numel() == 0:
            raise ValueError(f"waveforms are (batch, samples) with at least one sample, not {tuple(waveform.shape)}")
        with torch.autocast(device_type=waveform.device.type, enabled=False):
            batch = torch.atleast_2d(waveform.to(torch.float32))
            if self._works_in_chunks(batch):
                log_mel = self._mel_power_in_chunks(batch, finish=self._to_unit_decibels_)
            else:
                log_mel = self.to_unit_decibels(self.mel_power(batch))
        return log_mel[0] if waveform.ndim == 1 else log_mel

    def mel_power(self, waveform: torch.Tensor, filterbank: torch.Tensor | None = None) -> torch.Tensor:
        """Mel power of float32 waveforms (batch, samples) as (batch, n_mels, frames); call it outside autocast.

        With `power=1` it is the square of what the bands make of magnitudes, so that whatever works on mel power does.

        Args:
            waveform: on the device of this module.
            filterbank: another than the module's own, (bins, n_mels) for all or (batch, bins, n_mels), one a clip.
        """
        c = self.config
        if self._works_in_chunks(waveform):
            return self._mel_power_in_chunks(waveform, filterbank)
        filterbank = self.filterbank if filterbank is None else filterbank
        padded = nn.functional.pad(waveform, (c.n_fft // 2, c.n_fft // 2))
        if torch.onnx.is_in_onnx_export():
            frames = frame(padded, c.n_fft, c.hop_length) * self.window
            power, bins = power_spectrum(frames, filterbank.shape[-2])
            filterbank = nn.functional.pad(filterbank, (0, 0, 0, 1))[..., bins, :]
        else:
            frames = padded.unfold(-1, c.n_fft, c.hop_length)  # (batch, frames, n_fft), a view
            spectrum = torch.fft.rfft(frames * self.window)[..., : filterbank.shape[-2]]
            power = torch.view_as_real(spectrum).square().sum(-1)
        mel = power @ filterbank if c.power == 2 else ((power + _TINY).sqrt() @ filterbank).square()
        return mel.transpose(1, 2)

    @staticmethod
    def _works_in_chunks(waveform: torch.Tensor) -> bool:
        watched = (
            (torch.is_grad_enabled() and waveform.requires_grad)
            or torch.compiler.is_compiling()
            or torch.jit.is_tracing()
            or torch._C._are_functorch_transforms_active()  # vmap, jvp and the like
        )
        return waveform.device.type == "cpu" and type(waveform) is torch.Tensor and not watched

    @torch.no_grad()
    def _mel_power_in_chunks(
        self,
        waveform: torch.Tensor,
        filterbank: torch.Tensor | None = None,
        finish: Callable[[torch.Tensor], object] = lambda mel: None,
    ) -> torch.Tensor:
        """As `mel_power`; `finish` changes the mel power of a clip in place while the cache has it."""
        c = self.config
        samples, n_bins = waveform.shape[-1], (self.filterbank if filterbank is None else filterbank).shape[-2]
        count = 1 + samples // c.hop_length
        chunks = -(-count // (_FRAMES_PER_THREAD * torch.get_num_threads()))
        most = -(-count // chunks)
        padded, windowed, power = _working_memory(samples + c.n_fft, most * c.n_fft, most * n_bins)
        middle = slice(c.n_fft // 2, c.n_fft // 2 + samples)
        padded[: middle.start] = padded[middle.stop :] = 0
        frames = padded.unfold(-1, c.n_fft, c.hop_length)
        mels = waveform.new_empty(len(waveform), c.n_mels, count)
        for clip, mel, weights in zip(waveform, mels, self._weights_of_clips(filterbank), strict=False):
            padded[middle] = clip
            for chunk, mel_of_chunk in zip(frames.split(most), mel.split(most, dim=1), strict=True):
                of_chunk = power[: n_bins * len(chunk)].view(n_bins, -1)
                self._power_of(chunk, windowed.view(most, -1)[: len(chunk)], of_chunk)
                mel_of_chunk.copy_(_weigh(of_chunk, weights))
            finish(mel if c.power == 2 else mel.square_())
        return mels

    def _power_of(self, frames: torch.Tensor, windowed: torch.Tensor, power: torch.Tensor) -> None:
        """Power (bins, frames), turned so that a band is a sum of rows, of frames (frames, n_fft)."""
        torch.mul(frames, self.window, out=windowed)
        spectrum = torch.fft.rfft(windowed)[:, : len(power)]
        squares = torch.view_as_real(spectrum).square_()  # its two halves are added without vector instructions
        torch.add(squares[..., 0].T, squares[..., 1].T, out=power)
        if self.config.power == 1:
            power.sqrt_()

    def _weights_of_clips(self, filterbank: torch.Tensor | None) -> Iterator[Weights]:
        if filterbank is not None:
            return map(_weights_of, filterbank) if filterbank.ndim == 3 else repeat(_weights_of(filterbank))
        if self._weights is None:
            self._weights = _weights_of(self.filterbank)
        return repeat(self._weights)

    def to_unit_decibels(self, mel: torch.Tensor) -> torch.Tensor:
        """Mel power (..., n_mels, frames) in dB below each clip's loudest cell, the top `top_db` scaled to [0, 1]."""
        if self._works_in_chunks(mel):
            return self._to_unit_decibels_(mel.clone())
        c = self.config
        bels = mel.clamp(min=c.amin).log10()
        peak = bels.amax(dim=(-2, -1), keepdim=True)
        return ((bels - peak) * (10 / c.top_db) + 1.0).clamp(min=0.0) * self._is_loud(peak)

    def _to_unit_decibels_(self, mel: torch.Tensor) -> torch.Tensor:
        c = self.config
        peak = mel.clamp_(min=c.amin).log10_().amax(dim=(-2, -1), keepdim=True)
        return mel.sub_(peak).mul_(10 / c.top_db).add_(1.0).clamp_(min=0.0).mul_(self._is_loud(peak))

    def _is_loud(self, peak: torch.Tensor) -> torch.Tensor:
        return peak > math.log10(self.config.amin) + 1e-6  # a millionth of a bel: logarithms round


class Weights(NamedTuple):
    """The weights of a filterbank that are not zero: of the paper's one in 65.

    Attributes:
        bins: the bin of each, mel after mel.
        starts: where those of each mel begin; of a mel without any the next one's do.
        values: themselves.
    """

    bins: torch.Tensor
    starts: torch.Tensor
    values: torch.Tensor


def _weights_of(filterbank: torch.Tensor) -> Weights:
    by_mel = filterbank.T
    mels, bins = by_mel.nonzero(as_tuple=True)
    counts = torch.bincount(mels, minlength=len(by_mel))
    return Weights(bins, counts.cumsum(0) - counts, by_mel[mels, bins])


def _weigh(power: torch.Tensor, weights: Weights) -> torch.Tensor:
    """Mel power (n_mels, frames) of power (bins, frames): sums of its rows, a "bag" of them for each mel."""
    return embedding_bag(weights.bins, power, weights.starts, mode="sum", per_sample_weights=weights.values)


def _working_memory(*sizes: int) -> tuple[torch.Tensor, ...]:
    """Flat float32 tensors of these sizes, in memory of this thread that its next call takes again.

    Fresh memory would cost as much as the arithmetic in it: the system clears it page by page.
    """
    memory = getattr(_of_thread, "memory", None)
    if memory is None or len(memory) < sum(sizes):
        with torch.inference_mode(False):  # or it could be used inside inference mode alone
            memory = torch.empty(sum(sizes), dtype=torch.float32, device="cpu")
        if len(memory) <= _MOST_KEPT:
            _of_thread.memory = memory
    return memory[: sum(sizes)].split(sizes)
