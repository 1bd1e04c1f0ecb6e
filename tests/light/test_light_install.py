"""Label, timeline, info and embeddings where PyTorch, Transformers and their company are not installed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "spaces" / "examples").glob("*.ogg"))

RATE = 48_000


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> Path:
    """Five seconds of digital silence, then five of noise, in stereo."""
    file = tmp_path_factory.mktemp("sounds") / "street.flac"
    noise = np.random.default_rng(0).normal(0, 0.1, (5 * RATE, 2))
    soundfile.write(file, np.concatenate([np.zeros_like(noise), noise]), RATE)
    return file


def test_sounds_of_people_are_labelled(quaclrs) -> None:
    done = quaclrs("predict", ROOT / "spaces" / "examples", "--json")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["file"] for answer in answers] == [str(file) for file in EXAMPLES]
    for answer in answers:
        labels = [entry["label"] for entry in answer["predictions"]]
        assert Path(answer["file"]).stem in labels  # the three best


def test_standard_input_and_threads(quaclrs) -> None:
    wanted = json.loads(quaclrs("predict", EXAMPLES[0], "--json").stdout)
    done = quaclrs("predict", "-", "--json", "--threads", "1", text=False, input=EXAMPLES[0].read_bytes())
    found = json.loads(done.stdout)
    for one, other in zip(found["predictions"], wanted["predictions"], strict=True):
        assert one["label"] == other["label"] and one["score"] == pytest.approx(other["score"], abs=1e-4)


def test_a_timeline_says_what_is_silent(quaclrs, street) -> None:
    done = quaclrs("timeline", street, "--format", "csv")
    assert done.returncode == 0, done.stderr
    header, *lines = done.stdout.splitlines()
    assert header == "start,end,label,score"
    first, second = lines[0].split(","), lines[1].split(",")
    assert first[:3] == ["0.000", "5.000", "silence"] and second[0] == "5.000" and second[2] != "silence"
    assert lines[-1].split(",")[1] == "10.000"


def test_an_archive_becomes_a_table_and_a_page(quaclrs, street, tmp_path) -> None:
    done = quaclrs("annotate", street.parent, EXAMPLES[0], "--output", tmp_path / "labels.csv", "--quiet")
    assert done.returncode == 0, done.stderr
    header, first, *_ = (tmp_path / "labels.csv").read_text().splitlines()
    assert header == "file,start,end,label,score,level,time"
    assert first.startswith(f"{street},0.0,4.0,silence,1.0,-150.0,")
    done = quaclrs("summary", tmp_path / "labels.csv", "--output", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert "data:audio/mpeg;base64," in (tmp_path / "page.html").read_text()


def test_a_stream_is_listened_to(quaclrs) -> None:
    sound, _ = soundfile.read(EXAMPLES[0], dtype="int16", always_2d=True)
    rate = str(soundfile.info(EXAMPLES[0]).samplerate)
    done = quaclrs("listen", "-", "--rate", rate, "--json", text=False, input=sound[:, 0].tobytes())
    assert done.returncode == 0, done.stderr
    assert EXAMPLES[0].stem in {json.loads(line)["label"] for line in done.stdout.splitlines()}


def test_a_model_is_described(quaclrs) -> None:
    described = json.loads(quaclrs("info", "--json").stdout)
    config = json.loads((ROOT / "quaclrs" / "default_model" / "config.json").read_text(encoding="utf-8"))
    assert described["labels"] == [config["id2label"][str(i)] for i in range(len(config["id2label"]))]
    assert described["parameters"] > 1e6 and described["licence"] == "cc-by-nc-4.0"


def test_embeddings_follow_the_sound_and_not_its_level(python) -> None:
    code = """
import quaclrs, soundfile
classifier = quaclrs.load_classifier()
sounds = [soundfile.read(file) for file in sys.argv[1:]]
found = classifier.embed([samples for samples, _ in sounds for samples in (samples, 0.5 * samples)], sounds[0][1])
found /= (found ** 2).sum(axis=1, keepdims=True) ** 0.5
print(found.shape, (found @ found.T).tolist(), sep=";")
"""
    done = python(code, *EXAMPLES[:2])
    assert done.returncode == 0, done.stderr
    shape, products = done.stdout.split(";")
    same = np.array(json.loads(products))
    assert re.fullmatch(r"\(4, \d+\)\s*", shape)
    assert same[0, 1] > 0.999 and same[2, 3] > 0.999
    assert abs(same[:2, 2:]).max() < 0.9


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("explain", EXAMPLES[0], "--output", "explained.png"), "torch"),
        (("export", "--output-dir", "exported"), "torch"),
        (("predict", EXAMPLES[0], "--backend", "torch"), "torch"),
        (("predict", EXAMPLES[0], "--device", "cuda"), "torch"),
        (("evaluate", "--dataset", "nowhere"), "train"),
        (("report", "nowhere"), "train"),
        (("annotate", EXAMPLES[0], "--output", "labels.parquet"), "parquet"),
        (("listen",), "live"),
        (("listen", "-", "--mqtt", "mqtt://localhost/street"), "live"),
        (("augment", EXAMPLES[0], "--output", "augmented.png"), "train"),
    ],
)
def test_a_command_that_needs_more_says_what_to_install(arguments, extra, quaclrs, tmp_path) -> None:
    done = quaclrs(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        rf'error: .*\w+(, which)? is not installed(, which this needs)?; pip install "quaclrs\[{extra}\]".*\n',
        done.stderr,
    )
    assert not any(tmp_path.iterdir())


def test_names_that_need_more_say_what_to_install(python) -> None:
    code = """
import quaclrs
for name in ("QuaclrsModel", "LogMelSpectrogram", "load_urbansound13"):
    try:
        print(getattr(quaclrs, name)("nowhere"))
    except ImportError as error:
        print(type(error).__mro__[1].__name__, error)
"""
    lines = python(code).stdout.splitlines()
    assert [re.search(r'"quaclrs\[(\w+)\]"', line)[1] for line in lines] == ["torch", "torch", "train"]
    assert all(line.startswith("QuaclrsError") for line in lines)


@pytest.mark.parametrize("module", ["training.quickstart", "training.train_supervised", "dataset_builder"])
def test_commands_of_a_clone_say_what_to_install(module, python) -> None:
    done = python(f"import runpy\nsys.argv[:] = ['-m']\nrunpy.run_module({module!r}, run_name='__main__')", cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r'error: \w+ is not installed, which this needs; pip install "quaclrs\[train\]"\n', done.stderr)


def test_a_model_without_a_graph_says_what_to_install(quaclrs, tmp_path) -> None:
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(ROOT / "quaclrs" / "default_model" / name)
    done = quaclrs("predict", EXAMPLES[0], "--model", tmp_path)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert "has no model.onnx for ONNX Runtime" in done.stderr and '"quaclrs[torch]"' in done.stderr


def test_the_first_label_needs_no_library_that_takes_long_to_import(python) -> None:
    code = """
from quaclrs.cli import main
main(["predict", sys.argv[1]])
slow = ("huggingface_hub", "httpx", "httpx2", "filelock", "asyncio", "yaml", "tqdm", "importlib.metadata")
print(*(name for name in slow if name in sys.modules))
"""
    lines = python(code, EXAMPLES[0]).stdout.splitlines()
    assert lines[0].startswith(str(EXAMPLES[0])) and lines[1:] == [""]
