"""Sounds made for tests and their log-mels by librosa."""

from __future__ import annotations

import librosa
import numpy as np
import scipy.signal
import torch

from quaclrs.models import LogMelConfig, LogMelSpectrogram, find_backbone

SPEECH_FRONT_END = LogMelConfig(sampling_rate=16_000, n_fft=1024, hop_length=160, n_mels=64, f_min=50, f_max=7_500)

YAMNET_FRONT_END = LogMelConfig(**find_backbone("yamnet").log_mel)


def librosa_decibels(waveform: np.ndarray, config: LogMelConfig) -> np.ndarray:
    mel = librosa.feature.melspectrogram(
        y=waveform.astype(np.float32),
        sr=config.sampling_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.f_min,
        fmax=config.f_max,
        pad_mode="constant",
        win_length=config.win_length,
        power=config.power,
        htk=config.mel_scale == "htk",
        norm=None if config.mel_norm == "none" else config.mel_norm,
    )
    return librosa.power_to_db(mel ** (2 / config.power), ref=np.max)


def assert_equals_librosa(waveform: np.ndarray, config: LogMelConfig, name: str = "") -> None:
    front_end = LogMelSpectrogram(config)
    decibels = (front_end(torch.from_numpy(waveform.astype(np.float32))).numpy() - 1) * config.top_db
    expected = librosa_decibels(waveform, config)
    assert decibels.shape == expected.shape, name
    difference = np.abs(decibels - expected)
    assert np.mean(difference < 1e-3) >= 0.999, f"{name}: {np.mean(difference < 1e-3):.4%} within 1e-3 dB"
    assert difference.max() < 5e-3, f"{name}: {difference.max()} dB"


def made_sounds(rate: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    seconds = np.arange(4 * rate) / rate
    noise = generator.standard_normal(len(seconds)).astype(np.float32)
    impulse = np.zeros(len(seconds), dtype=np.float32)
    impulse[len(seconds) // 3] = 1
    return {
        "white noise": 0.3 * noise,
        "chirp": 0.5 * scipy.signal.chirp(seconds, 30, seconds[-1], rate / 2.2).astype(np.float32),
        "impulse": impulse,
        "very quiet noise": 1e-4 * noise,
        "noise just above nothing": 1e-6 * noise,
        "noise beyond full scale": 50 * noise,
        "noise with an offset": 0.1 * noise + 0.4,
        "half a second": 0.3 * noise[: rate // 2],
    }


def librosa_log_mel(waveform: np.ndarray) -> np.ndarray:
    """Four seconds at 48 kHz, from a waveform's centre or padded at its end, in [0, 1] (paper, Table 1)."""
    start = max(0, len(waveform) - 192_000) // 2
    clip = np.pad(waveform[start : start + 192_000], (0, max(0, 192_000 - len(waveform))))
    return 1 + librosa_decibels(clip, LogMelConfig()) / 80
