"""A disk that fills amid a training: one line, nothing half-written, and the run goes on once there is room."""

from __future__ import annotations

from pathlib import Path

from training.train_supervised import main


def bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_a_run_whose_disk_fills_goes_on_once_there_is_room_and_ends_as_if_there_always_had_been(
    small_sample, mount_disk, tmp_path, capsys
):
    def run(folder: Path) -> int:
        options = ["--backbone", "test_efficientnet", "--image-size", "32", "--epochs", "2", "--batch-size", "13"]
        options += ["--keep-checkpoints", "2", "--max-clips-per-class", "1", "--resume", "auto"]
        return main(["--dataset", str(small_sample), "--test-fold", "2", "--output-dir", str(folder), *options])

    def refused(folder: Path) -> str:
        capsys.readouterr()
        assert run(folder) == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said
        (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
        assert not list(folder.parent.rglob(".*")), "something unfinished is left"
        assert not (folder / "metrics.json").exists()
        return error

    whole = tmp_path / "whole"
    assert run(whole) == 0
    checkpoint, model = bytes_of(whole / "checkpoints" / "epoch-0001"), bytes_of(whole / "model")

    folder = mount_disk(checkpoint * 3 // 2) / "run"
    full = "cannot be written (No space left on device); choose another place, or make room"
    assert refused(folder) == f"error: {folder / 'checkpoints'} {full}"
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["epoch-0001"]

    mount_disk(checkpoint * 2 + model // 2)
    assert refused(folder) == f"error: {folder} {full}"
    assert len(list((folder / "checkpoints").iterdir())) == 2
    assert not (folder / "model").exists()

    mount_disk(checkpoint * 4)
    assert run(folder) == 0
    for name in ("predictions.csv", "model/model.safetensors", "checkpoints/epoch-0002/optimizer.safetensors"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_run_replaces_whatever_lies_where_its_model_goes(small_sample, tmp_path):
    """What another left there, a pickle or the weights of an older run, does not travel with it."""
    options = ["--backbone", "test_efficientnet", "--image-size", "32", "--epochs", "1", "--batch-size", "13"]
    options += ["--dataset", str(small_sample), "--test-fold", "2", "--max-clips-per-class", "1", "--resume", "auto"]
    folder = tmp_path / "run"
    assert main([*options, "--output-dir", str(folder)]) == 0
    files = {path.name: path.read_bytes() for path in (folder / "model").iterdir()}
    (folder / "metrics.json").unlink()
    (folder / "model" / "model.safetensors").unlink()
    (folder / "model" / "model.safetensors").mkdir()
    (folder / "model" / "pytorch_model.bin").write_bytes(b"a pickle")
    assert main([*options, "--output-dir", str(folder)]) == 0
    assert {path.name: path.read_bytes() for path in (folder / "model").iterdir()} == files
    assert {path.name for path in folder.iterdir()} >= {"metrics.json", "model"} and not list(folder.rglob(".*"))
