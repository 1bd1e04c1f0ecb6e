"""A new run that fails early leaves what was there before: nothing, or the run that it was to overwrite."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quaclrs.errors import QuaclrsError
from training.runs.folder import RunFolder
from training.supervised.config import SupervisedConfig
from training.train_supervised import train


def config(dataset: Path, output_dir: Path, **options) -> SupervisedConfig:
    smallest = {"test_fold": 2, "backbone": "test_efficientnet", "image_size": 32, "epochs": 1, "batch_size": 16}
    return SupervisedConfig(dataset=str(dataset), output_dir=str(output_dir), **{**smallest, **options})


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def with_a_broken_clip(small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data set whose first clip of fold 5 holds text in place of sound, and the clip's name."""
    folder = shutil.copytree(small_sample, tmp_path_factory.mktemp("broken") / "sample")
    file = sorted((folder / "data").glob("fold05-*.parquet"))[0]
    table = pq.read_table(file)
    rows = table["audio"].to_pylist()
    rows[0]["bytes"] = b"no sound at all " * 40
    column = table.schema.get_field_index("audio")
    pq.write_table(table.set_column(column, table.schema.field(column), pa.array(rows, table["audio"].type)), file)
    return folder, table["clip_id"][0].as_py()


@pytest.mark.parametrize("decode_once", [False, True])
def test_a_clip_that_is_no_sound_is_named_and_leaves_no_folder_behind(with_a_broken_clip, tmp_path, decode_once):
    dataset, clip = with_a_broken_clip
    with pytest.raises(QuaclrsError, match=f"^clip {clip} ") as error:
        train(config(dataset, tmp_path / "runs" / "first", decode_once=decode_once))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_overwritten_is_back_where_the_new_one_fails_early(small_sample, with_a_broken_clip, tmp_path):
    train(config(small_sample, tmp_path / "run"))
    former = files_in(tmp_path / "run")

    with pytest.raises(QuaclrsError, match=r"^clip "):
        train(config(with_a_broken_clip[0], tmp_path / "run", overwrite=True))
    assert files_in(tmp_path / "run") == former

    train(config(small_sample, tmp_path / "run", overwrite=True, seed=1))
    now = files_in(tmp_path / "run")
    assert now.keys() == former.keys()
    assert now["model/model.safetensors"] != former["model/model.safetensors"]


def test_a_run_that_goes_on_keeps_its_checkpoints_where_it_fails(small_sample, tmp_path):
    train(config(small_sample, tmp_path / "run", lr_scheduler="constant"))
    former = files_in(tmp_path / "run" / "checkpoints")
    again = config(small_sample, tmp_path / "run", lr_scheduler="constant", epochs=2, resume="auto")
    shutil.rmtree(tmp_path / "run" / "plots")
    (tmp_path / "run" / "plots").write_text("")

    with pytest.raises((QuaclrsError, OSError)):
        train(again)
    assert files_in(tmp_path / "run" / "checkpoints") == former


def test_what_a_killed_run_was_to_overwrite_is_back_after_the_next_one(small_sample, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("seed: 7\n")
    (folder / "plots").mkdir()
    (folder / "plots" / "a.png").write_bytes(b"picture")
    new = SupervisedConfig(dataset="d", test_fold=1, output_dir="o")
    RunFolder(folder).open(new, {}, resume=False)  # and nothing after it, as where the process is killed
    assert (folder / "config.yaml").read_text() != "seed: 7\n"

    run = RunFolder(folder)
    run.open(new, {}, resume=False)
    run.withdraw()
    assert files_in(folder) == {"config.yaml": b"seed: 7\n", "plots/a.png": b"picture"}


def test_what_another_put_into_the_folder_stays_where_a_run_that_resumes_fails(tmp_path):
    options = SupervisedConfig(dataset="d", test_fold=1, output_dir="o", resume="auto")
    (tmp_path / "notes.txt").write_text("mine")
    run = RunFolder(tmp_path)
    run.open(options, {}, resume=True)
    run.withdraw()
    assert (tmp_path / "notes.txt").read_text() == "mine"
