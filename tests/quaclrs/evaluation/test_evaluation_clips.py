"""Which clips are evaluated: their order, labels, sources and folds, and what is refused or warned of."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import Dataset, Features, Value

from quaclrs import LogMelConfig, load_urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.evaluation_clips import choose_clips
from quaclrs.labels import CLASS_NAMES, OTHER, SIRENNET_CLASSES

RATE = 48_000
FRONT_END = LogMelConfig()

#: What ESC-50 has of the classes; its sirens are not told apart by vehicle.
ESC50 = {"dog": "dog_bark", "car_horn": "car_horn", "engine": "engine_idling", "siren": None}


@pytest.fixture(scope="module")
def esc50(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as people have it: two dogs, a horn, an engine, a siren and three rains, all 5 s at 44.1 kHz."""
    folder = tmp_path_factory.mktemp("esc50")
    for name in ("dog/1", "dog/2", "car_horn/1", "engine/1", "siren/1", "rain/1", "rain/2", "rain/3"):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / f"{name}.wav", 0.1 * np.sin(np.arange(5 * 44_100)), 44_100)
    return folder


@pytest.mark.parametrize("split", [None, "test", "validation"])
def test_a_fold_is_the_split_that_training_sees_in_its_order(split: str | None, sample_dataset: Path) -> None:
    rows = load_urbansound13(sample_dataset, fold=2, split=split or "test")
    clips = choose_clips(sample_dataset, CLASS_NAMES, fold=2, split=split)
    assert clips.clip_ids == rows["clip_id"][:]
    assert clips.folds == rows["fold"][:]
    assert clips.sources == rows["source"][:]
    assert clips.labels.tolist() == rows["label"][:]
    assert clips.classes == CLASS_NAMES
    assert clips.left_out == {}
    assert len(clips) == len(rows)
    assert clips.description == f"{split or 'test'} split of fold 2, strict protocol"
    assert any("not a test" in warning for warning in clips.warnings) == (split == "validation")
    assert any("synthetic" in warning for warning in clips.warnings)


def test_labels_follow_the_order_of_the_models_classes(sample_dataset: Path) -> None:
    rows = load_urbansound13(sample_dataset, fold=2, split="test")
    names = [CLASS_NAMES[label] for label in rows["label"]]
    other_order = CLASS_NAMES[5:] + CLASS_NAMES[:5]
    clips = choose_clips(sample_dataset, other_order, fold=2)
    assert [other_order[label] for label in clips.labels] == names


def test_a_model_may_call_a_clip_other_which_no_data_set_does(sample_dataset: Path) -> None:
    plain = choose_clips(sample_dataset, CLASS_NAMES, fold=2)
    clips = choose_clips(sample_dataset, [*CLASS_NAMES, OTHER], fold=2)
    assert clips.classes == (*CLASS_NAMES, OTHER)
    assert clips.labels.tolist() == plain.labels.tolist()


def test_every_clip_is_evaluated_without_a_fold(sample_dataset: Path) -> None:
    clips = choose_clips(sample_dataset, CLASS_NAMES)
    assert len(clips) == len(load_urbansound13(sample_dataset))
    assert clips.description == "every clip"


def test_the_paper_protocol_takes_its_own_folds_and_warns(sample_dataset: Path) -> None:
    rows = load_urbansound13(sample_dataset, fold=2, split="test", protocol="paper")
    clips = choose_clips(sample_dataset, CLASS_NAMES, fold=2, protocol="paper")
    assert clips.clip_ids == rows["clip_id"][:]
    assert set(clips.folds) == {2}
    assert any("optimistic" in warning for warning in clips.warnings)


def test_classes_that_differ_are_named_on_both_sides_in_one_line(sample_dataset: Path) -> None:
    model_classes = ["siren", *(name for name in CLASS_NAMES if name not in SIRENNET_CLASSES)]
    with pytest.raises(QuaclrsError) as error:
        choose_clips(sample_dataset, model_classes, fold=2)
    message = str(error.value)
    assert "only the data set has ambulance, firetruck, police, traffic" in message
    assert "only the model has siren" in message
    assert "\n" not in message


def test_a_label_map_brings_urbansound13_to_a_model_of_other_classes(sample_dataset: Path) -> None:
    sirens = dict.fromkeys(("ambulance", "firetruck", "police"), "siren") | {"dog_bark": "dog_bark"}
    rows = load_urbansound13(sample_dataset, fold=2, split="test")
    names = Counter(CLASS_NAMES[label] for label in rows["label"])
    clips = choose_clips(sample_dataset, ["dog_bark", "siren"], fold=2, label_map=sirens)
    found = Counter(clips.classes[label] for label in clips.labels)
    assert found == {"dog_bark": names["dog_bark"], "siren": names["ambulance"] + names["firetruck"] + names["police"]}
    assert clips.left_out == {name: count for name, count in names.items() if name not in sirens}
    assert set(clips.sources) == {"urbansound8k", "sirennet"}

    everywhere = choose_clips(sample_dataset, ["dog_bark", "siren"], label_map=sirens)
    assert everywhere.description == "every clip"


