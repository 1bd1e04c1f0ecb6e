"""What the tests of the data set builder share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from built_pictures import KINDS, build, write_sources
from hub_stand_in import WRITER

from dataset_builder.__main__ import main
from dataset_builder.card import readme
from dataset_builder.card.class_pictures import PICTURE_NAME

PUSH = """
import sys, time
from dataset_builder.__main__ import main

time.sleep = lambda seconds: None  # the client waits between its attempts
sys.exit(main(["push", *sys.argv[1:]]))
"""


@pytest.fixture(scope="session", autouse=True)
def pictures_of_classes_once() -> Iterator[None]:
    """Spare the many builds of these tests what takes longer than they do: pictures of the same classes are copied."""
    draw, drawn = readme.draw_classes, {}

    def copy(folder: Path, clips: pd.DataFrame) -> None:
        key = (*sorted(set(clips["label"])), len(clips))
        if key not in drawn:
            draw(folder, clips)
            drawn[key] = (folder / PICTURE_NAME).read_bytes()
        (folder / PICTURE_NAME).write_bytes(drawn[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readme, "draw_classes", copy)
        yield


@pytest.fixture(scope="session")
def sample_sources(sample_dataset: Path) -> Path:
    """Folder with the embedded sample (seed 0): `UrbanSound8K` and `sireNNet`. Do not write into it."""
    return sample_dataset


@pytest.fixture(scope="session")
def real_urbansound8k(shared_data: Path, made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Links to every fortieth real clip of UrbanSound8K, and its metadata: decoding them all takes a minute."""

    def write(folder: Path) -> None:
        original = shared_data / "UrbanSound8K"
        shutil.copytree(original / "metadata", folder / "metadata")
        for clip in sorted((original / "audio").glob("fold*/*"))[::40]:
            link = folder / "audio" / clip.parent.name / clip.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(clip.resolve())

    return made_once("real_urbansound8k", write)


@pytest.fixture(scope="session")
def real_dataset(
    real_urbansound8k: Path, shared_data: Path, made_once: Callable[[str, Callable[[Path], None]], Path]
) -> Path:
    """The data set built of all real sirens and `real_urbansound8k`. Do not write into it."""

    def write(folder: Path) -> None:
        sources = ["--urbansound8k", str(real_urbansound8k), "--sirennet", str(shared_data)]
        assert main(["build", *sources, "--output", str(folder), "--num-proc", "2"]) == 0

    return made_once("real_dataset", write)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few recordings of both sources."""
    return write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def built(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A data set of each config, built of `sources`."""
    folder = tmp_path_factory.mktemp("built")
    for kind in KINDS:
        assert build(sources, folder / kind, "--config", kind) == 0
    return {kind: folder / kind for kind in KINDS}


@pytest.fixture
def small_disk(mount_disk: Callable[[int], Path]) -> Path:
    """A disk of 256 kB of its own."""
    return mount_disk(256 << 10)


@pytest.fixture
def push(hub_stand_in, tmp_path):
    """`push(folder, *options)` in a child process; a finished process."""

    def run(folder: Path, *options: str, repo: str = "ns/name", token: str | None = WRITER):
        command = ["-c", PUSH, "--repo", repo, *options, str(folder)]
        return hub_stand_in.run_client(*command, home=tmp_path / "home", token=token)

    return run
