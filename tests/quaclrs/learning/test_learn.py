"""From a folder of clips to a model that loads like any other, and what it says of itself."""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
import soxr
from made_sounds import RATE, sound_of, write_sounds

import quaclrs
from quaclrs import files, load_classifier
from quaclrs.cli import main
from quaclrs.default_model import DEFAULT_MODEL
from quaclrs.errors import QuaclrsError, QuaclrsWarning
from quaclrs.evaluation.training_data import TrainingData
from quaclrs.learning import learn, saving
from quaclrs.learning.background import packaged_background
from quaclrs.learning.embeddings import digest_of_encoder
from quaclrs.learning.worth import judge
from quaclrs.locks import only_writer
from quaclrs.saved_model import open_saved_model


def labels_of(classifier, kinds=("hum", "hiss", "clicks"), seed: int = 77) -> list[str]:
    return [classifier.predict(sound_of(kind, seed), RATE, top_k=1)[0]["label"] for kind in kinds]


def street_sounds(shared_data: Path, step: int) -> list[str]:
    """Clips of UrbanSound8K."""
    files = [str(file) for file in sorted((shared_data / "UrbanSound8K" / "audio" / "fold1").iterdir())[::step]]
    assert len(files) > 10
    return files


def test_what_was_learned_is_named_and_other_sounds_are_not(learned, shared_data):
    classifier, report = learned.classifier, learned.report
    assert classifier.labels == ["clicks", "hiss", "hum", "other"]
    assert labels_of(classifier) == ["hum", "hiss", "clicks"]
    assert report.worth.accuracy is not None and report.worth.accuracy >= 0.8
    low, high = report.worth.interval
    assert low <= report.worth.accuracy <= high
    streets = street_sounds(shared_data, 60)
    named = [prediction[0]["label"] for prediction in classifier.predict(streets, top_k=1)]
    assert named.count("other") > 0.8 * len(streets)


def test_it_is_a_model_for_every_door(learned):
    rate = 48_000  # each door resamples in its own way
    sounds = [soxr.resample(sound_of(kind, 5), RATE, rate).astype(np.float32) for kind in ("hum", "hiss", "clicks")]
    by_onnx = load_classifier(learned.folder, backend="onnx")
    by_torch = load_classifier(learned.folder, backend="torch")
    wanted = by_onnx.probabilities(sounds, rate)
    np.testing.assert_allclose(by_torch.probabilities(sounds, rate), wanted, atol=2e-4)

    from transformers import pipeline

    import quaclrs.auto  # noqa: F401

    pipe = pipeline("audio-classification", model=str(learned.folder))
    for sound, scores in zip(sounds, wanted, strict=True):
        best = pipe({"raw": sound, "sampling_rate": rate})[0]
        assert best["label"] == by_onnx.labels[int(scores.argmax())]
        assert best["score"] == pytest.approx(scores.max(), abs=2e-3)


def test_encoder_and_licence_are_those_of_the_base(learned):
    base, own = open_saved_model(), open_saved_model(learned.folder)
    assert digest_of_encoder(base) == digest_of_encoder(own)
    assert (learned.folder / "LICENSE").read_bytes() == (DEFAULT_MODEL / "LICENSE").read_bytes()
    card = (learned.folder / "README.md").read_text(encoding="utf-8")
    assert "license: cc-by-nc-4.0" in card
    assert "| hum " in card
    for file in learned.folder.glob("*.[jhmR]*"):
        if file.suffix in (".json", ".html", ".md"):
            assert str(learned.folder.parent.parent) not in file.read_text(encoding="utf-8"), file  # no place of a disk


