"""Bad audio at every door: a defined result or one line that says what is wrong, never NaN, a traceback or a hang."""

from __future__ import annotations

import json
import math
import os
import runpy
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bad_audio import BadSound, write_bad_audio

from quaclrs import QuaclrsError, load_classifier
from quaclrs.audio import AudioWarning
from quaclrs.cli import main
from quaclrs.inference.explain import explain
from quaclrs.labels import CLASS_NAMES
from quaclrs.models import LogMelConfig, QuaclrsFeatureExtractor

ROOT = Path(__file__).parents[3]

#: Seconds in which a door is through with the whole corpus, however slow the machine.
HANG = 300


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Ends a test that waits for ever, for a pipe for instance."""

    def end(*_) -> None:
        raise TimeoutError(f"no end after {HANG} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(HANG)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> dict[str, BadSound]:
    return write_bad_audio(tmp_path_factory.mktemp("bad") / "audio")


@pytest.fixture(scope="module")
def files(cases) -> dict[str, BadSound]:
    """Those that are regular files."""
    return {name: case for name, case in cases.items() if case.file.is_file()}


@pytest.fixture(scope="module")
def classifier(tiny_classifier_folder: Path):
    return load_classifier(tiny_classifier_folder, device="cpu")


def answer_of(hear: Callable[[], object]) -> object:
    """What a door gives; of a refusal its line."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", AudioWarning)
        try:
            return hear()
        except QuaclrsError as error:
            return str(error)


def wrong(cases: dict[str, BadSound], answers: dict[str, object], good: Callable[[object], bool]) -> dict[str, object]:
    """The answers that are not what the cases say, by name."""
    assert set(answers) == set(cases)
    return {
        name: answer
        for name, answer in answers.items()
        if (not isinstance(answer, str) or not cases[name].is_refused_by(answer))
        and (isinstance(answer, str) or cases[name].refused or not good(answer))
    }


def are_scores(scores: list[float]) -> bool:
    return bool(scores) and all(math.isfinite(score) and 0 <= score <= 1 for score in scores)


def test_the_corpus_holds_what_libsndfile_writes_and_more_than_sixty_other_cases(cases) -> None:
    subtypes = {name for name in cases if name.split("_")[0] in soundfile.available_formats()}
    assert len(subtypes) > 80
    assert len(cases) - len(subtypes) > 100


@pytest.mark.parametrize("carrier", ["path", "bytes", "open file"])
def test_the_classifier(carrier: str, cases, files, classifier) -> None:
    chosen = cases if carrier == "path" else files
    answers = {}
    for name, case in chosen.items():
        if carrier == "open file":
            with case.file.open("rb") as opened:
                answers[name] = answer_of(partial(classifier.predict, opened))
        else:
            sound = str(case.file) if carrier == "path" else case.file.read_bytes()
            answers[name] = answer_of(partial(classifier.predict, sound))
    bad = wrong(chosen, answers, lambda found: are_scores([entry["score"] for entry in found]))
    if carrier != "path":  # libsndfile knows telephone sound without a header by the ending of its name alone
        bad = {name: answer for name, answer in bad.items() if not name.startswith("RAW_")}
    assert bad == {}
    silent = {name for name in chosen if not isinstance(answers[name], str) and answers[name][0]["label"] == "silence"}
    assert silent == {name for name, case in chosen.items() if case.silent}


def run(arguments: list[str], capfd) -> tuple[int, list[str], list[str]]:
    """A command's status and its lines on standard output and standard error."""
    capfd.readouterr()
    status = main(arguments)
    output = capfd.readouterr()
    return status, output.out.splitlines(), output.err.splitlines()


def errors_of(cases: dict[str, BadSound], errors: list[str], kind: str) -> dict[str, str]:
    """Name of a case -> the line that refuses it; every line names one."""
    refusals = {}
    for line in errors:
        if line.startswith("warning: "):
            continue
        assert line.startswith(f"{kind}: ") and line.isprintable(), line
        said = line.removeprefix(f"{kind}: ")
        (name,) = [name for name, case in cases.items() if said.startswith((f"{case.file} ", f"{case.file}:"))]
        refusals[name] = line
    return refusals


@pytest.mark.parametrize("command", ["predict", "timeline"])
def test_the_commands(command: str, cases, tiny_classifier_folder, capfd) -> None:
    names = [str(case.file) for case in cases.values()]
    model = ["--model", str(tiny_classifier_folder), "--device", "cpu"]
    status, lines, errors = run(
        [command, *names, "--json", *model, *(["--hop", "4"] if command == "timeline" else [])], capfd
    )
    assert status == 2
    name_of = {str(case.file): name for name, case in cases.items()}
    answers: dict[str, object] = dict(errors_of(cases, errors, "error"))
    for line in lines:
        found = json.loads(line, parse_constant=pytest.fail)
        answers[name_of[found["file"]]] = found.get("predictions", found.get("segments"))
    assert wrong(cases, answers, lambda found: are_scores([entry["score"] for entry in found])) == {}


