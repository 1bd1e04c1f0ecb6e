"""Commands on folders and files as people have them: other endings, links, damage, channels that cancel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs.cli import main

RATE = 16_000
SOUND = 0.1 * np.random.default_rng(0).standard_normal(4 * RATE)


@pytest.fixture
def run(tiny_classifier_folder: Path, capfd: pytest.CaptureFixture[str]):
    """Runs a command with the small model: its status, its lines on standard output, its lines on standard error."""

    def call(command: str, *arguments: object) -> tuple[int, list[str], list[str]]:
        capfd.readouterr()
        model = ["--model", str(tiny_classifier_folder), "--device", "cpu"]
        status = main([command, *(str(argument) for argument in arguments), *model])
        output = capfd.readouterr()
        return status, output.out.splitlines(), output.err.splitlines()

    return call


def scores(line: str) -> dict[str, float]:
    return {entry["label"]: entry["score"] for entry in json.loads(line)["predictions"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five sounds of any ending, two that cannot be decoded, a table, a link to more and a link to nothing."""
    for name, form in (("a.wav", "WAV"), ("c.wave", "WAV"), ("d.aifc", "AIFF"), ("e.mp2", "MP3"), ("f.snd", "AU")):
        (tmp_path / "tree").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "tree" / name, SOUND, RATE, format=form)
    (tmp_path / "tree" / "b.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    (tmp_path / "tree" / "pointer.mp3").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n")
    (tmp_path / "tree" / "labels.csv").write_text("file,label\n")
    (tmp_path / "store").mkdir()
    soundfile.write(tmp_path / "store" / "s.wav", SOUND, RATE)
    (tmp_path / "tree" / "site").symlink_to("../store", target_is_directory=True)
    (tmp_path / "tree" / "gone.wav").symlink_to("missing")
    return tmp_path / "tree"


def test_every_sound_of_a_folder_is_labelled_or_named_and_the_status_says_if_one_is_missing(folder, run):
    status, lines, errors = run("predict", folder, "--json")
    assert status == 2
    labelled = [Path(json.loads(line)["file"]).relative_to(folder).as_posix() for line in lines]
    assert labelled == ["a.wav", "c.wave", "d.aifc", "e.mp2", "f.snd", "site/s.wav"]
    assert errors == [
        f"warning: {folder}: 1 file that is not a sound was passed over: labels.csv",
        f"error: {folder}/b.m4a is MP4, M4A or 3GP, which libsndfile does not decode; convert it to WAV or FLAC, with "
        "ffmpeg for instance",
        f"error: {folder}/gone.wav is a link to missing, which does not exist; fetch or restore that",
        f"error: {folder}/pointer.mp3 is a Git LFS pointer and not the sound itself; fetch it (git lfs pull)",
    ]


def test_a_class_folder_of_other_endings_and_links_is_evaluated(folder, run):
    for name in ("b.m4a", "gone.wav", "pointer.mp3", "labels.csv"):
        (folder / name).unlink()
    folder.rename(folder.parent / "dog_bark")
    (folder.parent / "tests").mkdir()
    (folder.parent / "dog_bark").rename(folder.parent / "tests" / "dog_bark")
    (folder.parent / "tests" / "dog_bark" / "site").unlink()
    (folder.parent / "tests" / "gun_shot").symlink_to("../store", target_is_directory=True)
    status, lines, _ = run("evaluate", "--dataset", folder.parent / "tests", "--json")
    assert status == 0
    assert json.loads(lines[0])["clips"] == 6


def test_background_noise_is_found_as_sounds_are(folder, run):
    from quaclrs.augment.noise_recordings import find_noise

    for name in ("b.m4a", "gone.wav", "pointer.mp3", "labels.csv"):
        (folder / name).unlink()
    found = {Path(recording.name).name: len(recording.read(RATE)) for recording in find_noise(folder)}
    assert set(found) == {"a.wav", "c.wave", "d.aifc", "e.mp2", "f.snd", "s.wav"}


