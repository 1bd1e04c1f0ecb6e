"""Linear probing on embeddings that are computed once: the same figures as running the encoder on every clip."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

from quaclrs import load_urbansound13
from quaclrs.errors import QuaclrsWarning
from quaclrs.evaluation.shortcuts import RandomLength
from quaclrs.labels import CLASS_NAMES
from quaclrs.models import QuaclrsFeatureExtractor, QuaclrsForAudioClassification
from quaclrs.transforms import ClipTransform
from training.clips.embeddings import embed_clips
from training.supervised.config import SupervisedConfig
from training.supervised.trainable import EmbeddingClassifier
from training.train_supervised import train


@pytest.mark.parametrize("factors", [torch.ones(40), torch.linspace(0.1, 2, 40)])
def test_the_folded_classifier_gives_the_same_logits_on_embeddings_as_they_are(factors):
    generator = torch.Generator().manual_seed(0)
    # Scales as apart as those of a network, one dimension that never moves, and means far from 0.
    scales = torch.logspace(-3, 3, 40)
    embeddings = (torch.randn(200, 40, generator=generator) + 2) * scales
    embeddings[:, 7] = 5.0
    classifier = EmbeddingClassifier(nn.Linear(40, 13), embeddings, factors)
    x, weight, bias = (t.detach().double().numpy() for t in (embeddings, *classifier.linear.parameters()))
    deviation = x.std(axis=0)
    deviation[7] = 1
    expected = (x - x.mean(axis=0)) / deviation * factors.numpy() @ weight.T + bias
    with torch.no_grad():
        np.testing.assert_allclose(classifier(embeddings).logits.numpy(), expected, atol=1e-4)
        np.testing.assert_allclose(classifier.classifier()(embeddings).numpy(), expected, atol=1e-4)


def test_fixed_weights_are_heard_in_use_and_not_in_training():
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(50, 6, generator=generator) * 3 + 1
    fixed = torch.zeros(2, 6)
    fixed[0, 4] = fixed[1, 5] = 0.4
    factors = torch.tensor([1.0, 1, 1, 1, 0, 0])
    classifier = EmbeddingClassifier(nn.Linear(6, 2), embeddings, factors, fixed)
    learned = EmbeddingClassifier(classifier.linear, embeddings, factors)
    changed = embeddings.clone()
    changed[:, 4:] += 100
    with torch.no_grad():
        expected = learned(embeddings).logits.numpy() + 0.4 * embeddings[:, 4:].numpy()
        np.testing.assert_allclose(classifier.eval()(embeddings).logits.numpy(), expected, atol=1e-5)
        np.testing.assert_allclose(classifier.classifier()(embeddings).numpy(), expected, atol=1e-5)
        np.testing.assert_array_equal(classifier.train()(embeddings).logits, learned(changed).logits)
    classifier(embeddings).logits.square().sum().backward()
    assert not classifier.linear.weight.grad[:, 4:].any() and classifier.linear.weight.grad[:, :4].any()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The folder of cached embeddings, this test's own."""
    monkeypatch.setattr("training.clips.embeddings.HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf" / "quaclrs" / "embeddings"


@pytest.fixture
def classifier(tiny_classifier_folder) -> QuaclrsForAudioClassification:
    return AutoModelForAudioClassification.from_pretrained(tiny_classifier_folder).eval()


@pytest.fixture(scope="module")
def clips(sample_dataset):
    """40 clips: a whole batch of the encoder's and a part of one."""
    return load_urbansound13(sample_dataset).select(range(0, 400, 10))


class Embedding:
    """Calls `embed_clips` on the tiny encoder and counts the batches that it really sees."""

    def __init__(self, model: QuaclrsForAudioClassification) -> None:
        self.encoder, self.batches = model.quaclrs, 0
        self.encoder.register_forward_pre_hook(self.count)

    def count(self, *_) -> None:
        self.batches += 1

    def __call__(self, clips, augment=None, **settings) -> torch.Tensor:
        transform = ClipTransform(QuaclrsFeatureExtractor(self.encoder.config.log_mel), augment=augment)
        return embed_clips(Accelerator(), self.encoder, clips, clips["clip_id"][:], transform, settings)


@pytest.fixture
def embedding(classifier) -> Embedding:
    return Embedding(classifier)


def waveform(row) -> np.ndarray:
    return soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")[0]


def test_embeddings_are_those_of_the_encoder_clip_by_clip_in_the_order_of_the_rows(cache, embedding, clips):
    found = embedding(clips)
    extractor = QuaclrsFeatureExtractor(embedding.encoder.config.log_mel)
    with torch.no_grad():
        expected = torch.cat([
            embedding.encoder(extractor(waveform(row), 48_000, return_tensors="pt").input_values).pooler_output
            for row in clips
        ])  # fmt: skip
    assert found.dtype == torch.float32
    assert expected.std(dim=0).max() > 0.01  # clips do differ
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    other_order = np.random.default_rng(0).permutation(len(clips))
    assert torch.equal(embedding(clips.select(other_order)), found[other_order])


def test_what_is_known_is_not_computed_again(cache, embedding, clips):
    part = embedding(clips.select(range(5)))
    assert embedding.batches == 1
    whole = embedding(clips)
    assert embedding.batches == 3  # the 35 others: two batches
    assert torch.equal(whole[:5], part)
    assert torch.equal(embedding(clips), whole)
    assert torch.equal(embedding(clips.select([30, 2])), whole[[30, 2]])
    assert embedding.batches == 3
    assert len(list(cache.iterdir())) == 1


def test_folds_share_the_embeddings_of_their_clips(cache, sample_dataset, tmp_path):
    options = {"mode": "linear_probe", "backbone": "mobilenetv3_small_050", "initial_weights": "random"}
    options |= {"image_size": 32, "duration": 1.0, "epochs": 1, "max_clips_per_class": 2}
    known = []
    for fold in (1, 2):
        train(SupervisedConfig(str(sample_dataset), fold, str(tmp_path / str(fold)), **options))
        known.append({file: set(load_file(file)) for file in sorted(cache.iterdir())})
    assert list(known[0]) == list(known[1]) and len(known[0]) == 2  # clips as they are, and cut
    for file, clip_ids in known[0].items():
        assert clip_ids < known[1][file]


def test_other_weights_data_or_cuts_are_computed_anew_and_spoil_nothing(cache, embedding, clips):
    few = clips.select(range(5))
    first = embedding(few, data="a")
    embedding(few, data="b")
    assert embedding.batches == 2
    cut = embedding(few, RandomLength(), data="a", cut=0)
    assert embedding.batches == 3
    assert not torch.allclose(cut, first, atol=1e-3)
    weight = next(embedding.encoder.backbone.network.parameters())
    with torch.no_grad():
        weight.mul_(1.5)
    other = embedding(few, data="a")
    assert embedding.batches == 4
    assert not torch.allclose(other, first, atol=1e-3)
    with torch.no_grad():
        weight.div_(1.5)
    statistics = next(b for name, b in embedding.encoder.backbone.named_buffers() if name.endswith("running_mean"))
    statistics.add_(1.0)
    embedding(few, data="a")
    assert embedding.batches == 5
    statistics.sub_(1.0)


def test_another_activation_or_changed_code_is_computed_anew_and_spoils_nothing(cache, embedding, clips, monkeypatch):
    few = clips.select(range(5))
    first = embedding(few)
    stem = embedding.encoder.backbone.network.bn1
    assert isinstance(stem.act, nn.Hardswish)
    stem.act = nn.ReLU()  # no weight, no option and no source of ours differs
    other = embedding(few)
    assert embedding.batches == 2
    assert not torch.allclose(other, first, atol=1e-3)
    stem.act = nn.Hardswish()
    assert torch.equal(embedding(few), first)
    assert embedding.batches == 2
    monkeypatch.setattr("training.clips.embeddings.code_version", lambda parts: "another")
    embedding(few)
    assert embedding.batches == 3


class Killed(BaseException):
    pass


def test_a_run_killed_while_it_embeds_leaves_nothing_that_is_taken_for_embeddings(cache, embedding, clips):
    def die_at_the_second(*_):
        if embedding.batches == 2:
            raise Killed

    hook = embedding.encoder.register_forward_pre_hook(die_at_the_second)
    with pytest.raises(Killed):
        embedding(clips)
    assert not list(cache.glob("*"))
    hook.remove()
    assert torch.isfinite(embedding(clips)).all()


def test_a_run_killed_while_it_writes_leaves_what_was_known_before(cache, embedding, clips, monkeypatch):
    import training.clips.embeddings as module

    few = embedding(clips.select(range(5)))
    real = module.save_file

    def write_half(tensors, file):
        real(tensors, file)
        Path(file).write_bytes(Path(file).read_bytes()[:1000])
        raise Killed

    monkeypatch.setattr(module, "save_file", write_half)
    with pytest.raises(Killed):
        embedding(clips)
    monkeypatch.setattr(module, "save_file", real)
    before = embedding.batches
    assert torch.equal(embedding(clips.select(range(5))), few)
    assert embedding.batches == before
    assert torch.equal(embedding(clips)[:5], few)


def of_another_size(file: Path) -> None:
    save_file({name: tensor[:-1].contiguous() for name, tensor in load_file(file).items()}, file)


def of_no_numbers(file: Path) -> None:
    save_file({name: tensor * torch.nan for name, tensor in load_file(file).items()}, file)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: os.truncate(file, file.stat().st_size // 2),
        lambda file: os.truncate(file, 6),
        lambda file: file.write_bytes(b"\xff" * 8 + file.read_bytes()[8:]),
        lambda file: file.write_bytes(pickle.dumps({"a": 1})),
        of_another_size,
        of_no_numbers,
    ],
)
def test_a_damaged_cache_is_told_and_computed_again(cache, embedding, clips, damage):
    some = clips.select(range(3))
    expected = embedding(some)
    (file,) = cache.iterdir()
    damage(file)
    with pytest.warns(QuaclrsWarning, match="are damaged .*; they are computed again"):
        assert torch.equal(embedding(some), expected)
    assert list(cache.iterdir()) == [file]
    batches = embedding.batches
    assert torch.equal(embedding(some), expected)
    assert embedding.batches == batches  # the file is whole again


