"""A new run that ends early leaves what was there before: nothing, or the run that it was to overwrite."""

import json
import os
import shutil
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quaclrs.errors import QuaclrsError
from training.runs.folder import RunFolder
from training.runs.former import FormerRun
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


FORMER = {"config.yaml": b"seed: 7\n", "metrics.json": b"{}", "checkpoints/epoch-0001/state": b"s", "plots/a.png": b"p"}


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """The folder of a finished run."""
    for name, content in FORMER.items():
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_bytes(content)
    return tmp_path / "run"


NEW = SupervisedConfig(dataset="d", test_fold=1, output_dir="o")


def test_what_a_killed_run_was_to_overwrite_is_back_for_the_next_one(former):
    RunFolder(former).open(NEW, {}, resume=False)  # and nothing after it, as where the process is killed
    assert (former / "config.yaml").read_bytes() != FORMER["config.yaml"]
    RunFolder(former).recover(resume=False)
    assert files_in(former) == FORMER


def test_a_killed_run_that_goes_on_keeps_its_folder_and_drops_the_former_one_with_its_first_epoch(former):
    RunFolder(former).open(NEW, {}, resume=False)
    run = RunFolder(former)
    run.recover(resume=True)
    run.open(NEW, {}, resume=True)
    run.withdraw()  # it began before
    assert (former / "config.yaml").read_bytes() != FORMER["config.yaml"]
    run.write_history([{"epoch": 1}])
    RunFolder(former).recover(resume=False)
    assert files_in(former).keys() == {"config.yaml", "environment.json", "history.csv"}


def test_a_run_cut_off_before_its_first_file_is_not_gone_on_with(former):
    FormerRun(former).set_aside()  # and nothing after it
    RunFolder(former).recover(resume=True)
    assert files_in(former) == FORMER


def test_a_former_run_that_cannot_be_deleted_ends_no_run(small_sample, former, monkeypatch):
    rmtree = shutil.rmtree

    def busy(path, ignore_errors=False, **more):
        if Path(path).name == ".former" and not ignore_errors:
            raise OSError(39, "Directory not empty", str(path))
        rmtree(path, ignore_errors=ignore_errors, **more)

    monkeypatch.setattr(shutil, "rmtree", busy)
    train(config(small_sample, former, overwrite=True))
    assert json.loads((former / "metrics.json").read_text())["accuracy"] >= 0


def test_sigterm_between_moving_and_naming_puts_everything_back(former, monkeypatch):
    rename = Path.rename

    def stopped(entry: Path, target: Path) -> Path:
        moved = rename(entry, target)
        if target.name == ".former":
            raise SystemExit(143)
        return moved

    run = RunFolder(former)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", stopped)
        with pytest.raises(SystemExit):
            run.open(NEW, {}, resume=False)
    run.withdraw()
    assert files_in(former) == FORMER


@pytest.mark.parametrize("moves", [0, 1, 3])
def test_a_run_whose_moving_aside_fails_or_is_cut_off_loses_nothing(former, monkeypatch, moves):
    rename, left = Path.rename, [moves]

    def fail_after(entry: Path, target: Path) -> Path:
        if left[0] == 0:
            raise PermissionError(13, "Permission denied", str(entry))
        left[0] -= 1
        return rename(entry, target)

    run = RunFolder(former)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", fail_after)
        with pytest.raises(PermissionError):  # moving back fails too, as where the process is killed
            run.open(NEW, {}, resume=False)
        run.withdraw()
    RunFolder(former).recover(resume=False)
    assert files_in(former) == FORMER


def test_what_others_put_into_the_folder_stays_where_a_new_run_fails(former):
    run = RunFolder(former)
    run.open(NEW, {}, resume=False)
    (former / "notes.txt").write_text("mine")
    run.withdraw()
    assert files_in(former) == {**FORMER, "notes.txt": b"mine"}


@pytest.mark.parametrize("kind", ["empty", "link", "here"])
def test_an_empty_folder_that_was_there_is_there_afterwards(tmp_path, monkeypatch, kind):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "empty")
    run = RunFolder(Path(".") if kind == "here" else tmp_path / kind)
    run.open(NEW, {}, resume=False)
    run.withdraw()
    assert not files_in(tmp_path / "empty") and (tmp_path / "link").is_symlink()


def test_sigterm_before_the_first_step_puts_the_former_run_back(small_sample, tmp_path, monkeypatch):
    train(config(small_sample, tmp_path / "run"))
    former = files_in(tmp_path / "run")
    monkeypatch.setattr(
        "training.train_supervised.classifier_on_clips", lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    )
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        train(config(small_sample, tmp_path / "run", overwrite=True, seed=1))
    assert ended.value.code == 128 + signal.SIGTERM
    assert files_in(tmp_path / "run") == former
    assert signal.getsignal(signal.SIGTERM) is handler