def test_an_archive_without_a_line_of_a_library(cases, tmp_path) -> None:
    names = [str(case.file) for case in cases.values()]
    options = ["--output", str(tmp_path / "labels.jsonl"), "--quiet", "--threads", "1"]
    command = [sys.executable, "-m", "quaclrs.annotate", *names, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
    assert (done.returncode, done.stdout) == (2, "")
    *errors, last = done.stderr.splitlines()
    refused = set(errors_of(cases, errors, "error"))
    assert refused == {name for name, case in cases.items() if case.refused}
    assert last.endswith(f"in {len(cases) - len(refused)} of {len(cases)} files")
    labels: dict[str, set[str]] = {}
    for line in (tmp_path / "labels.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line, parse_constant=pytest.fail)
        labels.setdefault(row["file"], set()).add(row["label"])
    assert len(labels) == len(cases) - len(refused)
    assert sum(found == {"silence"} for found in labels.values()) == sum(case.silent for case in cases.values())


def escaped(file: Path) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(file))


def test_names_that_would_steer_the_terminal_are_printed_as_numbers(cases, tiny_classifier_folder, capfd) -> None:
    named = [case for name, case in cases.items() if name.startswith("name ")]
    model = ["--model", str(tiny_classifier_folder), "--device", "cpu"]
    for command in ("predict", "timeline"):
        status, lines, errors = run([command, *(str(case.file) for case in named), *model], capfd)
        assert (status, errors) == (0, [])
        assert all(line.isprintable() for line in lines)
        for case in named:
            assert sum(line.startswith(f"{escaped(case.file)}:") for line in lines) == 1
    for case in named:
        status, lines, errors = run(["predict", str(case.file) + ".absent", *model], capfd)
        assert (status, lines, len(errors)) == (2, [], 1)
        assert errors[0].isprintable() and errors[0].startswith(f"error: {escaped(case.file)}.absent ")


@pytest.mark.usefixtures("few_draws")
def test_explanations(files, classifier) -> None:
    few = {name: case for name, case in files.items() if name.split("_")[0] not in soundfile.available_formats()}
    answers = {name: answer_of(lambda case=case: explain(classifier, case.file)) for name, case in few.items()}
    silent = {name: answers.pop(name) for name, case in few.items() if case.silent}
    assert set(silent.values()) == {"the sound is silent: there is nothing in it to explain"}
    heard = {name: case for name, case in few.items() if not case.silent}
    assert wrong(heard, answers, lambda e: are_scores([e.score]) and bool(np.isfinite(e.heat).all())) == {}


def test_an_evaluation_without_the_broken_clips(files, tmp_path, tiny_classifier_folder, capfd) -> None:
    data = tmp_path / "data" / "dog_bark"
    data.mkdir(parents=True)
    chosen = {name: case for name, case in files.items() if case.file.suffix in (".wav", ".flac", ".mp3", ".aiff")}
    moved = {}
    for name, case in chosen.items():
        (data / case.file.name).symlink_to(case.file)
        moved[name] = BadSound(data / case.file.name, case.refused, case.silent)
    arguments = ["evaluate", "--dataset", str(data.parent), "--model", str(tiny_classifier_folder), "--device", "cpu"]
    status, lines, errors = run([*arguments, "--json", "--skip-broken"], capfd)
    assert status == 0, errors
    result = json.loads(lines[0], parse_constant=pytest.fail)
    broken = errors_of(moved, errors, "broken")
    assert {name for name, case in chosen.items() if case.refused} == set(broken)
    assert all(chosen[name].is_refused_by(line) for name, line in broken.items())
    assert result["clips"] == len(chosen) - len(broken)
    status, lines, errors = run([*arguments, "--json"], capfd)
    assert (status, lines) == (2, []) and errors[-1].startswith("error: ")


def test_the_feature_extractor(files) -> None:
    extractor = QuaclrsFeatureExtractor()
    heard = 0
    for name, case in files.items():
        try:
            samples, rate = soundfile.read(case.file, dtype="float32", frames=1 << 20)
        except (soundfile.SoundFileError, ValueError, TypeError):
            continue
        try:
            values = extractor([samples.T], sampling_rate=rate)["input_values"]
        except ValueError as error:
            assert "\n" not in str(error), name
            continue
        heard += 1
        assert values.shape == (1, LogMelConfig().n_samples) and np.isfinite(values).all(), name
    assert heard > 100


def test_the_builder(files) -> None:
    from dataset_builder.recordings.broken import _check

    def check(case: BadSound) -> object:
        found, losses = _check(case.file)
        assert all("\n" not in loss for loss in losses)
        return found

    answers = {name: answer_of(lambda case=case: check(case)) for name, case in files.items()}
    assert wrong(files, answers, lambda found: isinstance(found, bytes)) == {}


def test_the_space(files, tiny_classifier_folder, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "spaces"))
    import analysis

    model = str(tiny_classifier_folder)

    def hear(file: str) -> list[float]:
        loudest = analysis.check_sound(file)
        moments = analysis.list_moments(model, file, loudest)
        heard = analysis.label_sound(model, file)
        assert 0 < heard.seconds <= heard.duration
        return [*heard.probabilities, *(moment.segment.score for moment in moments)]

    answers = {name: answer_of(lambda case=case: hear(str(case.file))) for name, case in files.items()}
    silent = {name: answers.pop(name) for name, case in files.items() if case.silent}
    assert all("is silent" in str(line) for line in silent.values())
    heard = {name: case for name, case in files.items() if not case.silent}
    assert wrong(heard, answers, are_scores) == {}


