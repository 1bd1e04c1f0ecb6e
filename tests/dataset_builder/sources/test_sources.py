"""What is checked of UrbanSound8K's metadata, and how a source may be given: folder, archive or download."""

from __future__ import annotations

import csv
import hashlib
import shutil
import tarfile
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from archive_server import ArchiveServer
from test_build import build, rows_of, write_sirennet, write_urbansound8k

from dataset_builder.__main__ import main
from dataset_builder.sources.inputs import SOURCES, Inputs, scan_inputs
from dataset_builder.sources.report import SourceReport, class_names_of
from dataset_builder.sources.sirennet import SIRENNET_ARCHIVE
from dataset_builder.sources.urbansound8k import URBANSOUND8K_ARCHIVE, check_metadata, scan_urbansound8k
from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES

# UrbanSound8K's classes in the order of classID, and its clips in folds 1 to 10; compared with its table below.
CLASSES = ["air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling", "engine_idling", "gun_shot"]
CLASSES += ["jackhammer", "siren", "street_music"]
FOLD_COUNTS = (873, 888, 925, 990, 936, 823, 838, 806, 816, 837)
METADATA = Path("UrbanSound8K.csv")


def official_rows() -> list[dict[str, str]]:
    """A table of the official shape, with a recording of its own for every clip."""
    rows = []
    for fold, count in enumerate(FOLD_COUNTS, start=1):
        for number in range(count):
            class_id, recording = number % 10, f"{fold}{number:04d}"
            rows.append(
                {
                    "slice_file_name": f"{recording}-{class_id}-0-0.wav",
                    "fsID": recording,
                    "start": "0.0",
                    "end": "4.0",
                    "salience": "1",
                    "fold": str(fold),
                    "classID": str(class_id),
                    "class": CLASSES[class_id],
                }
            )
    return rows


def write_metadata(root: Path, rows: list[dict[str, str]]) -> Path:
    (root / "metadata").mkdir(parents=True, exist_ok=True)
    with (root / "metadata" / "UrbanSound8K.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


@pytest.fixture
def small(tmp_path) -> Path:
    """A cut-down UrbanSound8K of four clips, a siren among them."""
    clips = [("1", "dog_bark", 1), ("2", "car_horn", 2), ("3", "siren", 1), ("4", "drilling", 3)]
    return write_urbansound8k(tmp_path / "recordings" / "UrbanSound8K", clips)


@pytest.mark.parametrize("inside", [".", "UrbanSound8K", "archive/data"])
@pytest.mark.parametrize("flat", [False, True])
def test_the_layout_of_kaggle_has_the_clips_of_the_official_one(inside, flat, small, tmp_path):
    kaggle = tmp_path / "kaggle" / inside
    shutil.copytree(small / "audio", kaggle)
    shutil.copy(small / "metadata" / "UrbanSound8K.csv", kaggle)
    for clip in [*kaggle.rglob("*.wav")] if flat else []:
        clip.rename(kaggle / clip.name)
    found, official = scan_urbansound8k(tmp_path / "kaggle"), scan_urbansound8k(small)
    assert len(found.clips) == 3
    assert [replace(clip, path=small) for clip in found.clips] == [replace(clip, path=small) for clip in official.clips]


def pack_tar(folder: Path, archive: Path, inside: str) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, inside)
    return archive


def pack_zip(folder: Path, archive: Path, inside: str) -> Path:
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in folder.rglob("*"):
            zipped.write(path, f"{inside}/{path.relative_to(folder)}")
    return archive


def test_a_table_of_the_official_shape_passes_without_a_word():
    assert check_metadata(METADATA, official_rows()) == []


def test_the_real_metadata_passes_and_its_five_split_recordings_are_named(shared_data):
    path = shared_data / "UrbanSound8K" / "metadata" / "UrbanSound8K.csv"
    rows = list(csv.DictReader(path.open()))
    (note,) = check_metadata(path, rows)
    assert {row["class"]: int(row["classID"]) for row in rows} == {name: i for i, name in enumerate(CLASSES)}
    counts = Counter(int(row["fold"]) for row in rows)
    assert tuple(counts[fold] for fold in range(1, 11)) == FOLD_COUNTS
    folds: dict[str, set[str]] = {}
    for row in rows:
        folds.setdefault(row["fsID"], set()).add(row["fold"])
    split = {recording for recording, found in folds.items() if len(found) > 1}
    assert split == {"132016", "176638", "180937", "77751", "106905"}
    assert all(recording in note for recording in split)


