"""The log-mel front end against librosa, on made and on real sound, and what its configuration refuses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.signal
import soundfile
import soxr
import torch
import warm_python
from librosa_log_mel import SPEECH_FRONT_END, YAMNET_FRONT_END, assert_equals_librosa, librosa_decibels, made_sounds

from quaclrs.models import LogMelConfig, LogMelSpectrogram, QuaclrsFeatureExtractor


@pytest.mark.parametrize("name", made_sounds(100))
@pytest.mark.parametrize(
    "config", [LogMelConfig(), SPEECH_FRONT_END, YAMNET_FRONT_END], ids=["paper", "16 kHz", "yamnet"]
)
def test_made_sounds_have_librosas_log_mel(name: str, config: LogMelConfig) -> None:
    assert_equals_librosa(made_sounds(config.sampling_rate)[name], config, name)


def test_real_clips_through_the_feature_extractor_have_librosas_log_mel(shared_data: Path) -> None:
    config = LogMelConfig()
    feature_extractor = QuaclrsFeatureExtractor()
    urban = sorted(p for p in shared_data.glob("UrbanSound8K/audio/fold*/*") if p.suffix in (".flac", ".ogg"))
    sirens = [p for kind in sorted(shared_data.glob("sireNNet/*")) for p in sorted(kind.glob("*.ogg"))]
    files = [*urban[::90], *sirens[::45], *sorted(shared_data.glob("formats/*.wav"))]
    assert len(files) >= 40
    for file in files:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        given = feature_extractor([samples.T], sampling_rate=rate)["input_values"][0]
        expected = soxr.resample(samples.mean(axis=1), rate, 48_000)
        start = max(0, len(expected) - 192_000) // 2  # some police clips last 9 s
        expected = np.pad(expected[start : start + 192_000], (0, max(0, 192_000 - len(expected))))
        np.testing.assert_allclose(given, expected, atol=1e-6, err_msg=file.name)
        assert_equals_librosa(given, config, file.name)


def test_a_batch_gives_what_its_clips_give_alone() -> None:
    clips = torch.from_numpy(np.stack(list(made_sounds(48_000).values())[:7]))
    front_end = LogMelSpectrogram()

    batch = front_end(clips)

    assert batch.shape == (7, 128, 376)
    torch.testing.assert_close(batch, torch.stack([front_end(clip) for clip in clips]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("samples", [1, 2, 511, 512, 2047, 2048, 192_000, 200_000])
def test_any_length_gives_one_frame_more_than_its_hops_with_values_from_0_to_exactly_1(samples: int) -> None:
    waveform = torch.from_numpy(np.random.default_rng(samples).uniform(0.1, 1, samples).astype(np.float32))

    log_mel = LogMelSpectrogram()(waveform)

    assert log_mel.shape == (128, 1 + samples // 512)
    assert log_mel.dtype == torch.float32
    assert log_mel.min() >= 0
    assert log_mel.max() == 1


@pytest.mark.parametrize("shape", [(1,), (192_000,), (3, 5_000)])
def test_digital_silence_is_0_everywhere(shape: tuple[int, ...]) -> None:
    assert torch.count_nonzero(LogMelSpectrogram()(torch.zeros(shape))) == 0


def test_a_silent_clip_in_a_batch_leaves_the_others_alone() -> None:
    noise = torch.from_numpy(made_sounds(48_000)["white noise"])

    silent, loud = LogMelSpectrogram()(torch.stack([torch.zeros_like(noise), noise]))

    assert torch.count_nonzero(silent) == 0
    assert loud.max() == 1


def test_the_gradient_reaches_the_waveform_and_equals_the_difference_quotient() -> None:
    generator = torch.Generator().manual_seed(0)
    waveform = 0.3 * torch.randn(2, 4_096, generator=generator)
    direction = 0.3 * torch.randn(2, 4_096, generator=generator)
    front_end = LogMelSpectrogram()
    waveform.requires_grad_()

    front_end(waveform).mean().backward()

    assert torch.isfinite(waveform.grad).all()
    slope = (waveform.grad * direction).sum().item()
    with torch.no_grad():
        step = 1e-3
        after, before = front_end(waveform + step * direction), front_end(waveform - step * direction)
        quotient = ((after.double().mean() - before.double().mean()) / (2 * step)).item()
    assert abs(slope) > 1e-4
    assert slope == pytest.approx(quotient, rel=0.02)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int16, torch.int32, torch.uint8])
def test_other_real_types_give_the_log_mel_of_their_values_as_float32(dtype: torch.dtype) -> None:
    values = torch.arange(6_000) * 37 % 101
    expected = librosa_decibels(values.numpy().astype(np.float32), LogMelConfig())

    log_mel = LogMelSpectrogram()(values.to(dtype))

    assert log_mel.dtype == torch.float32
    np.testing.assert_allclose((log_mel.numpy() - 1) * 80, expected, atol=5e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_change_the_log_mel(dtype: torch.dtype) -> None:
    noise = torch.from_numpy(made_sounds(48_000)["white noise"])
    front_end = LogMelSpectrogram()
    expected = front_end(noise)

    with torch.autocast("cpu", dtype):
        log_mel = front_end(noise)

    assert log_mel.dtype == torch.float32
    assert torch.equal(log_mel, expected)


@pytest.mark.parametrize("cast", ["half", "bfloat16", "double"])
def test_casting_the_module_leaves_its_constants_and_its_log_mel_alone(cast: str) -> None:
    noise = torch.from_numpy(made_sounds(48_000)["white noise"])
    expected = LogMelSpectrogram()(noise)

    for front_end in (getattr(LogMelSpectrogram(), cast)(), getattr(torch.nn.Sequential(LogMelSpectrogram()), cast)()):
        log_mel = front_end(noise)
        assert log_mel.dtype == torch.float32
        assert torch.equal(log_mel, expected)
        assert all(buffer.dtype == torch.float32 for buffer in front_end.buffers())


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 1_000), (1, 2, 3_000), ()])
def test_an_empty_or_misshapen_waveform_is_refused_with_its_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError) as error:
        LogMelSpectrogram()(torch.zeros(shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize(
    "config",
    [
        LogMelConfig(),
        SPEECH_FRONT_END,
        LogMelConfig(f_max=24_000.0),
        LogMelConfig(sampling_rate=22_050, f_max=11_025.0, n_fft=1022),
        LogMelConfig(sampling_rate=44_100, n_mels=40, f_max=5_000.0, f_min=0.0),
    ],
)
def test_the_kept_bins_hold_all_of_librosas_filterbank(config: LogMelConfig) -> None:
    bank = librosa.filters.mel(
        sr=config.sampling_rate, n_fft=config.n_fft, n_mels=config.n_mels, fmin=config.f_min, fmax=config.f_max
    )

    assert np.count_nonzero(bank[:, config.n_bins :]) == 0
    np.testing.assert_allclose(
        LogMelSpectrogram(config).filterbank.numpy().T, bank[:, : config.n_bins], atol=1e-6 * bank.max()
    )


def test_the_papers_front_end_needs_a_third_of_the_bins() -> None:
    assert LogMelConfig().n_bins == 342  # 8000 Hz * 2048 / 48000 = 341.3, and bin 0


def test_the_window_is_the_periodic_hann_window() -> None:
    expected = scipy.signal.get_window("hann", 2048, fftbins=True)

    np.testing.assert_allclose(LogMelSpectrogram().window.numpy(), expected, atol=1e-7)


@pytest.mark.parametrize(
    "options", [{"win_length": 1000}, {"power": 1}, {"mel_scale": "htk"}, {"mel_norm": "none"}], ids=str
)
def test_each_option_of_librosa_does_what_it_does_there(options: dict) -> None:
    sound = made_sounds(48_000)["chirp"]
    assert_equals_librosa(sound, LogMelConfig(**options))
    assert np.abs(librosa_decibels(sound, LogMelConfig(**options)) - librosa_decibels(sound, LogMelConfig())).max() > 1


@pytest.mark.parametrize("config", [LogMelConfig(), SPEECH_FRONT_END, YAMNET_FRONT_END, LogMelConfig(n_mels=20)])
def test_one_pass_as_on_an_accelerator_equals_chunks_as_on_a_cpu(config: LogMelConfig) -> None:
    clips = torch.from_numpy(np.stack(list(made_sounds(config.sampling_rate).values())[:4]))
    front_end = LogMelSpectrogram(config)

    one_pass = front_end(clips.clone().requires_grad_())  # gradients need it

    assert one_pass.requires_grad
    torch.testing.assert_close(one_pass.detach(), front_end(clips), atol=2e-5, rtol=0)


def test_vmap_and_forward_derivatives_go_through_the_front_end() -> None:
    clips = torch.from_numpy(np.stack(list(made_sounds(48_000).values())[:2]))[:, :9_000]
    front_end = LogMelSpectrogram()

    torch.testing.assert_close(torch.func.vmap(front_end)(clips), front_end(clips), atol=2e-5, rtol=0)
    value, slope = torch.func.jvp(front_end, (clips,), (clips,))
    torch.testing.assert_close(value, front_end(clips), atol=2e-5, rtol=0)
    torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-3, rtol=0)  # a gain changes nothing


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert_equals_librosa(made_sounds(48_000)["white noise"], LogMelConfig(), f"{threads} threads")
    finally:
        torch.set_num_threads(before)


def test_a_clip_has_librosas_log_mel_whatever_was_heard_before_it() -> None:
    sounds = made_sounds(48_000)
    with torch.inference_mode():
        LogMelSpectrogram()(torch.full((1_300_000,), 0.9))  # longer than what a thread keeps memory for
        LogMelSpectrogram()(torch.full((250_000,), 0.9))

    assert_equals_librosa(sounds["half a second"], LogMelConfig())
    assert_equals_librosa(sounds["half a second"], LogMelConfig(n_fft=4096, hop_length=700, f_max=20_000))


def test_threads_that_share_a_front_end_do_not_disturb_each_other() -> None:
    front_end = LogMelSpectrogram()
    clips = [torch.from_numpy(sound) for sound in made_sounds(48_000).values()]
    alone = [front_end(clip) for clip in clips]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(front_end, clips * 4))

    assert all(torch.equal(made, expected) for made, expected in zip(together, alone * 4, strict=True))


def test_a_filterbank_with_bands_that_hear_nothing_is_that_of_librosa() -> None:
    config = LogMelConfig(n_fft=1024, n_mels=256)
    sound = made_sounds(48_000)["white noise"]

    assert (LogMelSpectrogram(config)(torch.from_numpy(sound)) == 0).all(dim=1).any()
    assert_equals_librosa(sound, config)


def test_a_sound_of_a_minute_takes_the_memory_of_its_result_not_of_its_spectrum() -> None:
    # Its spectrum would be 60 s x 93.75 frames x 1025 bins x 8 bytes = 46 MB, its frames as much; the log-mel is 3 MB.
    code = (
        "import resource, torch\n"
        "from quaclrs.models import LogMelSpectrogram\n"
        "front_end, minute = LogMelSpectrogram(), torch.randn(60 * 48_000)\n"
        "front_end(minute[:48_000])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "front_end(minute)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    grown = warm_python.run(["-c", code]).stdout
    assert int(grown) < 40 * 1024


def test_a_filterbank_for_each_clip_is_applied_to_it_alone() -> None:
    front_end = LogMelSpectrogram()
    clips = torch.from_numpy(np.stack(list(made_sounds(48_000).values())[:2]))
    banks = torch.stack([front_end.filterbank, front_end.filterbank.flip(1)])

    own = front_end.mel_power(clips)
    made = front_end.mel_power(clips, banks)

    torch.testing.assert_close(made[0], own[0])
    torch.testing.assert_close(made[1], own[1].flip(0))
    torch.testing.assert_close(front_end.mel_power(clips.clone().requires_grad_(), banks).detach(), made)


@pytest.mark.parametrize("samples", [1, 5, 47_999])
def test_a_short_clip_is_repeated_to_its_full_length_where_asked(samples: int) -> None:
    clip = np.arange(1, samples + 1, dtype=np.float32)

    filled = LogMelConfig(duration=1.0, pad_mode="repeat").fit(clip)

    assert filled.tolist() == [float(i % samples + 1) for i in range(48_000)]
    assert QuaclrsFeatureExtractor({"duration": 1.0, "pad_mode": "repeat"})(clip)["input_values"][0].tolist() == (
        filled.tolist()
    )
