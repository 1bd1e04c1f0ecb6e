"""What to label next, and what sounds like a clip."""

from __future__ import annotations

import csv
import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_sounds import RATE, sound_of, write_sounds

from quaclrs.cli import main
from quaclrs.errors import QuaclrsError
from quaclrs.learning import learn
from quaclrs.learning import suggest as suggesting
from quaclrs.learning.search import nearest, search
from quaclrs.learning.suggest import Suggestion, needs, spread_out, suggest


def test_what_a_model_is_sure_of_is_needed_less_and_rare_classes_more():
    scores = np.array([[0.98, 0.01, 0.01]] * 6 + [[0.5, 0.3, 0.2]] + [[0.2, 0.5, 0.3]])
    need = needs(scores)
    assert need[6] > need[0]
    assert need[7] > need[6]  # as unsure, and of a class that hardly occurs


def test_no_two_suggestions_are_of_one_sound():
    rng = np.random.default_rng(0)
    features = np.repeat(rng.standard_normal((4, 16)), 25, axis=0) + 0.01 * rng.standard_normal((100, 16))
    chosen = spread_out(np.linspace(1, 0.5, 100), features, 4)
    assert {int(i) // 25 for i in chosen} == {0, 1, 2, 3}


def test_windows_are_cut_to_folders_of_guesses_and_are_learned_from_where_they_were_moved(
    tmp_path, sounds, learned, cache, capsys
):
    recordings = tmp_path / "unlabelled"
    recordings.mkdir()
    for place, kind in enumerate(("hum", "clicks")):
        soundfile.write(recordings / f"{kind} outside.wav", sound_of(kind, 60 + place, 13.0), RATE)
    arguments = ["--model", str(learned.folder), "-n", "4", "--output", str(tmp_path / "review")]
    assert main(["suggest", str(recordings), *arguments]) == 0
    clips = sorted((tmp_path / "review").rglob("*.wav"))
    assert len(clips) == 4
    with (tmp_path / "review" / "suggestions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        whole, _ = soundfile.read(row["cut_from"])
        cut, rate = soundfile.read(tmp_path / "review" / row["clip"])
        first = round(float(row["start"]) * rate)
        np.testing.assert_allclose(cut, whole[first : first + len(cut)], atol=1e-4)
        assert Path(row["clip"]).parent.name == row["guess"]
    right = tmp_path / "review" / "hum"
    right.mkdir(exist_ok=True)
    for clip in clips:
        if clip.name.startswith("hum") and clip.parent != right:
            shutil.move(clip, right / clip.name)
        elif clip.name.startswith("clicks"):
            clip.unlink()
    for kind in ("clicks", "hiss", "other"):
        if (tmp_path / "review" / kind).is_dir() and not any((tmp_path / "review" / kind).iterdir()):
            (tmp_path / "review" / kind).rmdir()
    report = learn([sounds, tmp_path / "review"], cache=cache).report
    hums = next(entry for entry in report.worth.classes if entry.label == "hum")
    assert hums.clips == 5 + sum(clip.name.startswith("hum") for clip in clips)
    assert hums.recordings <= 6  # windows of one recording are never told apart
    capsys.readouterr()
    assert main(["suggest", str(recordings), *arguments]) == 2
    assert "is not empty; choose another --output" in capsys.readouterr().err


def test_windows_to_review_are_all_there_or_none(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", sound_of("hum", 0, 9.0), RATE)
    windows = [Suggestion(tmp_path / "a.wav", start, start + 3, "hum", 0.5, 0.5) for start in (0.0, 3.0)]
    read = suggesting.read_part

    def fills_up(file, start, end):
        if start:
            raise OSError(errno.ENOSPC, "No space left on device")
        return read(file, start, end)

    monkeypatch.setattr(suggesting, "read_part", fills_up)
    with pytest.raises(QuaclrsError, match="review cannot be written"):
        suggesting.write_review(windows, tmp_path / "review", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    monkeypatch.undo()
    clips = suggesting.write_review(windows, tmp_path / "review", tmp_path)
    assert [clip.relative_to(tmp_path).as_posix() for clip in clips] == [
        "review/hum/a__0.wav",
        "review/hum/a__3000.wav",
    ]
    assert all(clip.is_file() for clip in clips)


def test_nearest_rows_are_those_of_a_plain_comparison():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((70_000, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = vectors[[5, 69_000]]
    rows, cosines = nearest(vectors, queries, 20)
    plain = (vectors @ queries.T).max(axis=1)
    np.testing.assert_allclose(np.sort(plain)[::-1][:20], cosines, atol=1e-5)
    assert {5, 69_000} == set(rows[:2].tolist())


def test_what_sounds_alike_comes_first_and_the_index_follows_the_files(tmp_path, cache):
    folder = write_sounds(tmp_path / "archive", 4)
    query = tmp_path / "query.wav"
    soundfile.write(query, sound_of("clicks", 90), RATE)
    found = search(query, folder, 4, cache=cache)
    assert [match.file.parent.name for match in found] == ["clicks"] * 4
    assert found == search(query, folder, 4, cache=cache)
    shutil.copy(query, folder / "hum" / "moved here.wav")
    best = search(query, folder, 1, cache=cache)[0]
    assert best.file.name == "moved here.wav"
    assert best.similarity == pytest.approx(1.0, abs=1e-3)
    (folder / "hum" / "moved here.wav").unlink()
    assert search(query, folder, 4, cache=cache) == found
    inside = found[0].file
    assert inside not in [match.file for match in search(inside, folder, 20, cache=cache)]


def test_a_search_for_silence_and_folders_without_sounds_are_one_clear_line(tmp_path, cache, sounds):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    with pytest.raises(QuaclrsError, match="is silent; give a clip"):
        search(tmp_path / "silent.wav", sounds, cache=cache)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(QuaclrsError, match="holds no sounds"):
        search(next((sounds / "hum").iterdir()), empty, cache=cache)
    with pytest.raises(QuaclrsError, match="holds no sounds"):
        suggest(empty, None, cache=cache)
    with pytest.raises(QuaclrsError, match="-n is 0"):
        suggest(sounds, None, 0, cache=cache)


def test_a_long_clip_in_the_folder_that_is_searched_leaves_room_for_others(tmp_path, cache):
    soundfile.write(tmp_path / "long.wav", sound_of("hum", 3, 30 * 4.0), RATE)
    write_sounds(tmp_path / "others", 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quaclrs.learning.search._WHOLE", 8)
        patch.setattr("quaclrs.learning.search._WHOLE_EACH", 1)
        found = search(tmp_path / "long.wav", tmp_path, count=8, cache=cache)
    assert len(found) == 8
    assert not any(match.file.name == "long.wav" for match in found)
    assert {match.file.parent.name for match in found[:3]} == {"hum"}
