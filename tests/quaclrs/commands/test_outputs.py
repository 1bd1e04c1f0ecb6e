"""What commands print and write: terminals without the characters, outputs that cannot be written, pipes, patterns."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
import socket
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs.audio import AudioError, find_audio_files, load_audio, pipes
from quaclrs.cli import main
from quaclrs.commands.one_sound import only_sound, picture_beside

RATE = 16_000
SOUND = 0.1 * np.random.default_rng(0).standard_normal(4 * RATE)

#: Japanese and beyond the plane that `\u` reaches; bytes that are no UTF-8.
NAMES = ("警笛😀.wav", os.fsdecode(b"\xff\xfe.wav"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with sounds of both names in `dog_bark`, and `a.wav`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "dog_bark").mkdir(parents=True)
    soundfile.write("a.wav", SOUND, RATE)
    for name in NAMES:
        shutil.copy("a.wav", tmp_path / "data" / "dog_bark" / name)
    return tmp_path


@pytest.fixture
def model(tiny_classifier_folder: Path) -> list[str]:
    return ["--model", str(tiny_classifier_folder), "--device", "cpu"]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch):
    """Runs a command whose standard output has an encoding: its status and what was printed, decoded again."""

    def run(encoding: str, *arguments: str) -> tuple[int, str]:
        output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", output)
        status = main(list(arguments))
        return status, output.buffer.getvalue().decode(encoding)

    return run


@pytest.mark.parametrize(
    ("command", "encoding"), [("predict", "ascii"), ("predict", "cp1252"), ("timeline", "cp932"), ("timeline", "cp949")]
)
def test_names_that_the_terminal_cannot_show_are_written_by_number_and_all_files_are_labelled(
    command, encoding, folder, model, printed
):
    status, output = printed(encoding, command, "data", "a.wav", *model)
    assert status == 0
    shown = NAMES[0].encode(encoding, "backslashreplace").decode(encoding)
    assert [name in output for name in (shown, r"\udcff\udcfe.wav", "a.wav")] == [True] * 3
    assert len(output.splitlines()) == (3 if command == "predict" else 6)


@pytest.mark.parametrize("command", ["predict", "timeline"])
def test_json_is_read_back_to_the_very_name_whatever_the_encoding(command, folder, model, printed):
    status, output = printed("cp932", command, "data", "a.wav", "--json", *model)
    assert status == 0
    files = [json.loads(line)["file"] for line in output.splitlines()]
    assert files == [f"data/dog_bark/{name}" for name in NAMES] + ["a.wav"]


def test_an_evaluation_prints_and_writes_names_that_are_no_text(folder, model, printed):
    status, output = printed("cp932", "evaluate", "--dataset", "data", "--output-dir", "out", *model)
    assert status == 0 and "| dog_bark" in output
    with Path("out/predictions.csv").open(encoding="utf-8", newline="") as file:
        clips = [row["clip_id"] for row in csv.DictReader(file)]
    assert clips == [f"dog_bark/{NAMES[0]}", r"dog_bark/\udcff\udcfe.wav"]


@pytest.mark.usefixtures("few_draws")
def test_a_picture_lies_beside_a_sound_whose_name_is_no_text(folder, model, printed):
    file = f"data/dog_bark/{NAMES[1]}"
    assert printed("cp1252", "explain", file, *model)[0] == 0
    assert Path(file).with_suffix(".explained.png").read_bytes().startswith(b"\x89PNG")


UNWRITABLE = [
    (["explain", "a.wav", "--output", "a.wav/p.png"], "a.wav/p.png cannot be written (Not a directory)"),
    (["augment", "a.wav", "--output", "a.wav/p.png"], "a.wav/p.png cannot be written (Not a directory)"),
    (["explain", "a.wav", "--output", "data.png"], "data.png is a folder"),
    (["explain", "a.wav", "--output", "p.doc"], "p.doc: cannot write a figure of this suffix"),
    (["explain", "a.wav", "--output", "p" * 300 + ".png"], "(File name too long); choose another --output"),
    (["evaluate", "--dataset", "data", "--output-dir", "a.wav/out"], "a.wav/out cannot be written (Not a directory)"),
    (["evaluate", "--dataset", "data", "--output-dir", "data"], "data is not empty; choose another --output-dir"),
    (["export", "--output-dir", "a.wav"], "a.wav is a file; choose another --output-dir"),
    (["export", "--output-dir", "a.wav/out"], "a.wav/out cannot be written (Not a directory)"),
    (["report", "data", "--output-dir", "a.wav/out"], "a.wav/out cannot be written (Not a directory)"),
]


@pytest.mark.parametrize(("arguments", "words"), UNWRITABLE)
def test_an_output_that_cannot_be_written_is_refused_before_a_model_is_loaded(
    arguments, words, folder, expect_one_error_line
):
    (folder / "data.png").mkdir()
    model = [] if arguments[0] in ("augment", "report") else ["--model", "/no/such/model"]
    before = sorted(folder.rglob("*"))
    assert main([*arguments, *model]) == 2
    expect_one_error_line(words)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("command", ["predict", "timeline", "explain", "augment"])
def test_a_name_that_no_file_can_have_is_one_line(command, folder, model, expect_one_error_line):
    assert main([command, "a" * 300, *([] if command == "augment" else model)]) == 2
    expect_one_error_line("File name too long")


def test_a_result_is_printed_even_if_the_disk_fills_up_before_its_files_are_written(folder, model, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("quaclrs.evaluation.result_files.written", full)
    assert main(["evaluate", "--dataset", "data", "--output-dir", "out", *model]) == 2
    output = capsys.readouterr()
    assert "| dog_bark" in output.out
    assert output.err == (
        "error: out/predictions.csv cannot be written (No space left on device); choose another place, or make room\n"
    )


def test_a_pattern_that_the_shell_left_alone_means_its_files_in_their_order(folder, model, printed):
    shutil.copy("a.wav", "b.wav")
    shutil.copy("a.wav", "[c].wav")
    for command in ("predict", "timeline"):
        status, output = printed("utf-8", command, "?.wav", "d*", "[c].wav", "--json", *model)
        assert status == 0
        files = [json.loads(line)["file"] for line in output.splitlines()]
        assert files == ["a.wav", "b.wav", *(f"data/dog_bark/{name}" for name in NAMES), "[c].wav"]


@pytest.mark.parametrize(("command", "pattern"), [("predict", "*.mp3"), ("explain", "*.mp3"), ("explain", "?.wav")])
def test_a_pattern_of_no_file_or_of_too_many_is_one_line(command, pattern, folder, expect_one_error_line):
    shutil.copy("a.wav", "b.wav")
    assert main([command, pattern]) == 2
    expect_one_error_line("*.mp3 matches no file" if pattern == "*.mp3" else "?.wav means 2 files, but one is wanted")


def test_a_pattern_of_one_file_is_that_file(folder):
    assert only_sound("*.wav") == "a.wav"


@pytest.fixture
def pipe(folder: Path):
    """Makes a named pipe that gives the sound once."""
    threads = []

    def make(name: str = "pipe.wav") -> str:
        if not Path(name).exists():
            os.mkfifo(name)
        threads.append(threading.Thread(target=lambda: Path(name).write_bytes(Path("a.wav").read_bytes())))
        threads[-1].start()
        return name

    yield make
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("command", ["predict", "timeline"])
def test_a_pipe_is_heard_as_the_file_that_it_gives(command, folder, pipe, model, printed):
    assert printed("utf-8", command, pipe(), "--json", *model) == (
        0,
        printed("utf-8", command, "a.wav", "--json", *model)[1].replace("a.wav", "pipe.wav"),
    )


def test_a_pipe_is_decoded_as_its_file_in_memory_or_on_the_disk(folder, pipe, monkeypatch):
    wanted = load_audio("a.wav", RATE)
    np.testing.assert_array_equal(load_audio(pipe(), RATE), wanted)
    monkeypatch.setattr(pipes, "_IN_MEMORY", 1000)
    np.testing.assert_array_equal(load_audio(pipe(), RATE), wanted)


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("command", ["predict", "timeline", "explain"])
def test_standard_input_that_cannot_be_searched_is_heard_and_needs_no_file_of_a_name(
    command, folder, model, printed, monkeypatch
):
    def standard_input():
        source, sink = os.pipe()
        with os.fdopen(sink, "wb") as file:
            file.write(Path("a.wav").read_bytes()[:60_000])  # what a pipe takes at once
        return io.TextIOWrapper(os.fdopen(source, "rb"))

    monkeypatch.setattr("tempfile.NamedTemporaryFile", None)
    with standard_input() as opened:
        monkeypatch.setattr(sys, "stdin", opened)
        status, output = printed("utf-8", command, "-", *model)
    assert status == 0 and output
    if command == "explain":
        assert Path("explained.png").is_file()


def test_a_source_without_end_among_files_is_one_line(folder, model, capsys):
    assert main(["predict", "/dev/zero", "a.wav", *model]) == 2
    output = capsys.readouterr()
    assert output.out.startswith("a.wav: ") and len(output.err.splitlines()) == 1
    assert output.err.startswith("error: /dev/zero is nothing but zeros")


# Whoever writes into the pipe finds it closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_for_the_copy_of_a_pipe_names_its_folder(folder, pipe, monkeypatch):
    class Full(io.BytesIO):
        def write(self, _) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pipes, "_IN_MEMORY", 0)
    monkeypatch.setattr(pipes.tempfile, "TemporaryFile", Full)
    with pytest.raises(AudioError, match=r"cannot be copied to .* \(No space left on device\).*set TMPDIR"):
        load_audio(pipe(), RATE)


def test_a_pipe_in_a_folder_is_passed_over_and_named_as_it_might_never_end(folder):
    os.mkfifo("data/b.wav")
    with pytest.warns(UserWarning, match=r"passed over: b.wav \(a pipe or a device\)"):
        found = find_audio_files("data")
    assert {file.name for file in found} == set(NAMES)


def test_a_socket_is_no_sound(folder):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.wav")
        with pytest.raises(AudioError, match=r"s\.wav is neither a file nor a pipe"):
            load_audio("s.wav", RATE)


def test_pictures_of_standard_input_by_its_path_lie_in_the_current_folder():
    assert [picture_beside(file, "x.png") for file in ("-", "/dev/stdin", "/dev/fd/63", "d/pipe")] == [
        *["x.png"] * 3,
        "d/pipe.x.png",
    ]
