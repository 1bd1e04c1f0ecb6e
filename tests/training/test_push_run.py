"""`python -m training.push` to a Hub on loopback: what is published, and what loads from it where."""

from __future__ import annotations

import json
import os
import re
import shutil
import site
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hub_stand_in import WRITER, HubStandIn
from huggingface_hub import ModelCard
from safetensors.numpy import load_file
from transformers import pipeline

import quaclrs.models
from quaclrs import load_urbansound13
from quaclrs.audio import load_audio
from quaclrs.cli import main as quaclrs_command
from quaclrs.evaluation.run_metrics import RunMetrics
from training.push import default_repo_id, main, read_run, write_repository
from training.runs.card import CardContext
from training.ssl.config import SSLConfig
from training.supervised.card import write_model_card
from training.supervised.config import SupervisedConfig
from training.train_ssl import train_ssl
from training.train_supervised import train

SMALLEST = {"test_fold": 2, "backbone": "test_efficientnet", "image_size": 32, "epochs": 1, "batch_size": 16}

CLASSIFY = """
import importlib.util, json, sys
import numpy as np
from transformers import AutoFeatureExtractor, AutoModel, pipeline

trusted = importlib.util.find_spec("quaclrs") is None
if not trusted:
    import quaclrs.auto
classify = pipeline("audio-classification", model="ns/name", trust_remote_code=trusted, device="cpu")
encoder = AutoModel.from_pretrained("ns/name", trust_remote_code=trusted).eval()
extractor = AutoFeatureExtractor.from_pretrained("ns/name", trust_remote_code=trusted)
heard = extractor(np.load(sys.argv[1]), sampling_rate=48_000, return_tensors="pt")
embedding = encoder(**heard).pooler_output[0].tolist()
scores = classify(np.load(sys.argv[1]), top_k=13)
print(json.dumps({"trusted": trusted, "scores": scores, "embedding": embedding}))
"""

#: A light install: without PyTorch the model is fetched with its graph, and labels a file.
LABEL = """
import sys
sys.modules.update(dict.fromkeys(("torch", "transformers", "timm")))
from quaclrs.cli import main
sys.exit(main(["predict", sys.argv[1], "--model", "ns/name", "--top-k", "13", "--json"]))
"""

EMBED = """
import json, sys
import numpy as np
import quaclrs.auto
from transformers import AutoFeatureExtractor, AutoModel

extractor, encoder = AutoFeatureExtractor.from_pretrained("ns/name"), AutoModel.from_pretrained("ns/name").eval()
print(json.dumps(encoder(**extractor(np.load(sys.argv[1]), return_tensors="pt")).pooler_output.tolist()))
"""


@pytest.fixture(scope="module")
def run(small_sample, tmp_path_factory) -> Path:
    """A finished supervised run of one epoch."""
    folder = tmp_path_factory.mktemp("supervised") / "run"
    train(SupervisedConfig(dataset=str(small_sample), output_dir=str(folder), max_clips_per_class=4, **SMALLEST))
    assert quaclrs_command(["export", "--in-place", "--model", str(folder / "model")]) == 0  # each push would do it
    return folder


@pytest.fixture(scope="module")
def sound(small_sample, tmp_path_factory) -> Path:
    """A clip of the sample, float32 at 48 kHz, as .npy."""
    audio = load_urbansound13(str(small_sample), fold=2, split="test")[3]["audio"]
    file = tmp_path_factory.mktemp("sound") / "clip.npy"
    np.save(file, load_audio(audio["bytes"], 48_000))
    return file


@pytest.fixture
def push(hub_stand_in, tmp_path):
    """`push(run, *options)` in a child process; a finished process."""

    def start(run: Path, *options: str, token: str | None = WRITER) -> subprocess.CompletedProcess[str]:
        command = ["-m", "training.push", str(run), "--repo", "ns/name", *options]
        return hub_stand_in.run_client(*command, home=tmp_path / "pusher", token=token)

    return start


def local_answer(run: Path, sound: Path) -> tuple[dict[str, float], list[float]]:
    """Scores by class, and the embedding."""
    classify = pipeline("audio-classification", model=str(run / "model"), device="cpu")
    scores = {entry["label"]: entry["score"] for entry in classify(np.load(sound), top_k=13)}
    heard = classify.feature_extractor(np.load(sound), sampling_rate=48_000, return_tensors="pt")
    with torch.no_grad():
        return scores, classify.model.quaclrs(**heard).pooler_output[0].tolist()


@pytest.fixture(scope="module")
def pushed(run, tmp_path_factory) -> Iterator[tuple[HubStandIn, str]]:
    """A Hub that holds the run, and what pushing it printed."""
    with HubStandIn().running() as hub:
        home = tmp_path_factory.mktemp("pusher")
        process = hub.run_client("-m", "training.push", str(run), "--repo", "ns/name", home=home, token=WRITER)
        assert process.returncode == 0, process.stderr
        yield hub, process.stdout


