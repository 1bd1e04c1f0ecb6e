"""The package itself: light to import, complete in its names, and its errors one line long."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import warm_python

import quaclrs
import quaclrs.models
from quaclrs import labels
from quaclrs.audio import AudioError
from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors

# Section 3 of the paper: UrbanSound8K without its siren class, and sireNNet's four.
PAPER_URBANSOUND8K = {
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "gun_shot",
    "jackhammer",
    "street_music",
}
PAPER_SIRENNET = {"ambulance", "firetruck", "police", "traffic"}


def test_importing_the_package_imports_no_heavy_library() -> None:
    heavy = ["torch", "transformers", "datasets", "timm", "librosa", "soundfile"]
    script = f"import sys, quaclrs; print([m for m in {heavy} if m in sys.modules], quaclrs.CLASS_NAMES[0])"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert child.stdout.strip() == "[] air_conditioner"


@pytest.mark.parametrize("name", quaclrs.__all__)
def test_every_public_name_resolves_to_the_object_of_that_name(name: str) -> None:
    found = getattr(quaclrs, name)

    if isinstance(found, type) or callable(found):
        assert found.__name__ == name
        assert found.__module__.split(".")[0] == "quaclrs"
    else:
        assert found
    assert name in dir(quaclrs)


def test_an_unknown_name_of_the_package_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="load_clasifier"):
        _ = quaclrs.load_clasifier
    with pytest.raises(ImportError):
        exec("from quaclrs import nothing_of_the_kind")


def test_the_thirteen_classes_are_alphabetical_and_come_from_the_papers_two_sources() -> None:
    names = list(labels.SOURCE_OF_CLASS)

    assert names == sorted(PAPER_URBANSOUND8K | PAPER_SIRENNET)
    assert len(names) == 13
    assert {c for c, source in labels.SOURCE_OF_CLASS.items() if source == "urbansound8k"} == PAPER_URBANSOUND8K
    assert {c for c, source in labels.SOURCE_OF_CLASS.items() if source == "sirennet"} == PAPER_SIRENNET
    assert tuple(names) == labels.CLASS_NAMES
    assert tuple(sorted(PAPER_URBANSOUND8K)) == labels.URBANSOUND8K_CLASSES
    assert tuple(sorted(PAPER_SIRENNET)) == labels.SIRENNET_CLASSES


@report_user_errors
def command_with_a_mistake() -> int:
    raise QuaclrsError("clip.wav holds\n  no samples")


def test_a_users_mistake_becomes_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK", raising=False)

    assert command_with_a_mistake() == 2
    output = capsys.readouterr()
    assert output.err == "error: clip.wav holds no samples\n"
    assert output.out == ""


@pytest.mark.parametrize(("rank", "lines"), [("0", 1), ("1", 0), ("3", 0)])
def test_of_several_processes_only_the_first_prints_the_mistake(
    rank: str, lines: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)

    assert command_with_a_mistake() == 2
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_any_process_tells_of_a_clip_that_only_it_has_heard(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @report_user_errors
    def command() -> int:
        raise AudioError("clip 7-0 cannot be decoded")

    monkeypatch.setenv("RANK", "1")
    assert command() == 2
    assert capsys.readouterr().err == "error: clip 7-0 cannot be decoded\n"


def test_other_errors_keep_their_traceback_and_results_pass_through() -> None:
    @report_user_errors
    def command(status: int) -> int:
        return 10 // status

    assert command(5) == 2
    assert command(10) == 1
    with pytest.raises(ZeroDivisionError):
        command(0)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            PermissionError(13, "Permission denied", "/ro/x"),
            "/ro/x: Permission denied; check the path, its permissions",
        ),
        (OSError(28, "No space left on device"), "an output cannot be written (No space left on device); make room"),
        (ConnectionError("no route\nto host"), "no route"),
    ],
)
def test_an_error_of_the_system_is_one_line_that_names_the_file(
    error: OSError, line: str, expect_one_error_line: Callable[[str], None]
) -> None:
    @report_user_errors
    def command() -> int:
        raise error

    assert command() == 2
    expect_one_error_line(f"error: {line}")


@report_user_errors
def command_with_a_result() -> int:
    print("a result")
    return 0


def test_standard_output_on_a_full_disk_is_named_also_when_it_is_found_late(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert command_with_a_result() == 2
        # Python writes what is left when it ends: it must not fail once more.
    assert capsys.readouterr().err == (
        "error: standard output cannot be written (No space left on device); send it elsewhere\n"
    )


def test_a_reader_that_has_had_enough_ends_a_command_without_a_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sink = os.pipe()
    os.close(source)
    with os.fdopen(sink, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert command_with_a_result() == 141
    assert capsys.readouterr().err == ""


def test_a_wrong_option_is_one_line_that_names_the_option_and_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    parser = CommandParser(prog="quaclrs")
    parser.add_argument("--size", type=int)

    with pytest.raises(QuaclrsError) as error:
        parser.parse_args(["--size", "big"])
    assert "--size" in str(error.value)
    assert "'big'" in str(error.value)
    assert "quaclrs --help" in str(error.value)
    assert "\n" not in str(error.value)
    output = capsys.readouterr()
    assert output.err + output.out == ""


def test_the_users_error_is_a_value_error() -> None:
    assert issubclass(QuaclrsError, ValueError)


def test_the_front_ends_parameters_are_one_class_that_can_be_had_without_torch() -> None:
    code = (
        "import sys, quaclrs.models; from quaclrs.models import LogMelConfig; from quaclrs.models import waveforms; "
        "print(sorted({'torch', 'transformers'} & set(sys.modules))); "
        "import quaclrs; print(quaclrs.LogMelConfig is LogMelConfig)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["[]", "True"]


@pytest.mark.parametrize(
    "first",
    [
        "from quaclrs import QuaclrsConfig",
        pytest.param("import quaclrs.auto", marks=pytest.mark.weekly),
        pytest.param("from quaclrs.models import QuaclrsModel", marks=pytest.mark.weekly),
    ],
)
def test_the_auto_classes_load_a_model_once_the_package_or_one_of_its_classes_is_imported(
    first: str, tiny_classifier_folder: Path, tmp_path: Path
) -> None:
    without_transformers = {**os.environ, "HF_HOME": str(tmp_path)}  # so `warm_python` has not imported it
    code = (
        f"import sys; assert 'transformers' not in sys.modules; {first}; "
        "from transformers import AutoFeatureExtractor, AutoModelForAudioClassification; "
        "autos = AutoModelForAudioClassification, AutoFeatureExtractor; "
        "print(*(type(auto.from_pretrained(sys.argv[1])).__name__ for auto in autos))"
    )
    child = warm_python.run(["-c", code, str(tiny_classifier_folder)], env=without_transformers)
    assert child.stdout.split() == ["QuaclrsForAudioClassification", "QuaclrsFeatureExtractor"], child.stderr


@pytest.mark.parametrize("name", quaclrs.models.__all__)
def test_every_name_of_the_models_resolves_to_the_object_of_that_name(name: str) -> None:
    found = getattr(quaclrs.models, name)
    assert getattr(found, "__name__", name) == name
    assert name in dir(quaclrs.models)