def test_clips_that_were_learned_are_known_again_under_other_names_and_those_of_the_base_too(
    learned, sounds, tmp_path, capsys
):
    (tmp_path / "hum").mkdir()
    for name, file in enumerate(sorted((sounds / "hum").iterdir())[:2]):
        samples, rate = soundfile.read(file, dtype="int16")
        soundfile.write(tmp_path / "hum" / f"{name}.flac", samples, rate)
    soundfile.write(tmp_path / "hum" / "new.wav", sound_of("hum", 60), RATE)
    assert main(["evaluate", "--model", str(learned.folder), "--dataset", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["held_out"], told["heard_clips"], told["clips"]) == (False, 2, 3)
    assert "it has trained on every clip of my sounds" in told["warnings"][0]
    base, own = (open_saved_model(model).options["training_data"] for model in (None, learned.folder))
    assert own["trainings"][:-1] == base["trainings"] and len(base["trainings"]) > 0
    assert own["complete"] is True
    heard = TrainingData.of_model(own)
    assert np.isin(TrainingData.of_model(base).contents, heard.contents).all()


def test_a_file_of_minutes_is_learned_from_and_cannot_be_known_again(tmp_path):
    tone = np.sin(np.arange(61 * 8000) / 5)
    soundfile.write(tmp_path / "long.flac", tone, 8000)
    soundfile.write(tmp_path / "7-3-0-2.flac", tone, 8000)  # by the number of its recording it can
    soundfile.write(tmp_path / "short.flac", tone[: 59 * 8000], 8000)
    of_all, of_two = (
        TrainingData.of_files([tmp_path / f"{name}.flac" for name in names], "mine")
        for names in (("short", "7-3-0-2", "long"), ("short", "7-3-0-2"))
    )
    assert (of_all.complete, of_two.complete) == (False, True)
    assert of_two.has_heard_files(["elsewhere/7-3-0-9.wav", "short.flac"]).tolist() == [True, False]
    assert len(of_all.contents) == 1


def test_the_report_is_one_page_with_its_pictures_inside(learned):
    page = (learned.folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert not re.search(r"(src|href)=", page)
    summary = json.loads((learned.folder / "learned.json").read_text(encoding="utf-8"))
    assert summary["clips"] == 15
    counts = np.array(summary["confusion"]["counts"])
    assert counts.sum() == summary["tested"]["clips"] == 15
    columns = summary["confusion"]["columns"]
    right = sum(counts[row, columns.index(entry["label"])] for row, entry in enumerate(summary["classes"]))
    assert right / 15 == pytest.approx(summary["accuracy"])


def test_a_mislabelled_clip_is_named(tmp_path, cache):
    write_sounds(tmp_path, 8)
    soundfile.write(tmp_path / "hum" / "wrong.wav", sound_of("hiss", 50), RATE)
    suspects = learn(tmp_path, cache=cache).report.worth.suspects
    assert (Path(suspects[0].name).name, suspects[0].label, suspects[0].heard) == ("wrong.wav", "hum", "hiss")


def test_classes_are_added_to_those_of_the_base(tmp_path, cache, shared_data):
    write_sounds(tmp_path, 5)
    learned = learn(tmp_path, keep_classes=True, cache=cache)
    assert learned.classifier.labels == [*load_classifier().labels[:-1], "clicks", "hiss", "hum", "other"]
    assert labels_of(learned.classifier) == ["hum", "hiss", "clicks"]
    files = street_sounds(shared_data, 30)
    before, after = (
        [prediction[0]["label"] for prediction in classifier.predict(files, top_k=1)]
        for classifier in (load_classifier(), learned.classifier)
    )
    assert sum(a == b for a, b in zip(before, after, strict=True)) >= 0.9 * len(files)


def test_the_background_in_the_package_is_of_the_encoder_in_the_package():
    background = packaged_background(open_saved_model())
    assert background is not None
    assert len(set(background.kinds.tolist())) > 30
    assert np.isfinite(background.vectors).all()


def test_kinds_of_background_that_sound_like_a_class_are_left_out(tmp_path, cache, shared_data):
    for kind, name in (("rain", "Regen"), ("clock_tick", "Uhr")):
        (tmp_path / name).mkdir()
        for file in sorted((shared_data / "ESC-50" / "audio" / kind).glob("*.ogg"))[:12]:
            (tmp_path / name / file.name).symlink_to(file)
    dropped = learn(tmp_path, cache=cache).report.background_dropped
    assert dropped.get("rain") == "Regen"
    assert set(dropped.values()) <= {"Regen", "Uhr"}


def test_learning_needs_no_torch(sounds, tmp_path):
    code = (
        "import sys, quaclrs\n"
        f"learned = quaclrs.learn({str(sounds)!r}, {str(tmp_path / 'model')!r})\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pandas', 'pyarrow', 'librosa', 'matplotlib', 'sklearn'}\n"
        "print('imported:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "imported: []"


def test_the_command_says_what_the_model_is_worth(sounds, tmp_path, capsys):
    output = tmp_path / "my model"
    assert main(["learn", str(sounds), "--output", str(output)]) == 0
    told = capsys.readouterr().out
    assert "3 classes from 15 clips" in told
    assert "Accuracy" in told
    assert main(["learn", str(sounds), "--output", str(output), "--json"]) == 0  # an older model is replaced
    assert json.loads(capsys.readouterr().out)["labels"] == ["clicks", "hiss", "hum", "other"]
    file = next((sounds / "hum").iterdir())
    assert main(["predict", str(file), "--model", str(output), "--top-k", "1"]) == 0
    assert "hum" in capsys.readouterr().out
    assert main(["timeline", str(file), "--model", str(output)]) == 0
    assert "hum" in capsys.readouterr().out


# Bad input: a defined result or one clear line.


def test_one_class_is_told_from_the_background_and_is_refused_without_any(tmp_path, cache):
    write_sounds(tmp_path / "all", 5)
    (tmp_path / "all" / "hum").rename(tmp_path / "hum")
    only = tmp_path / "one"
    only.mkdir()
    (tmp_path / "hum").rename(only / "hum")
    assert learn(only, cache=cache).classifier.labels == ["hum", "other"]
    with pytest.raises(QuaclrsError, match="hum is the only class; give a second one, or --background"):
        learn(only, cache=cache, own_background=False)


def test_a_class_with_one_clip_is_learned_and_said_to_be_unjudged(tmp_path, cache):
    write_sounds(tmp_path, 4)
    for file in sorted((tmp_path / "hum").iterdir())[1:]:
        file.unlink()
    report = learn(tmp_path, cache=cache).report
    entry = next(entry for entry in report.worth.classes if entry.label == "hum")
    assert (entry.clips, entry.recall, entry.judged) == (1, None, "one recording: cannot be judged")
    assert "hum (one recording: cannot be judged)" in _page_of(report)


def test_classes_of_one_clip_each_are_learned_without_any_figure(tmp_path, cache):
    write_sounds(tmp_path, 1)
    learned = learn(tmp_path, cache=cache)
    assert learned.report.worth.accuracy is None
    assert "nothing could be held out" in _page_of(learned.report)
    assert labels_of(learned.classifier, seed=0) == ["hum", "hiss", "clicks"]


def _page_of(report) -> str:
    from quaclrs.learning.page import report_page

    return report_page(report)


def test_one_sound_under_two_labels_is_left_out_and_both_names_are_told(tmp_path, cache):
    write_sounds(tmp_path, 3)
    for name in ("hum/twice.wav", "hiss/again.wav"):
        soundfile.write(tmp_path / name, sound_of("hum", 40), RATE)
    with pytest.warns(QuaclrsWarning) as warned:
        report = learn(tmp_path, cache=cache).report
    told = [str(w.message) for w in warned]
    assert len(told) == 2
    assert re.search(r"again.wav is the same sound as .*twice.wav, which is labelled hum", told[0])
    assert report.clips == 9


def test_silence_and_broken_files_are_left_out(tmp_path, cache):
    write_sounds(tmp_path, 3)
    soundfile.write(tmp_path / "hum" / "silent.wav", np.zeros(RATE), RATE)
    (tmp_path / "hum" / "broken.wav").write_bytes(b"RIFF no sound")
    with pytest.warns(QuaclrsWarning) as warned:
        report = learn(tmp_path, cache=cache).report
    told = " ".join(str(w.message) for w in warned)
    assert "silent.wav is silent" in told
    assert "broken.wav" in told
    assert len(report.left_out) == 2
    assert report.clips == 9


def test_a_class_of_which_nothing_can_be_heard_is_named(tmp_path, cache):
    write_sounds(tmp_path, 3)
    (tmp_path / "quiet").mkdir()
    soundfile.write(tmp_path / "quiet" / "a.wav", np.zeros(RATE), RATE)
    with pytest.warns(QuaclrsWarning, match="a.wav is silent"), pytest.raises(QuaclrsError, match="no clip of quiet"):
        learn(tmp_path, cache=cache)


def test_kinds_of_background_with_the_name_of_a_class_are_told(tmp_path, cache, capsys):
    write_sounds(tmp_path / "sounds", 3)
    (tmp_path / "sounds" / "hum").rename(tmp_path / "sounds" / "Rain")
    report = learn(tmp_path / "sounds", tmp_path / "model", cache=cache).report
    assert report.background_dropped == {"rain": "Rain"}
    assert "rain" not in report.background_kinds
    assert "rain was left out, as it is the class Rain." in (tmp_path / "model" / "report.html").read_text()


def test_nothing_but_silence_is_one_clear_line(tmp_path, cache):
    (tmp_path / "hum").mkdir()
    soundfile.write(tmp_path / "hum" / "a.wav", np.zeros(RATE), RATE)
    with pytest.warns(QuaclrsWarning), pytest.raises(QuaclrsError, match="no sound of a class can be heard"):
        learn(tmp_path, cache=cache)


def test_a_label_named_other_is_background(tmp_path, cache):
    write_sounds(tmp_path, 5)
    (tmp_path / "hiss").rename(tmp_path / "other")
    learned = learn(tmp_path, cache=cache)
    assert learned.classifier.labels == ["clicks", "hum", "other"]
    assert labels_of(learned.classifier) == ["hum", "other", "clicks"]


def test_labels_of_any_alphabet_reach_card_report_and_predictions(tmp_path, cache):
    write_sounds(tmp_path / "in", 3)
    for kind, name in (("hum", "トラム & <b>"), ("hiss", "Straßen|Rauschen"), ("clicks", "a b")):
        (tmp_path / "in" / kind).rename(tmp_path / "in" / name)
    learned = learn(tmp_path / "in", tmp_path / "out", cache=cache)
    assert labels_of(learned.classifier, seed=1) == ["トラム & <b>", "Straßen|Rauschen", "a b"]
    assert "トラム &amp; &lt;b&gt;" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    table = [
        line for line in (tmp_path / "out" / "README.md").read_text(encoding="utf-8").splitlines() if line[:1] == "|"
    ]
    assert any("トラム &amp; &lt;b&gt;" in line for line in table) and not any("<b>" in line for line in table)


def test_the_learning_curve_ends_at_the_accuracy_that_is_told_and_more_labels_make_it_no_worse(learned):
    report = learned.report
    assert report.curve.points[-1][1] == pytest.approx(report.worth.accuracy)
    assert report.curve.twice >= report.worth.accuracy


def test_a_handful_of_right_answers_has_the_interval_of_so_many_and_not_none_at_all():
    def worth(right: list[bool], recordings: list[str]):
        scores = np.array([[0.9, 0.1] if answer else [0.1, 0.9] for answer in right])
        names = np.array(recordings, dtype=object)
        return judge(scores, np.zeros(len(right), int), names, recordings, ["hum", "other"], [0])

    for count, ends in ((8, (0.6306, 1.0)), (5, (0.4782, 1.0))):  # scipy.stats.binomtest(8, 8)
        found = worth([True] * count, [f"r{place}" for place in range(count)])
        assert found.interval == found.classes[0].interval == pytest.approx(ends, abs=1e-4)
    assert worth([False] * 8, [f"r{place}" for place in range(8)]).interval == pytest.approx((0.0, 0.3694), abs=1e-4)
    assert worth([True] * 16, [f"r{place // 2}" for place in range(16)]).interval[0] == pytest.approx(0.6306, abs=1e-4)


def test_a_model_that_another_process_is_learning_is_left_to_it(tmp_path, sounds, cache):
    with (
        only_writer(tmp_path / "model", "--output"),
        pytest.raises(QuaclrsError, match=r"model is being written by another process; .*another --output"),
    ):
        learn(sounds, tmp_path / "model", cache=cache)
    learn(sounds, tmp_path / "model", cache=cache)


@pytest.mark.parametrize("what", ["file", "folder of something else"])
def test_what_is_in_the_way_of_the_model_is_left_alone(tmp_path, sounds, cache, what):
    output = tmp_path / "taken"
    output.write_text("mine") if what == "file" else (output.mkdir(), (output / "mine.txt").write_text("mine"))
    with pytest.raises(QuaclrsError, match="choose another --output"):
        learn(sounds, output, cache=cache)
    assert output.exists()


def test_a_background_folder_without_sounds_is_one_clear_line(sounds, tmp_path, cache):
    (tmp_path / "empty").mkdir()
    with pytest.raises(QuaclrsError, match=r"--background .*empty holds no sounds"):
        learn(sounds, background=(tmp_path / "empty",), cache=cache)
    with pytest.raises(QuaclrsError, match=r"--unlabelled .*empty holds no sounds"):
        learn(sounds, unlabelled=tmp_path / "empty", cache=cache)


def test_folders_that_are_not_there_are_named_before_anything_is_heard(sounds, tmp_path):
    for option in ("background", "unlabelled"):
        value = (tmp_path / "nosuch",) if option == "background" else tmp_path / "nosuch"
        with pytest.raises(QuaclrsError, match=f"^--{option} .*nosuch is not a folder"):
            learn(sounds, cache=tmp_path / "cache", **{option: value})
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("Dog bark", "dog_bark"), "'dog_bark' and 'Dog bark' differ only in writing; name both 'Dog bark'"),
        (("hum", "Other"), "'Other' and 'other' differ only in writing; name both 'other'"),
        (("hum", "Silence"), "'Silence' is an answer for what nobody hears or knows"),
        (("hum", "unsure"), "'unsure' is an answer"),
        (("hum", "car\\truck"), "'car\\\\truck' can name no folder"),
    ],
)
def test_labels_that_answers_could_not_keep_apart_are_refused(tmp_path, labels, words):
    for label in labels:
        (tmp_path / "sounds" / label).mkdir(parents=True)
        soundfile.write(tmp_path / "sounds" / label / "a.wav", sound_of("hum", 1), RATE)
    with pytest.raises(QuaclrsError, match=re.escape(words)):
        learn(tmp_path / "sounds", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_long_clip_counts_where_it_is_loud(tmp_path, cache):
    """Half a minute with a hum in its middle and near silence around it."""
    write_sounds(tmp_path, 4)
    for seed in (20, 21):
        long = 1e-3 * np.random.default_rng(seed).standard_normal(30 * RATE)
        long[14 * RATE : 20 * RATE] += sound_of("hum", seed, 6.0)
        soundfile.write(tmp_path / "hum" / f"long-{seed}.wav", long, RATE)
    assert labels_of(learn(tmp_path, cache=cache).classifier) == ["hum", "hiss", "clicks"]


def test_the_function_is_public():
    assert quaclrs.learn is learn


def test_more_is_learned_into_the_folder_of_the_base_or_nothing_changes(tmp_path, cache, learned, monkeypatch):
    model = tmp_path / "model"
    shutil.copytree(learned.folder, model)
    write_sounds(tmp_path / "more", 3, first=20)
    (tmp_path / "more" / "hum").rename(tmp_path / "more" / "drone")
    options = {"keep_classes": True, "cache": cache, "model": model}
    with monkeypatch.context() as full_disk:
        full_disk.setattr(saving, "_write_json", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(QuaclrsError, match="No space left"):
            learn(tmp_path / "more", model, **options)
    assert load_classifier(model).labels == learned.classifier.labels
    (model / "notes").mkdir()
    (model / "notes" / "mine.txt").write_text("years of work")
    more = learn(tmp_path / "more", model, **options)
    assert (model / "notes" / "mine.txt").read_text() == "years of work"
    assert set(more.classifier.labels) == {*learned.classifier.labels, "drone"}
    assert labels_of(load_classifier(model), ("hiss", "clicks")) == ["hiss", "clicks"]
    place, weights = model.stat().st_ino, (model / "model.safetensors").read_bytes()
    for module in (files, saving):  # as on a mounted disk
        monkeypatch.setattr(module, "must_stay", lambda folder: True)
    learn(tmp_path / "more", model, **{**options, "keep_classes": False})
    assert (model / "notes" / "mine.txt").read_text() == "years of work"
    assert model.stat().st_ino == place
    assert (model / "model.safetensors").read_bytes() != weights
    assert not [entry for folder in (tmp_path, model) for entry in folder.iterdir() if entry.name.startswith(".")]