def assert_same_answer(answer: str, expected: tuple[dict[str, float], list[float]]) -> None:
    found = json.loads(answer)
    assert {entry["label"]: entry["score"] for entry in found["scores"]} == pytest.approx(expected[0], abs=1e-5)
    np.testing.assert_allclose(found["embedding"], expected[1], atol=1e-5)


def test_a_run_is_pushed_in_one_commit_and_classifies_from_the_hub_and_then_offline_as_it_does_locally(
    pushed, run, sound, tmp_path
):
    hub, printed = pushed
    assert f"{hub.url}/ns/name: " in printed

    commits = hub.repos["models", "ns/name"].commits
    assert ".gitattributes" in commits[-1].files  # by which clones get weights instead of pointers
    files = set(commits[-1].files)
    wanted = {"config.json", "model.safetensors", "preprocessor_config.json", "README.md", "confusion_matrix.png"}
    wanted |= {"model.onnx"}
    assert wanted | {"metrics.json", "config.yaml", "modeling_quaclrs.py", "feature_extraction_quaclrs.py"} <= files
    assert not any(name.endswith((".bin", ".pt", ".pkl", ".pth")) for name in files)
    with_files = [commit for commit in commits if "model.safetensors" in commit.files]
    assert len(with_files) == 1

    expected = local_answer(run, sound)
    for environment in ({}, {"HF_HUB_OFFLINE": "1"}):
        reader = hub.run_client("-c", CLASSIFY, str(sound), home=tmp_path / "reader", **environment)
        assert reader.returncode == 0, reader.stderr
        assert not json.loads(reader.stdout)["trusted"]
        assert_same_answer(reader.stdout, expected)
    soundfile.write(tmp_path / "clip.wav", np.load(sound), 48_000, subtype="FLOAT")
    light = hub.run_client("-c", LABEL, str(tmp_path / "clip.wav"), home=tmp_path / "sensor")
    assert light.returncode == 0, light.stderr
    found = {entry["label"]: entry["score"] for entry in json.loads(light.stdout)["predictions"]}
    assert found == pytest.approx(expected[0], abs=1e-4)


