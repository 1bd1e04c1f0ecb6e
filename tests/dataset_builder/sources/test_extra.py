"""Classes of one's own, from a folder of sounds to a model that predicts them."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_build import build, rows_of, write_noise, write_sirennet

from dataset_builder.__main__ import main
from dataset_builder.recordings.assignment import assign_recordings_and_folds
from dataset_builder.sources.extra import scan_extras
from quaclrs import load_urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES


def write_class(folder: Path, count: int, first_seed: int = 0) -> Path:
    for i in range(count):
        write_noise(folder / f"day{i % 2}" / f"clip{i}.wav", seed=first_seed + i, seconds=1.0)
    return folder


def write_table(folder: Path, *rows: dict[str, object]) -> Path:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.wav"))


def test_a_class_of_ones_own_joins_the_thirteen_in_alphabetical_order(tmp_path):
    new = write_sirennet(tmp_path / "new", {"traffic": 2})
    saws = write_class(tmp_path / "saws", 3)
    assert build(None, new, tmp_path / "built", "--extra", f"chain_saw={saws}") == 0
    clips = load_urbansound13(tmp_path / "built")
    names = clips.features["label"].names
    assert names == sorted([*CLASS_NAMES, "chain_saw"])
    assert Counter(names[label] for label in clips["label"]) == {"traffic": 2, "chain_saw": 3}
    of_saws = {row["clip_id"]: row for row in rows_of(tmp_path / "built") if row["source"] == "extra"}
    assert set(of_saws) == {f"extra/chain_saw/day{i % 2}/clip{i}" for i in range(3)}
    assert {row["licence"] for row in of_saws.values()} == {"unknown"}
    assert "own" in of_saws["extra/chain_saw/day0/clip0"]["attribution"]


def test_several_classes_and_no_published_source_will_do(tmp_path):
    folders = {name: write_class(tmp_path / name, 2, seed) for name, seed in (("zebra", 0), ("ant", 10))}
    extras = [argument for name, folder in folders.items() for argument in ("--extra", f"{name}={folder}")]
    assert build(None, None, tmp_path / "built", *extras) == 0
    names = load_urbansound13(tmp_path / "built").features["label"].names
    assert names == sorted([*CLASS_NAMES, "ant", "zebra"])


def test_without_recording_ids_copies_share_a_recording_and_recordings_are_dealt_to_ten_folds(tmp_path):
    saws = write_class(tmp_path / "saws", 20)
    samples, rate = soundfile.read(saws / "day0" / "clip0.wav")
    soundfile.write(saws / "quieter copy.flac", 0.5 * samples, rate)
    assert build(None, None, tmp_path / "built", "--extra", f"saw={saws}") == 0
    rows = {row["clip_id"].removeprefix("extra/saw/"): row for row in rows_of(tmp_path / "built")}
    assert rows["quieter copy"]["recording_id"] == rows["day0/clip0"]["recording_id"]
    assert rows["quieter copy"]["fold"] == rows["day0/clip0"]["fold"]
    assert len({row["recording_id"] for row in rows.values()}) == 20
    folds_of = {row["recording_id"]: row["fold"] for row in rows.values()}
    assert Counter(folds_of.values()) == dict.fromkeys(range(1, 11), 2)


def test_a_table_as_datasets_has_it_tells_as_much(tmp_path):
    saws = write_class(tmp_path / "saws", 2)
    write_table(saws, *({"file_name": name, "recording_id": "r", "label": "Saw"} for name in files_of(saws)))
    assert [clip.recording_id for clip in scan_extras({"saw": saws}).clips] == ["extra/r"] * 2


def test_of_sounds_that_a_table_labels_a_class_has_those_of_its_name(tmp_path):
    esc50 = tmp_path / "ESC-50"
    labels = {"1-1-A-41": "chainsaw", "1-2-A-0": "dog", "2-3-A-41": "chainsaw"}
    for seed, name in enumerate(labels):
        write_noise(esc50 / "audio" / f"{name}.wav", seed=seed, seconds=0.2)
    (esc50 / "meta").mkdir()
    rows = [f"{name}.wav,{label}" for name, label in labels.items()]
    (esc50 / "meta" / "esc50.csv").write_text("\n".join(["filename,category", *rows]))
    report = scan_extras({"chainsaw": esc50})
    assert [Path(clip.clip_id).name for clip in report.clips] == ["1-1-A-41", "2-3-A-41"]
    assert report.notes == ["chainsaw: 2 sounds by meta/esc50.csv, which does not call 1 others so"]
    with pytest.raises(QuaclrsError, match=r"meta/esc50\.csv there labels the sounds chainsaw, dog, none of them saw"):
        scan_extras({"saw": esc50})


@pytest.mark.parametrize("place", ["{}", "train/{}", "all/test/{}"])
def test_a_folder_with_the_class_beside_others_is_refused_in_one_line(tmp_path, place):
    for label in ("saw", "dog"):
        write_noise(tmp_path / "sounds" / place.format(label) / "1.wav", seed=len(label), seconds=0.2)
    with pytest.raises(
        QuaclrsError, match=r"--extra saw=.*lie there beside others \(dog, saw\); give the folder of saw"
    ):
        scan_extras({"saw": tmp_path / "sounds"})


def test_given_recordings_are_kept_and_dealt_whole(tmp_path):
    saws = write_class(tmp_path / "saws", 24)
    write_table(saws, *({"file": name, "recording_id": f"saw{i // 2}"} for i, name in enumerate(files_of(saws))))
    folds_of = defaultdict(set)
    for clip in assign_recordings_and_folds(scan_extras({"saw": saws}).clips):
        folds_of[clip.recording_id].add(clip.fold)
        assert 1 <= clip.fold_paper <= 10
    assert set(folds_of) == {f"extra/saw{i}" for i in range(12)}
    assert all(len(folds) == 1 for folds in folds_of.values())
    assert sorted(Counter(next(iter(folds)) for folds in folds_of.values()).values()) == [1] * 8 + [2] * 2


def test_given_folds_licences_and_attributions_reach_the_rows(tmp_path):
    saws = write_class(tmp_path / "saws", 3)
    write_table(
        saws,
        {"file": "day0/clip0.wav", "recording_id": "a", "fold": 7, "licence": "CC0", "attribution": "Ada"},
        {"file": "day1/clip1.wav", "recording_id": "b", "fold": 3},
        {"file": "day0/clip2.wav", "recording_id": "a", "fold": 7, "licence": "CC0"},
    )
    assert build(None, None, tmp_path / "built", "--extra", f"saw={saws}") == 0
    rows = {row["clip_id"]: row for row in rows_of(tmp_path / "built")}
    assert {name: (row["fold"], row["fold_paper"], row["recording_id"]) for name, row in rows.items()} == {
        "extra/saw/day0/clip0": (7, 7, "extra/a"),
        "extra/saw/day1/clip1": (3, 3, "extra/b"),
        "extra/saw/day0/clip2": (7, 7, "extra/a"),
    }
    assert (rows["extra/saw/day0/clip0"]["licence"], rows["extra/saw/day0/clip0"]["attribution"]) == ("CC0", "Ada")
    assert rows["extra/saw/day1/clip1"]["licence"] == "unknown"


def test_a_recording_in_two_folds_is_refused_also_across_classes(tmp_path):
    saws, axes = write_class(tmp_path / "saws", 2), write_class(tmp_path / "axes", 1, 10)
    one, two = files_of(saws)
    write_table(saws, {"file": one, "recording_id": "r", "fold": 1}, {"file": two, "recording_id": "r", "fold": 2})
    with pytest.raises(QuaclrsError, match=r"recording_id r lies in fold 1 \(saw\), fold 2 \(saw\)"):
        scan_extras({"saw": saws})
    write_table(saws, {"file": one, "recording_id": "r", "fold": 1}, {"file": two, "recording_id": "r", "fold": 1})
    write_table(axes, {"file": files_of(axes)[0], "recording_id": "r", "fold": 4})
    assert len(scan_extras({"saw": saws}).clips) == 2
    with pytest.raises(QuaclrsError, match=r"fold 1 \(saw\), fold 4 \(axe\)"):
        scan_extras({"saw": saws, "axe": axes})


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"recording_id": "r"}], "no column file"),
        ([{"file": "absent.wav"}], "line 2: no sound file 'absent.wav'"),
        ([{"file": "../saws2/clip0.wav"}], "line 2: no sound file"),
        ([{"file": "day0/clip0.wav"}, {"file": "day0/clip0.wav"}], "line 3: day0/clip0.wav is listed twice"),
        ([{"file": "day0/clip0.wav", "recording_id": "r"}], "gives 1 of 2 clips a recording_id"),
        (
            [
                {"file": "day0/clip0.wav", "recording_id": "r", "fold": 1},
                {"file": "day1/clip1.wav", "recording_id": "s"},
            ],
            "gives 1 of 2 clips a fold",
        ),
        ([{"file": "day0/clip0.wav", "fold": 1}, {"file": "day1/clip1.wav", "fold": 1}], "folds without recording_id"),
        ([{"file": "day0/clip0.wav", "recording_id": "r", "fold": 11}], "fold '11' is not 1 to 10"),
        ([{"file": "day0/clip0.wav", "recording_id": "r", "fold": "1.0"}], "fold '1.0' is not 1 to 10"),
    ],
)
def test_a_wrong_metadata_table_is_refused_by_file_and_line(tmp_path, rows, says):
    write_table(write_class(tmp_path / "saws", 2), *rows)
    with pytest.raises(QuaclrsError, match=says) as error:
        scan_extras({"saw": tmp_path / "saws"})
    assert "metadata.csv" in str(error.value)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("saws", "is not NAME=DIR"),
        ("=saws", "is not NAME=DIR"),
        ("saw=", "is not NAME=DIR"),
        ("Saw=saws", "lower-case snake_case"),
        ("chain saw=saws", "lower-case snake_case"),
        ("chain-saw=saws", "lower-case snake_case"),
        ("../saw=saws", "lower-case snake_case"),
        ("police=saws", "police is a published class; choose another name, such as my_police"),
        ("siren=saws", "siren is a published class"),
        ("saw=absent", "absent does not exist"),
        ("saw=empty", "empty holds no sound file"),
    ],
)
def test_a_wrong_extra_is_one_line_and_status_2(tmp_path, monkeypatch, capsys, extra, says):
    monkeypatch.chdir(tmp_path)
    write_class(tmp_path / "saws", 1)
    (tmp_path / "empty").mkdir()
    assert main(["build", "--output", "built", "--extra", extra]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("built*"))


def test_a_name_given_twice_and_clips_of_one_name_are_refused(tmp_path, capsys):
    saws = write_class(tmp_path / "saws", 1)
    assert build(None, None, tmp_path / "built", "--extra", f"saw={saws}", "--extra", f"saw={saws}") == 2
    assert "--extra saw=… is given twice" in capsys.readouterr().err
    write_noise(saws / "day0" / "clip0.flac", seed=9)
    with pytest.raises(QuaclrsError, match="day0/clip0 twice with different endings"):
        scan_extras({"saw": saws})


def test_equal_names_in_two_folders_are_two_clips_and_hidden_files_none(tmp_path):
    for place in ("a", "b", "."):
        write_noise(tmp_path / "saws" / place / "clip.wav", seed=ord(place))
    (tmp_path / "saws" / "a" / "._clip.wav").write_bytes(b"resource fork")
    assert {c.clip_id for c in scan_extras({"saw": tmp_path / "saws"}).clips} == {
        "extra/saw/clip",
        "extra/saw/a/clip",
        "extra/saw/b/clip",
    }


def test_a_model_trained_with_a_14th_class_predicts_it(sample_dataset, tmp_path, capsys):
    from training.supervised.config import SupervisedConfig
    from training.train_supervised import train

    whistles = tmp_path / "whistles"
    whistles.mkdir()
    seconds = np.arange(16_000) / 16_000
    for i in range(40):
        noise = 0.02 * np.random.default_rng(i).standard_normal(16_000)
        soundfile.write(whistles / f"{i}.wav", 0.5 * np.sin(2 * np.pi * (2000 + 37 * i) * seconds) + noise, 16_000)
    write_table(whistles, *({"file": f"{i}.wav", "recording_id": f"w{i}", "fold": i % 10 + 1} for i in range(40)))
    built, few = tmp_path / "built", tmp_path / "few"
    other_folds = shutil.ignore_patterns("fold[5-9]", "fold10")
    shutil.copytree(sample_dataset / "UrbanSound8K", few / "UrbanSound8K", ignore=other_folds)
    assert build(few, None, built, "--extra", f"whistle={whistles}") == 0

    config = SupervisedConfig(
        dataset=str(built),
        output_dir=str(tmp_path / "run"),
        test_fold=2,
        backbone="mobilenetv3_small_050",
        image_size=32,
        epochs=1,
        batch_size=16,
        max_clips_per_class=4,
        augment_on="none",
    )
    metrics = train(config).to_dict()
    assert metrics["per_class"]["whistle"]["support"] == 4
    assert 0 <= metrics["accuracy_extra"] <= 1
    saved = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert list(saved["id2label"].values()) == sorted([*CLASS_NAMES, "whistle"])

    from quaclrs.cli import main as quaclrs

    capsys.readouterr()
    arguments = ["predict", str(whistles / "0.wav"), "--model", str(tmp_path / "run" / "model"), "--json"]
    assert quaclrs([*arguments, "--top-k", "14"]) == 0
    predictions = json.loads(capsys.readouterr().out)["predictions"]
    assert {p["label"] for p in predictions} == {*CLASS_NAMES, "whistle"}
    assert sum(p["score"] for p in predictions) == pytest.approx(1, abs=1e-4)
