"""The Space over its API, its metadata as the Hub reads them, and its publishing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub_stand_in import WRITER
from huggingface_hub import RepoCard

from quaclrs import load_classifier
from quaclrs.audio import find_audio_files, read_recording

gradio_client = pytest.importorskip("gradio_client")

SPACE = Path(__file__).parents[2] / "spaces"


def ask(space: str, file: Path) -> tuple[dict, dict]:
    client = gradio_client.Client(space, verbose=False)
    return client.predict(gradio_client.handle_file(str(file)), api_name="/predict")


@pytest.mark.parametrize(("kind", "seconds"), [("noise", 3), ("street", 15)])
def test_the_api_takes_a_file_alone_and_answers_as_the_library_does(kind, seconds, space, sounds):
    answer, times = ask(space, sounds[kind])
    assert times == {"heard": seconds, "duration": seconds}
    expected = load_classifier(device="cpu").predict(sounds[kind], top_k=5)
    assert answer["label"] == expected[0]["label"]
    assert [(c["label"], c["confidence"]) for c in answer["confidences"]] == [
        (e["label"], pytest.approx(e["score"], abs=1e-4)) for e in expected
    ]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("silent", "silent.flac is silent: nothing can be heard in it"),
        ("no sound", "no_sound.wav is text, no sound"),
        ("long", "long.flac lasts 10 minutes; give 10 at most"),
    ],
)
def test_a_file_that_cannot_be_listened_to_is_answered_with_a_message_and_no_path_of_the_server(
    kind, words, space, sounds
):
    with pytest.raises(gradio_client.exceptions.AppError) as error:
        ask(space, sounds[kind])
    assert words in str(error.value)
    assert "/tmp" not in str(error.value) and "Traceback" not in str(error.value)


@pytest.mark.parametrize(("name", "label"), [("101415-3-0-2", "dog_bark"), ("71087-4-0-0", "drilling")])
def test_a_real_recording_gets_its_right_label(name, label, space, shared_data):
    assert ask(space, shared_data / "formats" / f"{name}.wav")[0]["label"] == label


def test_many_at_once_each_get_their_own_answer(space, sounds):
    expected = {kind: ask(space, sounds[kind])[0]["label"] for kind in ("noise", "street")}
    kinds = ["noise", "street"] * 6
    with ThreadPoolExecutor(12) as clients:
        found = list(clients.map(lambda kind: ask(space, sounds[kind])[0]["label"], kinds))
    assert found == [expected[kind] for kind in kinds]


def test_the_metadata_are_those_of_a_gradio_space():
    data = RepoCard.load(SPACE / "README.md", repo_type="space").data
    assert (data.sdk, data.app_file) == ("gradio", "app.py")
    assert data.sdk_version.split(".")[0] == "6" and len(data.short_description) <= 60
    assert "quaclrs" in (SPACE / "requirements.txt").read_text()


def test_examples_are_short_sounds_that_can_be_decoded():
    files = find_audio_files(SPACE / "examples")
    assert len(files) >= 3
    for file in files:
        assert 0.5 < read_recording(file).duration <= 4 and file.stat().st_size < 100_000


def test_the_space_is_published_in_one_commit_without_its_own_publisher(hub_stand_in, tmp_path):
    command = [str(SPACE / "push.py"), "--repo", "ns/space"]
    process = hub_stand_in.run_client(*command, home=tmp_path, token=WRITER)
    assert process.returncode == 0, process.stderr
    files = hub_stand_in.repos["spaces", "ns/space"].commits[-1].files
    assert {"app.py", "analysis.py", "README.md", "requirements.txt", "packages.txt"} <= set(files)
    assert "push.py" not in files
    for name in ("app.py", "README.md"):
        assert files[name].content == (SPACE / name).read_bytes()
