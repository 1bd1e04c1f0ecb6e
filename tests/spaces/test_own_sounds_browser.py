"""A visitor's own sounds in a real browser: named, uploaded, learned, tried and taken home."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from quaclrs import load_classifier

sync_api = pytest.importorskip("playwright.sync_api", reason="no browser test: playwright is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser test: chromium is not installed")

RATE = 16_000


def hiss_or_hum(kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng((seed, len(kind)))
    time = np.arange(2 * RATE) / RATE
    if kind == "hiss":
        return 0.1 * rng.standard_normal(len(time))
    return 0.15 * sum(np.sin(2 * np.pi * rng.uniform(90, 180) * n * time) / n for n in range(1, 8))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Four clips of a kind, the last of which nobody learns from."""
    folder = tmp_path_factory.mktemp("own")
    found: dict[str, list[Path]] = {"hiss": [], "hum": []}
    for kind, files in found.items():
        for seed in range(4):
            files.append(folder / f"{kind} {seed}.wav")
            soundfile.write(files[-1], hiss_or_hum(kind, seed), RATE)
    return found


@pytest.fixture(scope="module")
def page(space: str) -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.goto(space)
        page.get_by_role("tab", name="Your own sounds").click()
        page.wait_for_selector("#learn")
        yield page
        browser.close()


def test_without_clips_it_says_what_is_missing(page):
    page.click("#learn")
    page.wait_for_selector("text=no sounds yet", timeout=60_000)
    assert page.locator("#own-report iframe").count() == 0 and not page.is_visible("#own-download")


def test_sounds_are_learned_tried_and_taken_home(page, clips, tmp_path):
    for number, (kind, label) in enumerate((("hiss", "Rauschen <b>"), ("hum", "路面电车"))):
        page.fill(f"#own-label-{number} textarea, #own-label-{number} input", label)
        page.set_input_files(f"#own-clips-{number} input[type=file]", [str(file) for file in clips[kind][:3]])
        page.wait_for_selector(f"#own-clips-{number} >> text={clips[kind][2].stem}", timeout=60_000)
    page.click("#learn")
    frame = page.wait_for_selector("#own-report iframe", timeout=120_000).content_frame()
    frame.wait_for_selector("text=2 sounds, learned from 6 clips")
    assert frame.locator("b").count() == 0  # a label is text
    page.set_input_files("#own-sound input[type=file]", str(clips["hum"][3]))
    page.wait_for_selector("#own-sound [aria-label='Clear']", timeout=60_000)
    page.click("#own-listen")
    page.wait_for_selector("#own-answer h2", timeout=60_000)
    assert page.inner_text("#own-answer h2").strip() == "路面电车"
    with page.expect_download(timeout=60_000) as waiting:
        page.click("#own-download")
    waiting.value.save_as(tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        archive.extractall(tmp_path / "model")
    classifier = load_classifier(tmp_path / "model")
    assert classifier.predict(str(clips["hiss"][3]))[0]["label"] == "Rauschen <b>"
    for name in ("report.html", "learned.json", "README.md"):
        assert "/tmp" not in (tmp_path / "model" / name).read_text(encoding="utf-8")  # no place of the server


def test_one_more_sound_can_be_named(page):
    assert not page.is_visible("#own-label-2")
    page.click("#own-more")
    page.wait_for_selector("#own-label-2", state="visible", timeout=30_000)