def test_a_full_table_with_other_folds_is_refused():
    rows = official_rows()
    rows[0]["fold"] = "2"
    with pytest.raises(QuaclrsError, match=r"872 889 925.*873 888 925"):
        check_metadata(METADATA, rows)


def test_a_table_of_another_length_is_taken_with_a_warning_and_without_one_where_it_is_synthetic():
    (note,) = check_metadata(METADATA, official_rows()[:-1])
    assert note.startswith("warning:")
    assert "8,731" in note
    assert "8,732" in note
    assert check_metadata(METADATA, official_rows()[:-1], synthetic=True) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"class": "chain_saw"}, "'chain_saw' is none of UrbanSound8K's ten classes"),
        ({"class": "Dog_bark"}, "none of UrbanSound8K's ten"),
        ({"class": "dog_bark", "classID": "4"}, "dog_bark has classID 4, officially 3"),
        ({"fold": "11"}, "fold 11 is not 1 to 10"),
        ({"fold": "0"}, "fold 0 is not 1 to 10"),
        ({"fold": ""}, "line 7"),
        ({"start": "half past"}, "line 7"),
        ({"salience": "loud"}, "line 7"),
        ({"slice_file_name": "10000-0-0-0.wav"}, "lists 10000-0-0-0 twice"),
    ],
)
@pytest.mark.parametrize("length", [8_732, 100])
def test_a_wrong_row_is_refused_whatever_the_length(changes, says, length):
    rows = official_rows()[:length]
    rows[5].update(changes)
    with pytest.raises(QuaclrsError, match=says):
        check_metadata(METADATA, rows)


def test_a_known_split_recording_in_its_folds_is_a_note_and_a_further_one_an_error():
    rows = official_rows()
    for row in (rows[0], rows[-1]):
        row["fsID"] = "180937"
    with pytest.raises(QuaclrsError, match=r"180937 \(folds 1, 10\)"):  # officially in folds 1 and 9
        check_metadata(METADATA, rows)
    rows[-1]["fsID"] = "4"
    next(row for row in rows if row["fold"] == "9")["fsID"] = "180937"
    assert check_metadata(METADATA, rows) == ["the official folds split these recordings: 180937 (folds 1, 9)"]
    rows[1]["fsID"] = rows[-1]["fsID"]
    with pytest.raises(QuaclrsError, match=r"in one: 4 \(folds 1, 10\);"):
        check_metadata(METADATA, rows)


def test_a_file_that_is_no_table_and_one_without_a_column_are_named(tmp_path):
    root = write_metadata(tmp_path / "UrbanSound8K", [{"slice_file_name": "1-3-0-0.wav", "class": "dog_bark"}])
    with pytest.raises(QuaclrsError, match=r"UrbanSound8K\.csv has no column classID, end, fold, fsID"):
        scan_urbansound8k(tmp_path)
    (root / "metadata" / "UrbanSound8K.csv").write_bytes(b"slice_file_name,fsID\n\xff\xfe\x00")
    with pytest.raises(QuaclrsError, match=r"UrbanSound8K\.csv cannot be read"):
        scan_urbansound8k(tmp_path)


def test_a_table_that_a_spreadsheet_wrote_is_read(small):
    metadata = small / "metadata" / "UrbanSound8K.csv"
    metadata.write_bytes(b"\xef\xbb\xbf" + metadata.read_bytes())
    assert len(scan_urbansound8k(small).clips) == 3


def test_the_warning_about_a_cut_down_table_is_printed_by_the_build(small, tmp_path, capsys):
    assert build(small, None, tmp_path / "built") == 0
    assert "warning: UrbanSound8K.csv has 4 rows and the official metadata 8,732" in capsys.readouterr().out


def test_siren_is_left_out_unless_it_is_asked_for_and_then_is_a_14th_class(small, tmp_path):
    assert build(small, None, tmp_path / "thirteen") == 0
    assert build(small, None, tmp_path / "fourteen", "--keep-siren") == 0
    assert len(rows_of(tmp_path / "thirteen")) == 3
    from quaclrs import load_urbansound13

    clips = load_urbansound13(tmp_path / "fourteen")
    names = clips.features["label"].names
    assert names == sorted([*CLASS_NAMES, "siren"])
    found = dict(zip(clips["clip_id"], [names[label] for label in clips["label"]], strict=True))
    assert found["urbansound8k/3-8-0-0"] == "siren"
    assert found["urbansound8k/4-4-0-0"] == "drilling"


def test_class_names_are_the_thirteen_whatever_was_found():
    assert class_names_of([SourceReport("urbansound8k", [])]) == list(CLASS_NAMES) == sorted(CLASS_NAMES)