def test_labels_that_map_to_nothing_or_are_not_in_the_map_are_left_out_and_counted(esc50: Path) -> None:
    clips = choose_clips(esc50, CLASS_NAMES, label_map=ESC50)
    assert dict(zip(clips.clip_ids, (clips.classes[label] for label in clips.labels), strict=True)) == {
        "car_horn/1.wav": "car_horn",
        "dog/1.wav": "dog_bark",
        "dog/2.wav": "dog_bark",
        "engine/1.wav": "engine_idling",
    }
    assert clips.left_out == {"rain": 3, "siren": 1}
    assert clips.classes == CLASS_NAMES
    assert clips.folds == [None] * 4
    assert set(clips.sources) == {"urbansound8k"}
    assert clips.warnings == ()


def test_clips_of_classes_that_are_none_of_urbansound13s_are_of_an_unknown_source_and_not_of_other(esc50: Path) -> None:
    clips = choose_clips(esc50, ["rain", "dog_bark"], label_map={"dog": "dog_bark", "rain": "rain"})
    assert clips.sources == ["urbansound8k"] * 2 + ["unknown_source"] * 3


def test_predictions_can_be_kept_to_the_mapped_classes_in_the_models_order(esc50: Path) -> None:
    model_classes = list(reversed(CLASS_NAMES))
    clips = choose_clips(esc50, model_classes, label_map=ESC50, only_mapped_classes=True)
    assert clips.classes == ("engine_idling", "dog_bark", "car_horn")
    assert clips.labels.tolist() == [2, 1, 1, 0]


def test_a_folder_named_by_the_models_own_classes_needs_no_map_and_may_lack_some(esc50: Path) -> None:
    model_classes = ["rain", "dog", "siren", "engine", "car_horn", "wind"]
    clips = choose_clips(esc50, model_classes)
    assert Counter(model_classes[label] for label in clips.labels) == {
        "rain": 3,
        "dog": 2,
        "siren": 1,
        "engine": 1,
        "car_horn": 1,
    }
    with pytest.raises(QuaclrsError, match="only the data set has dog, engine, rain, siren; give a --label-map"):
        choose_clips(esc50, CLASS_NAMES)


def test_clips_are_decoded_in_order_at_their_true_length_and_the_models_rate(esc50: Path, sample_dataset: Path) -> None:
    long = choose_clips(esc50, CLASS_NAMES, label_map=ESC50)
    for crop, starts in (("whole", [0, 1]), ("centre", [0.5])):
        windows = [(place, w.start, len(w.waveform)) for place, w in long.decode(FRONT_END, crop=crop)]
        assert windows == [(place, start, 4 * RATE) for place in range(4) for start in starts]
    rows = load_urbansound13(sample_dataset, fold=2, split="test")
    decoded = choose_clips(sample_dataset, CLASS_NAMES, fold=2).decode(FRONT_END)
    for wanted, ((place, window), duration) in enumerate(zip(decoded, rows["duration"], strict=True)):
        assert place == wanted
        assert window.waveform.dtype == np.float32
        assert abs(len(window.waveform) - duration * RATE) <= 1


def test_rows_without_an_id_are_called_by_their_number_and_a_row_without_audio_is_named(tmp_path: Path) -> None:
    audio = {"bytes": Value("binary"), "path": Value("string")}
    encoded = tmp_path / "x.wav"
    soundfile.write(encoded, np.full(100, 0.1), RATE)
    table = tmp_path / "table"
    table.mkdir()
    Dataset.from_dict(
        {
            "audio": [None, {"bytes": encoded.read_bytes(), "path": None}, {"bytes": None, "path": None}],
            "category": ["rain", "dog", "dog"],
        },
        features=Features({"audio": audio, "category": Value("string")}),
    ).to_parquet(table / "train.parquet")
    clips = choose_clips(table, CLASS_NAMES, label_map={"dog": "dog_bark"}, label_column="category")
    assert clips.clip_ids == ["1", "2"]
    assert clips.description == "split train"
    decoded = clips.decode(FRONT_END)
    assert len(next(decoded)[1].waveform) == 100
    with pytest.raises(QuaclrsError, match="clip 2 has no audio"):
        next(decoded)
    broken: dict[int, str] = {}
    assert [place for place, _ in clips.decode(FRONT_END, broken)] == [0]
    assert clips.without(broken).clip_ids == ["1"]
    assert clips.without(broken).broken == {"2": broken[1]}
    with pytest.raises(QuaclrsError, match="none of 2 clips can be decoded"):
        clips.without({0: "a", 1: "b"})


def test_what_cannot_be_evaluated_is_named_in_one_line(esc50: Path, tmp_path: Path) -> None:
    for mistake, words in (
        (lambda: choose_clips(esc50, CLASS_NAMES, label_map={"dog": "hound"}), "hound, which the model does not know"),
        (
            lambda: choose_clips(esc50, CLASS_NAMES, label_map={"cat": "dog_bark"}),
            "its labels are car_horn, dog, engine",
        ),
        (
            lambda: choose_clips(esc50, CLASS_NAMES, label_map={"dog": "dog_bark"}, only_mapped_classes=True),
            "could only be dog_bark",
        ),
        (lambda: choose_clips(tmp_path / "absent", CLASS_NAMES), "absent does not exist.*--label-map"),
        (lambda: choose_clips(tmp_path / "absent", CLASS_NAMES, fold=1), "absent does not exist"),
    ):
        with pytest.raises(QuaclrsError, match=words) as error:
            mistake()
        assert "\n" not in str(error.value)
