"""Log-mel spectrograms in PyTorch, equal to librosa's (paper, Table 1).

This file travels with every pushed model, so it imports nothing from the rest of the package.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers.audio_utils import mel_filter_bank, window_function

from .configuration_log_mel import LogMelConfig

#: Frames per pass on a CPU: windowed frames and spectrum of 32 frames (0.5 MB) stay in a core's own cache.
_FRAMES_PER_CHUNK = 32


class LogMelSpectrogram(nn.Module):
    """Waveforms to log-mel spectrograms in [0, 1]: 1 is the clip's loudest cell, 0 is `top_db` below it or silence.

    Equal to `librosa.power_to_db(librosa.feature.melspectrogram(..., pad_mode="constant"), ref=np.max)` rescaled, but
    for a digitally silent clip, which is 0 everywhere. The transform always runs in float32, also inside autocast
    and in a model cast to half precision: squared magnitudes overflow float16.

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
        if not window.is_meta:
            self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Fill the window and the filterbank; `from_pretrained` calls it again after its start on the meta device."""
        c = self.config
        self.window.copy_(torch.from_numpy(window_function(c.n_fft, "hann", periodic=True)))
        bank = mel_filter_bank(
            num_frequency_bins=c.n_fft // 2 + 1,
            num_mel_filters=c.n_mels,
            min_frequency=c.f_min,
            max_frequency=c.f_max,
            sampling_rate=c.sampling_rate,
            norm="slaney",
            mel_scale="slaney",
        )
        self.filterbank.copy_(torch.from_numpy(bank[: c.n_bins]))

    def _apply(self, fn, recurse: bool = True) -> LogMelSpectrogram:
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
            mel = self.mel_power(torch.atleast_2d(waveform.to(torch.float32)))
            log_mel = self.to_unit_decibels(mel)
        return log_mel[0] if waveform.ndim == 1 else log_mel

    def mel_power(self, waveform: torch.Tensor) -> torch.Tensor:
        """Mel power of float32 waveforms (batch, samples) as (batch, n_mels, frames)."""
        c = self.config
        padded = nn.functional.pad(waveform, (c.n_fft // 2, c.n_fft // 2))
        frames = padded.unfold(-1, c.n_fft, c.hop_length)  # (batch, frames, n_fft), a view
        if waveform.device.type != "cpu" or torch.compiler.is_compiling():
            return self._mel_power_of(frames).transpose(1, 2)
        chunks = [torch.cat([self._mel_power_of(f) for f in clip.split(_FRAMES_PER_CHUNK)]) for clip in frames]
        return torch.stack(chunks).transpose(1, 2)

    def _mel_power_of(self, frames: torch.Tensor) -> torch.Tensor:
        spectrum = torch.view_as_real(torch.fft.rfft(frames * self.window)[..., : self.config.n_bins])
        return spectrum.square().sum(-1) @ self.filterbank

    def to_unit_decibels(self, mel: torch.Tensor) -> torch.Tensor:
        """Mel power (batch, n_mels, frames) in dB below each clip's loudest cell, the top `top_db` scaled to [0, 1]."""
        c = self.config
        decibels = 10.0 * torch.log10(mel.clamp(min=c.amin))
        peak = decibels.amax(dim=(-2, -1), keepdim=True)
        scaled = 1.0 + (decibels - peak).clamp(min=-c.top_db) / c.top_db
        silent = mel.amax(dim=(-2, -1), keepdim=True) <= c.amin
        return scaled.masked_fill(silent, 0.0)