def test_a_linear_probe_saves_the_model_that_was_tested_with_the_encoder_as_it_was(
    cache, sample_dataset, tiny_classifier_folder, tmp_path
):
    metrics = train(
        SupervisedConfig(
            dataset=str(sample_dataset), test_fold=2, output_dir=str(tmp_path / "run"), mode="linear_probe",
            init_from=str(tiny_classifier_folder), backbone="mobilenetv3_small_050", image_size=96, epochs=2,
            batch_size=16, max_clips_per_class=2,
        )
    ).to_dict()  # fmt: skip
    folder = tmp_path / "run"
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert len(list(cache.iterdir())) == 2  # all splits in one file, the control's cut clips in another

    saved, began = (
        load_file(folder / "model" / "model.safetensors"),
        load_file(tiny_classifier_folder / "model.safetensors"),
    )
    assert saved.keys() == began.keys()
    encoder = [name for name in saved if not name.startswith("classifier.")]
    assert len(encoder) > 100
    assert all(torch.equal(saved[name], began[name]) for name in encoder)
    # 1,024 embedding dimensions and a bias for each of 13 classes.
    assert metrics["trained_parameters"] == (1024 + 1) * 13
    statistics = (".running_mean", ".running_var", ".num_batches_tracked")
    weights = [t.numel() for name, t in saved.items() if not name.endswith(statistics) and "log_mel" not in name]
    assert metrics["parameters"] == sum(weights)

    model = AutoModelForAudioClassification.from_pretrained(folder / "model").eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder / "model")
    rows = list(csv.DictReader((folder / "predictions.csv").open()))
    test_clips = load_urbansound13(sample_dataset, fold=2, split="test")
    assert [row["clip_id"] for row in rows] == test_clips["clip_id"][:]
    with torch.no_grad():
        heard = [
            model(**extractor(waveform(clip), 48_000, return_tensors="pt")).logits.softmax(-1)[0].numpy()
            for clip in test_clips
        ]
    predicted = np.array([[float(row[name]) for name in CLASS_NAMES] for row in rows])
    assert predicted.std(axis=0).max() > 0.05
    np.testing.assert_allclose(predicted, heard, atol=1e-4)