def test_equal_clips_of_urbansound8k_are_all_kept(small, tmp_path):
    rows = list(csv.DictReader((small / "metadata" / "UrbanSound8K.csv").open()))
    bark = small / "audio" / "fold1" / rows[0]["slice_file_name"]
    rows.append({**rows[0], "slice_file_name": "1-3-0-1.wav"})
    shutil.copy(bark, bark.with_name("1-3-0-1.wav"))
    write_metadata(small, rows)
    assert build(small, None, tmp_path / "built") == 0
    assert len(rows_of(tmp_path / "built")) == 4


@pytest.mark.parametrize("inside", ["UrbanSound8K", "a/b/UrbanSound8K", "."])
def test_urbansound8k_is_read_from_its_tar_wherever_it_lies_in_it(small, tmp_path, inside, capsys):
    archive = pack_tar(small, tmp_path / "UrbanSound8K.tar.gz", inside)
    (report,) = scan_inputs(Inputs({"urbansound8k": str(archive)}, cache_dir=tmp_path / "cache"))
    assert [clip.clip_id for clip in report.clips] == [clip.clip_id for clip in scan_urbansound8k(small).clips]
    assert "9aa69802bbf37fb986f71ec1483a196e" in capsys.readouterr().out  # it is not the published archive


def test_sirennet_is_read_from_a_zip_with_hidden_files_of_macos_in_it(tmp_path):
    new = write_sirennet(tmp_path / "new", {"ambulance": 2, "traffic": 3})
    (new / "traffic" / "._sound_1.wav").write_bytes(b"resource fork")
    archive = pack_zip(new, tmp_path / "sirens.zip", "An emergency vehicle data set/sireNNet")
    with zipfile.ZipFile(archive, "a") as zipped:
        zipped.writestr("__MACOSX/traffic/._sound_1.wav", b"resource fork")
    (report,) = scan_inputs(Inputs({"sirennet": archive}, cache_dir=tmp_path / "cache"))
    assert Counter(clip.label for clip in report.clips) == {"ambulance": 2, "traffic": 3}


def test_both_sources_are_downloaded_unpacked_once_and_built_of(small, tmp_path, capsys):
    new = write_sirennet(tmp_path / "new", {"ambulance": 2, "traffic": 2})
    old_tar = pack_tar(small, tmp_path / "o.tgz", "UrbanSound8K").read_bytes()
    new_zip = pack_zip(new, tmp_path / "n.zip", "sireNNet").read_bytes()
    with ArchiveServer(old_tar, drops=[len(old_tar) // 2]) as old_server, ArchiveServer(new_zip) as new_server:
        inputs = Inputs({"urbansound8k": "download", "sirennet": "download"}, cache_dir=tmp_path / "cache")
        archives = (
            replace(
                URBANSOUND8K_ARCHIVE,
                address=f"{old_server.address}/UrbanSound8K.tar.gz",
                md5=hashlib.md5(old_tar).hexdigest(),
                pause=0,
            ),
            replace(SIRENNET_ARCHIVE, address=f"{new_server.address}/j4ydzzv4kb-1.zip"),
        )
        here = [replace(source, archive=archive) for source, archive in zip(SOURCES, archives, strict=True)]
        first, second = scan_inputs(inputs, here), scan_inputs(inputs, here)
        assert [len(server.requests) for server in (old_server, new_server)] == [2, 1]
    assert [len(report.clips) for report in first] == [3, 4]
    assert first == second
    assert sorted(path.name for path in (tmp_path / "cache" / "downloads").iterdir()) == [
        "UrbanSound8K.tar.gz",
        "j4ydzzv4kb-1.zip",
        "j4ydzzv4kb-1.zip.json",
    ]
    assert len(list((tmp_path / "cache" / "unpacked").iterdir())) == 2
    assert "warning: " not in "".join(line for line in capsys.readouterr().out.splitlines() if "MD5" in line)


@pytest.mark.parametrize("option", ["--urbansound8k", "--sirennet"])
def test_a_broken_archive_is_one_line_and_leaves_nothing(tmp_path, capsys, option):
    (tmp_path / "source.zip").write_bytes(b"PK\x03\x04 and no more")
    arguments = ["--output", str(tmp_path / "built"), "--cache-dir", str(tmp_path / "cache")]
    assert main(["build", option, str(tmp_path / "source.zip"), *arguments]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert str(tmp_path / "source.zip") in errors[0]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "source.zip"]
    assert not (tmp_path / "built").exists()