@pytest.fixture
def inverted(tmp_path: Path) -> Path:
    """A recording whose channels are of opposite sign, and beside it each channel alone."""
    soundfile.write(tmp_path / "mono.wav", SOUND, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "inverted.wav", np.stack([SOUND, -SOUND], axis=1), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "silent.wav", 0 * SOUND, RATE, subtype="FLOAT")
    return tmp_path / "inverted.wav"


@pytest.mark.usefixtures("few_draws")
def test_channels_that_cancel_give_the_label_of_one_of_them_and_a_warning_everywhere(inverted, run):
    mono, silent = inverted.with_name("mono.wav"), inverted.with_name("silent.wav")
    for command in ("predict", "timeline"):
        status, wanted, warnings = run(command, mono, "--json")
        assert (status, warnings) == (0, [])
        status, found, warnings = run(command, inverted, "--json")
        assert status == 0
        assert [line.replace("inverted", "mono") for line in found] == wanted
        assert len(warnings) == 1 and warnings[0].startswith(f"warning: {inverted}: its channels cancel")
        status, chosen, warnings = run(command, inverted, "--json", "--channel", "left")
        assert (status, [line.replace("inverted", "mono") for line in chosen], warnings) == (0, wanted, [])
    status, _, warnings = run("explain", inverted)
    assert status == 0 and len(warnings) == 1 and "its channels cancel" in warnings[0]
    assert run("explain", inverted, "--channel", "left")[2] == []
    _, mixed, warnings = run("predict", inverted, "--json", "--channel", "mean")
    assert warnings == [] and scores(mixed[0]) == scores(run("predict", silent, "--json")[1][0])


def test_evaluate_hears_the_channel_that_is_asked_for(inverted, run):
    (inverted.parent / "data" / "dog_bark").mkdir(parents=True)
    inverted.rename(inverted.parent / "data" / "dog_bark" / "inverted.wav")
    results = {}
    for channel in ("left", "right", "mean"):
        status, lines, warnings = run("evaluate", "--dataset", inverted.parent / "data", "--json", "--channel", channel)
        assert status == 0 and not [line for line in warnings if line.startswith("warning")]
        results[channel] = json.loads(lines[0])
    assert len({json.dumps(result) for result in results.values()}) >= 2


@pytest.mark.parametrize("channel", ["side", "0", "-1"])
def test_what_names_no_channel_is_refused_before_anything_is_heard(channel, inverted, run):
    status, lines, errors = run("predict", inverted, f"--channel={channel}")
    assert (status, lines, len(errors)) == (2, [], 1)
    assert "neither a number from 1 nor left, right or mean" in errors[0]


def test_a_channel_that_a_file_lacks_names_the_file(inverted, run):
    status, lines, errors = run("predict", inverted, "--channel", "3")
    assert (status, lines) == (2, [])
    assert errors == [f"error: {inverted}: channel 3 does not exist among 2; choose another, or mean"]


def test_a_damaged_file_is_labelled_with_one_warning_and_status_0(tmp_path, run):
    soundfile.write(tmp_path / "whole.flac", np.tile(SOUND, 5), RATE)
    content = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(content[: len(content) // 3])
    for command in ("predict", "timeline"):
        status, lines, warnings = run(command, tmp_path / "cut.flac")
        assert status == 0 and lines
        assert len(warnings) == 1
        assert warnings[0].startswith(f"warning: {tmp_path}/cut.flac is damaged or cut short: 13.")


@pytest.mark.parametrize("command", ["predict", "timeline", "explain"])
def test_samples_that_overflow_are_refused_in_one_line(command, tmp_path, run):
    soundfile.write(tmp_path / "loud.wav", (1e20 * SOUND).astype(np.float32), RATE, subtype="FLOAT")
    status, lines, errors = run(command, tmp_path / "loud.wav")
    assert (status, lines, len(errors)) == (2, [], 1)
    assert errors[0].startswith(f"error: {tmp_path}/loud.wav holds samples beyond 1e+15")
