"""Fixtures that several folders of tests share. Add to this file; do not replace it."""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

# Of several test processes each takes one thread, and so do the commands that its tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold long tests, so that no process is left alone with one in the end.

    The Space's come first: they need none of what tests share, so one process makes that while another tests the Space.
    """
    long_files = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("weekly")}
    tests = Path(__file__).parent
    library, space = tests / "quaclrs", tests / "spaces"  # the library's are short, and fill up what others leave

    def place(item: pytest.Item) -> int:
        above = item.path.parents
        return 0 if space in above else 2 * (library in above) + (item.path not in long_files) + 1

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)  # the light install is tested without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Deal the tests out by file, and the Space's to one process: it starts one Space, and another the sample."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "tests/spaces" if file.startswith("tests/spaces/") else file

    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def cards_parsed_once() -> Iterator[None]:
    """Who loads a data set parses its card, 17 kB of YAML: a text is parsed once, and copied from then on."""
    safe_load = yaml.safe_load
    parse = functools.cache(lambda text: pickle.dumps(safe_load(text)))

    def load(text: object) -> object:
        return pickle.loads(parse(text)) if type(text) is str else safe_load(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "safe_load", load)
        yield


@pytest.fixture(scope="session")
def made_once(pytestconfig: pytest.Config) -> Callable[[str, Callable[[Path], None]], Path]:
    """Makes a folder that all test processes read: the first that asks makes it, the others wait.

    It stays in pytest's cache until a line of the library or the builder changes, so a second run of tests begins at
    once. `pytest --cache-clear` makes everything anew.
    """
    cache = Path(pytestconfig.cache.mkdir("quaclrs"))
    root = cache / _digest_of_sources()
    root.mkdir(exist_ok=True)
    for folder in cache.iterdir():
        if folder != root and time.time() - folder.stat().st_mtime > 3600:  # a younger one may be in use
            shutil.rmtree(folder, ignore_errors=True)

    def make(name: str, write: Callable[[Path], None]) -> Path:
        folder, unfinished = root / name, root / f"{name}.unfinished"
        with FileLock(root / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
                write(unfinished)
                unfinished.rename(folder)
        return folder

    return make


def _digest_of_sources() -> str:
    """Name of everything that decides over what `made_once` makes."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for package in ("quaclrs", "dataset_builder", "tests"):
        for file in sorted((root / package).rglob("*.py")):
            if package != "tests" or file.name == "conftest.py":
                digest.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings; tests that need them are skipped where it is absent."""
    folder = Path(os.environ.get("QUACLRS_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real recordings not found in {folder}: set QUACLRS_SHARED_DATA to their folder")
    return folder


@pytest.fixture
def expect_one_error_line(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Assert that a command printed one line, an error that holds these words, and nothing on standard output."""

    def check(words: str) -> None:
        output = capsys.readouterr()
        assert output.out == ""
        assert len(output.err.splitlines()) == 1
        assert output.err.startswith("error: ")
        assert words in output.err

    return check


@pytest.fixture(scope="session")
def sample_dataset(made_once) -> Path:
    """The embedded sample, synthesised and built by the command that the README names: a folder for load_dataset.

    Its recordings lie in `UrbanSound8K` and `sireNNet`. Do not write into it.
    """
    from dataset_builder.__main__ import main

    def write(folder: Path) -> None:
        assert main(["sample", "--output", str(folder)]) == 0

    return made_once("sample", write)


def write_classifier(folder: Path, backbone: str) -> None:
    """Save a classifier of the 13 classes, random weights, with its feature extractor."""
    import torch

    from quaclrs.labels import CLASS_NAMES
    from quaclrs.models import QuaclrsConfig, QuaclrsFeatureExtractor, QuaclrsForAudioClassification

    torch.manual_seed(0)
    front_end = {"image_size": 96}
    config = QuaclrsConfig(
        backbone=backbone,
        log_mel=front_end,
        id2label=dict(enumerate(CLASS_NAMES)),
        label2id={name: i for i, name in enumerate(CLASS_NAMES)},
    )
    model = QuaclrsForAudioClassification(config)
    # Batch norms that have seen data and a steep classifier: without them every sound scores nearly alike.
    with torch.no_grad():
        for _ in range(20):
            model(input_features=torch.rand(8, 128, 376))
    torch.nn.init.normal_(model.classifier.weight, std=0.3)
    model.save_pretrained(folder)
    QuaclrsFeatureExtractor(log_mel=front_end).save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_classifier_folder(made_once) -> Path:
    """A saved classifier of the 13 classes; do not write into it."""
    return made_once("tiny_classifier", lambda folder: write_classifier(folder, "mobilenetv3_small_050"))


@pytest.fixture(scope="session")
def tiniest_classifier_folder(made_once) -> Path:
    """The same of the smallest network, whose graph takes a third of the time; do not write into it."""
    return made_once("tiniest_classifier", lambda folder: write_classifier(folder, "test_efficientnet"))


@pytest.fixture
def mount_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a disk of so many bytes; called again, it makes the same disk larger."""
    folder = tmp_path / "disk"

    def mount(size: int) -> Path:
        what = ["-o", f"remount,size={size}"] if folder.exists() else ["-t", "tmpfs", "-o", f"size={size}", "tmpfs"]
        folder.mkdir(exist_ok=True)
        mounted = shutil.which("mount") and subprocess.run(["mount", *what, str(folder)], capture_output=True)
        if not mounted or mounted.returncode:
            pytest.skip("a disk can be mounted by root alone; run this test as root to see what a full one does")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def hub_stand_in() -> Iterator:
    """A Hub of this test's own on loopback, empty; its clients run in child processes (`run_client`)."""
    from hub_stand_in import HubStandIn

    with HubStandIn().running() as hub:
        yield hub