def test_a_pushed_model_classifies_where_quaclrs_is_not_installed(pushed, run, sound, tmp_path):
    # The libraries of this environment, without the .pth files and so without an editable quaclrs.
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    ).stdout.strip()
    libraries = [folder for folder in sys.path if folder.endswith("-packages")] or site.getsitepackages()
    Path(packages, "shared.pth").write_text("\n".join(libraries) + "\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "PYTHON"))}
    ours = {"HF_ENDPOINT": pushed[0].url, "HF_HOME": str(tmp_path / "reader"), "HF_HUB_DISABLE_XET": "1"}
    child = subprocess.run(
        [python, "-c", CLASSIFY, sound], env=kept | ours, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert child.returncode == 0, child.stderr
    if not json.loads(child.stdout)["trusted"]:
        pytest.skip("quaclrs is installed as a wheel beside its libraries: no environment without it can be made")
    assert_same_answer(child.stdout, local_answer(run, sound))


def test_an_encoder_is_pushed_and_embeds_as_it_does_locally(hub_stand_in, push, small_sample, sound, tmp_path):
    given = {**SMALLEST, "dataset": str(small_sample), "output_dir": str(tmp_path / "run"), "method": "simclr"}
    train_ssl(SSLConfig(**given, max_clips_per_class=4))
    assert default_repo_id(read_run(tmp_path / "run")) == "quaclrs/urbansound13-test_efficientnet-simclr"
    assert push(tmp_path / "run").returncode == 0

    reader = hub_stand_in.run_client("-c", EMBED, str(sound), home=tmp_path / "reader")
    assert reader.returncode == 0, reader.stderr
    model = quaclrs.models.QuaclrsModel.from_pretrained(tmp_path / "run" / "model").eval()
    extractor = quaclrs.models.QuaclrsFeatureExtractor.from_pretrained(tmp_path / "run" / "model")
    with torch.no_grad():
        expected = model(**extractor(np.load(sound), return_tensors="pt")).pooler_output.numpy()
    np.testing.assert_allclose(json.loads(reader.stdout), expected, atol=1e-5)
    published = hub_stand_in.repos["models", "ns/name"].commits[-1].files
    assert "timm_backbone.safetensors" in published
    assert ModelCard(published["README.md"].content.decode()).data.pipeline_tag == "feature-extraction"


@pytest.mark.parametrize(("token", "words"), [("hf_wrong", "the Hub refuses the token"), (None, "no token to push")])
def test_without_a_right_token_nothing_is_published_and_one_line_says_so(hub_stand_in, push, run, token, words):
    process = push(run, token=token)
    assert process.returncode == 2
    lines = [line for line in process.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and words in lines[0] and "Traceback" not in process.stderr
    assert ("models", "ns/name") not in hub_stand_in.repos


def test_the_cards_results_are_those_of_the_run_as_the_hub_reads_them(run, tmp_path):
    metrics = json.loads((run / "metrics.json").read_text())
    real = RunMetrics.from_dict({**metrics, "synthetic": False})
    write_model_card(tmp_path, read_run(run).config, real, CardContext("ns/name", run))
    card = ModelCard.load(tmp_path / "README.md")
    found = {result.metric_type: result for result in card.data.eval_results}
    assert found["accuracy"].metric_value == pytest.approx(metrics["accuracy"], abs=1e-4)
    assert found["f1"].metric_value == pytest.approx(metrics["macro_f1"], abs=1e-4)
    assert {(r.dataset_type, r.dataset_config, r.dataset_split) for r in found.values()} == {
        ("quaclrs/urbansound13", "fold2", "test")
    }
    assert (card.data.pipeline_tag, card.data.library_name) == ("audio-classification", "transformers")
    assert card.data.license == "cc-by-nc-4.0" and card.data.datasets == ["quaclrs/urbansound13"]
    assert "{{" not in card.text
    text = re.sub(" +", " ", card.text)  # columns line up
    for name, figures in metrics["per_class"].items():
        assert f"| {name} | {figures['precision']:.1%} | {figures['recall']:.1%} " in text
    assert "![Confusion matrix" in card.text and (tmp_path / "confusion_matrix.png").stat().st_size > 10_000
    assert "accelerate launch -m training.train_supervised" in card.text and "torch 2" in card.text


@pytest.mark.parametrize("changed", [{"synthetic": True}, {"synthetic": False, "protocol": "paper"}])
def test_figures_that_are_not_strict_ones_on_real_recordings_are_no_results_of_the_data_set(changed, run, tmp_path):
    metrics = {**json.loads((run / "metrics.json").read_text()), **changed}
    write_model_card(tmp_path, read_run(run).config, RunMetrics.from_dict(metrics))
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.eval_results is None
    assert ("synthetic" in card.data.tags) == changed["synthetic"]
    assert card.data.license == "cc-by-nc-4.0"  # no model lies beside it to say what it has heard
    assert ModelCard.load(run / "model" / "README.md").data.license == "apache-2.0"  # the sample alone


def test_nothing_that_is_published_says_where_files_lie_on_this_machine(run, small_sample, tmp_path):
    (tmp_path / "stage").mkdir()
    write_repository(read_run(run), tmp_path / "stage", "ns/name", None, [])
    for name in ("README.md", "config.yaml", "metrics.json"):
        text = (tmp_path / "stage" / name).read_text()
        assert str(small_sample.parent) not in text and str(run.parent) not in text, name


def test_a_test_of_robustness_and_examples_go_into_the_card(run, tmp_path):
    conditions = [
        {"snr_db": "clean", "accuracy": 0.5, "macro_f1": 0.25},
        {"snr_db": 0.0, "accuracy": 0.125, "macro_f1": 0.1},
    ]
    robustness = {"noise": "gaussian", "seed": 3, "conditions": conditions}
    (tmp_path / "robustness.json").write_text(json.dumps(robustness))
    context = CardContext("ns/name", run, evaluation=tmp_path, examples=("examples/a.wav",))
    metrics = RunMetrics.from_dict(json.loads((run / "metrics.json").read_text()))
    write_model_card(tmp_path, read_run(run).config, metrics, context)
    card = ModelCard.load(tmp_path / "README.md")
    text = re.sub(" +", " ", card.text)  # columns line up
    assert "| clean | 50.0% | 25.0% |" in text and "| 0.0 | 12.5% | 10.0% |" in text
    assert card.data.widget == [{"src": "https://huggingface.co/ns/name/resolve/main/examples/a.wav"}]


@pytest.mark.parametrize("missing", ["metrics.json", "config.yaml", "model/model.safetensors"])
def test_a_run_that_is_not_finished_is_named_with_what_it_lacks(missing, run, tmp_path, expect_one_error_line):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / missing).unlink()
    assert main([str(tmp_path / "run"), "--repo", "ns/name"]) == 2
    expect_one_error_line(f"is not a finished run: it lacks {missing}")


def test_weights_in_a_pickle_are_not_looked_at(run, tmp_path, expect_one_error_line):
    shutil.copytree(run, tmp_path / "run")
    weights = tmp_path / "run" / "model" / "model.safetensors"
    tensors = {name: torch.from_numpy(tensor) for name, tensor in load_file(weights).items()}
    torch.save(tensors, weights.with_name("pytorch_model.bin"))
    weights.unlink()
    assert main([str(tmp_path / "run"), "--repo", "ns/name"]) == 2
    expect_one_error_line("lacks model/model.safetensors")


def test_an_example_that_is_no_file_is_named(run, tmp_path, expect_one_error_line):
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 8_000)
    arguments = [str(run), "--repo", "ns/name", "--example", str(tmp_path / "a.wav"), "--example", "nowhere.wav"]
    assert main(arguments) == 2
    expect_one_error_line("--example nowhere.wav is not a file")