@pytest.fixture(scope="module")
def exported_script(tmp_path_factory) -> Path:
    """The script of an export beside a graph that gives the softmax of the first samples."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    folder = tmp_path_factory.mktemp("export")
    count = len(CLASS_NAMES)
    bounds = [helper.make_tensor(name, TensorProto.INT64, [1], [v]) for name, v in (("a", 0), ("b", count), ("c", 1))]
    nodes = [
        helper.make_node("Slice", ["input_values", "a", "b", "c"], ["first"]),
        helper.make_node("Softmax", ["first"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "first",
        [helper.make_tensor_value_info("input_values", TensorProto.FLOAT, ["batch", LogMelConfig().n_samples])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", count])],
        bounds,
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    config = {"id2label": dict(enumerate(CLASS_NAMES)), "log_mel": LogMelConfig().to_dict()}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "predict.py").write_text((ROOT / "quaclrs/inference/onnx_script.py.txt").read_text())
    return folder / "predict.py"


def test_the_exported_script(cases, exported_script, capfd, monkeypatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(sys, "argv", ["predict.py", *(str(case.file) for case in cases.values())])
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(exported_script))
    output = capfd.readouterr()
    assert ended.value.code == 2 and "nan%" not in output.out
    names = {escaped(case.file): name for name, case in cases.items()}
    heard = {names[line.split("\t")[0]]: line for line in output.out.splitlines()}
    told = [line for line in output.err.splitlines() if line.startswith(("error: ", "warning: "))]
    refused = {name for line in told for file, name in names.items() if line.startswith(f"error: {file}: ")}
    assert set(heard) | refused == set(cases) and not set(heard) & refused
    assert {name for name in heard if cases[name].refused} == set()
    assert {name for name in heard if cases[name].silent} == {n for n in heard if heard[n].endswith("silence 100.0%")}
    more = {name for name in refused if not cases[name].refused}
    assert len(more) < 12, more
    for name in ("one_nan.wav", "half.wav", "claims_1_gb.wav", "two_thirds.flac"):
        assert name in refused or any(line.startswith(f"warning: {cases[name].file}") for line in told), name


WORST = """
import resource, sys
from pathlib import Path
import numpy as np
from quaclrs import QuaclrsError
from quaclrs.audio import load_audio, read_recording
from quaclrs.inference.classifier import AudioClassifier
from quaclrs.models import LogMelConfig

class Even(AudioClassifier):
    def _scores_of(self, waveforms):
        assert np.isfinite(waveforms).all()
        return np.full((len(waveforms), 2), 0.5)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

classifier = Even(["a", "b"], LogMelConfig())
classifier.predict(np.random.default_rng(0).normal(0, 0.1, (2, 400_000)), 96_000)
resource.setrlimit(resource.RLIMIT_CPU, (100, 100))
before = peak()
for file in sys.argv[1:]:
    size, short = Path(file).stat().st_size / 2**20, "minutes" not in file
    whole = (lambda f: load_audio(f, 48_000), lambda f: classifier.predict_timeline(f, hop=4.0))
    for door in (classifier.predict, *(whole if short else [read_recording])):
        try:
            door(file)
        except QuaclrsError as error:
            assert "\\n" not in str(error)
    assert peak() - before < 200 + size, (file, peak() - before)
print("ended")
"""


def test_what_unfolds_when_it_is_decoded_takes_no_more_than_200_mb(tmp_path) -> None:
    for name, rate, channels, frames, form, subtype in (
        ("rate.caf", 10_000_000, 8, 1 << 20, "CAF", "ALAC_16"),
        ("array.caf", 500_000, 8, 3 << 20, "CAF", "ALAC_16"),
        ("channels.wav", 48_000, 64, 1 << 19, "WAV", "PCM_U8"),
        ("minutes.flac", 48_000, 1, 9 << 22, "FLAC", "PCM_16"),
    ):
        with soundfile.SoundFile(tmp_path / name, "w", rate, channels, subtype, format=form) as sound:
            block = np.zeros((1 << 18, channels), np.int16)
            block[::1000] = 1000
            for _ in range(frames >> 18):
                sound.write(block)
    flac = (tmp_path / "minutes.flac").read_bytes()
    (tmp_path / "unknown_minutes.flac").write_bytes(flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:])
    child = subprocess.run(
        [sys.executable, "-c", WORST, *map(str, sorted(tmp_path.iterdir()))],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=HANG,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    assert child.stdout.strip() == "ended"
