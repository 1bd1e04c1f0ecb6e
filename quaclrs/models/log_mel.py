"""Log-mel spectrograms in PyTorch, equal to librosa's (paper, Table 1).

This file travels with every pushed model, so it imports nothing from the rest of the package.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import nn
from transformers.audio_utils import mel_filter_bank, window_function

from .configuration_log_mel import LogMelConfig
from .matrix_dft import frame, power_spectrum

#: Frames that a CPU thread transforms at a time: their samples and spectrum (2 MB) stay close to a core.
_FRAMES_PER_THREAD = 126

#: Frames whose power is kept for one matrix product with the filterbank: all of a clip, and a bound for long sounds.
_FRAMES_PER_PRODUCT = 512

#: What is added before a square root, whose slope at zero is infinite.
_TINY = 1e-20

#: Mel bands that share a matrix product on a CPU: neighbours overlap, so few of its factors are zero.
_MELS_PER_PRODUCT = 32


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
        self._bands: list[Band] | None = None
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
        self._bands = None

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
                log_mel = torch.stack([self.to_unit_decibels(mel) for mel in self._mel_power_of_clips(batch)])
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
            return torch.stack([mel.clone() for mel in self._mel_power_of_clips(waveform, filterbank)])
        filterbank = self.filterbank if filterbank is None else filterbank
        padded = nn.functional.pad(waveform, (c.n_fft // 2, c.n_fft // 2))
        if torch.onnx.is_in_onnx_export():
            power = power_spectrum(frame(padded, c.n_fft, c.hop_length) * self.window, filterbank.shape[-2])
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
        return waveform.device.type == "cpu" and not watched

    @torch.no_grad()
    def _mel_power_of_clips(
        self, waveform: torch.Tensor, filterbank: torch.Tensor | None = None
    ) -> Iterator[torch.Tensor]:
        """Mel power (n_mels, frames) of one clip after the other, in memory that the next one overwrites."""
        c = self.config
        padded = waveform.new_zeros(waveform.shape[-1] + c.n_fft)
        frames = padded.unfold(-1, c.n_fft, c.hop_length)
        mel = waveform.new_empty(c.n_mels, len(frames))
        windowed = waveform.new_empty(min(_FRAMES_PER_THREAD * torch.get_num_threads(), len(frames)), c.n_fft)
        n_bins = (self.filterbank if filterbank is None else filterbank).shape[-2]
        power = waveform.new_empty(min(_FRAMES_PER_PRODUCT, len(frames)), n_bins)
        bands = self._own_bands() if filterbank is None else []
        for number, clip in enumerate(waveform):
            if filterbank is not None:
                bands = _bands_of(filterbank if filterbank.ndim == 2 else filterbank[number])
            padded[c.n_fft // 2 : c.n_fft // 2 + len(clip)] = clip
            for first in range(0, len(frames), len(power)):
                part = frames[first : first + len(power)]
                for chunk, of_chunk in zip(part.split(len(windowed)), power.split(len(windowed)), strict=False):
                    self._power_of(chunk, windowed[: len(chunk)], of_chunk[: len(chunk)])
                for mels, bins, weights in bands:
                    torch.mm(weights, power[: len(part), bins].T, out=mel[mels, first : first + len(part)])
            yield mel if c.power == 2 else mel.square_()

    def _power_of(self, frames: torch.Tensor, windowed: torch.Tensor, power: torch.Tensor) -> None:
        torch.mul(frames, self.window, out=windowed)
        spectrum = torch.fft.rfft(windowed)[:, : power.shape[1]]
        torch.mul(spectrum.real, spectrum.real, out=power).addcmul_(spectrum.imag, spectrum.imag)
        if self.config.power == 1:
            power.sqrt_()

    def _own_bands(self) -> list[Band]:
        if self._bands is None:
            self._bands = _bands_of(self.filterbank)
        return self._bands

    def to_unit_decibels(self, mel: torch.Tensor) -> torch.Tensor:
        """Mel power (..., n_mels, frames) in dB below each clip's loudest cell, the top `top_db` scaled to [0, 1]."""
        c = self.config
        bels = mel.clamp(min=c.amin).log10()
        peak = bels.amax(dim=(-2, -1), keepdim=True)
        loud = peak > math.log10(c.amin) + 1e-6  # a millionth of a bel: logarithms round
        if self._works_in_chunks(bels):  # in place: fresh memory for each step would cost more than the arithmetic
            return bels.sub_(peak).mul_(10 / c.top_db).add_(1.0).clamp_(min=0.0).mul_(loud)
        return ((bels - peak) * (10 / c.top_db) + 1.0).clamp(min=0.0) * loud


#: Rows of the mel spectrogram, the FFT bins that reach them, and their weights (mels, bins).
Band = tuple[slice, slice, torch.Tensor]


def _bands_of(filterbank: torch.Tensor) -> list[Band]:
    """A filterbank (bins, n_mels) as a band of weights for every few mels, without the bins that reach none of them."""
    bands = []
    for first in range(0, filterbank.shape[1], _MELS_PER_PRODUCT):
        weights = filterbank[:, first : first + _MELS_PER_PRODUCT].T
        bins = weights.any(dim=0).nonzero()
        low, high = (int(bins[0]), int(bins[-1]) + 1) if len(bins) else (0, 1)
        mels = slice(first, first + len(weights))
        bands.append((mels, slice(low, high), weights[:, low:high].contiguous()))
    return bands
