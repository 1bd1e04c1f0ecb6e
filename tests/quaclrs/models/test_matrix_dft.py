"""The front end in exported graphs: frames and transform against torch and numpy, ONNX Runtime against librosa."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from librosa_log_mel import SPEECH_FRONT_END, librosa_decibels, made_sounds

from quaclrs.models import LogMelConfig, LogMelSpectrogram
from quaclrs.models.matrix_dft import frame, power_spectrum


def test_an_exported_graph_gives_the_log_mel_for_batches_of_any_size() -> None:
    front_end = LogMelSpectrogram()
    clips = torch.from_numpy(np.stack(list(made_sounds(48_000).values())[:3]))

    exported = torch.export.export(front_end, (clips,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()

    for size in (1, 3):
        torch.testing.assert_close(exported(clips[:size]), front_end(clips[:size]), atol=2e-5, rtol=0)


@pytest.mark.parametrize("config", [LogMelConfig(), SPEECH_FRONT_END], ids=["paper", "16 kHz"])
def test_onnx_runtime_gives_librosas_log_mel_without_its_slow_transform(tmp_path: Path, config: LogMelConfig) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    sounds = made_sounds(config.sampling_rate)
    clips = np.stack([sounds[name] for name in ("white noise", "chirp", "noise with an offset")])
    file = str(tmp_path / "front_end.onnx")

    torch.onnx.export(
        LogMelSpectrogram(config).eval(),
        (torch.from_numpy(clips),),
        file,
        dynamo=True,
        input_names=["input_values"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )

    assert not {"DFT", "STFT"} & {node.op_type for node in onnx.load(file).graph.node}
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for size in (1, 3):
        (made,) = session.run(None, {"input_values": clips[:size]})
        for row, clip in zip(made, clips, strict=False):
            difference = np.abs((row - 1) * config.top_db - librosa_decibels(clip, config))
            assert np.mean(difference < 1e-3) >= 0.999
            assert difference.max() < 5e-3


def test_a_transform_of_a_length_without_square_factors_is_that_of_numpy() -> None:
    for n_fft, n_bins in ((1022, 300), (2048, 342), (600, 301), (2048, 1025), (250, 100), (34, 18), (2, 2)):
        frames = torch.randn(2, 3, n_fft, generator=torch.Generator().manual_seed(n_fft))
        expected = np.abs(np.fft.rfft(frames.double().numpy()))[..., :n_bins] ** 2
        power, bins = (made.numpy() for made in power_spectrum(frames, n_bins))
        assert sorted(bins[bins < n_bins]) == list(range(n_bins))
        np.testing.assert_allclose(power[..., bins < n_bins], expected[..., bins[bins < n_bins]], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("n_fft", "hop"), [(2048, 512), (1000, 250), (1022, 160)])
def test_frames_of_whole_hops_are_those_of_a_sliding_window(n_fft: int, hop: int) -> None:
    padded = torch.randn(2, 5 * n_fft + 13)

    assert torch.equal(frame(padded, n_fft, hop), padded.unfold(-1, n_fft, hop))
