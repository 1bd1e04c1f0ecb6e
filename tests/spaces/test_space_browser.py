"""The page in a real browser: upload, answer, overlay, timeline, microphone, a phone's width, and messages."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from quaclrs import load_classifier

sync_api = pytest.importorskip("playwright.sync_api", reason="no browser test: playwright is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser test: chromium is not installed")

#: Where screenshots are kept; a folder of the test run where the variable is not set.
SCREENSHOTS = "QUACLRS_SCREENSHOTS"

EXAMPLES = Path(__file__).parents[2] / "spaces" / "examples"

TONE_HZ = 700

#: Milliseconds to wait for the page: a browser, a server and other tests share the cores.
PATIENCE_MS = 240_000


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute of one steady tone, which the fake microphone plays."""
    file = tmp_path_factory.mktemp("microphone") / "tone.wav"
    seconds = np.arange(30 * 48_000) / 48_000
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * TONE_HZ * seconds), 48_000, subtype="PCM_16")
    return file


@pytest.fixture(scope="module")
def browser(tone: Path) -> Iterator[Any]:
    arguments = [
        "--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={tone}",
    ]  # fmt: skip
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, space: str) -> Iterator[Callable[..., Any]]:
    contexts = []

    def start(width: int = 1280, height: int = 1000) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, permissions=["microphone"])
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(space)
        page.wait_for_selector("#listen")
        return page

    yield start
    for context in contexts:
        context.close()


def keep_screenshot(page: Any, name: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get(SCREENSHOTS, tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)


def upload(page: Any, file: Path) -> None:
    page.set_input_files("#sound input[type=file]", str(file))
    page.wait_for_selector("#sound [aria-label='Clear']")


def answer_of(page: Any) -> str:
    page.wait_for_selector("#answer h2")
    return page.inner_text("#answer h2").strip()


def test_an_uploaded_file_gets_its_label_its_overlay_and_its_timeline(open_page, sounds, tmp_path):
    page = open_page()
    upload(page, sounds["street"])
    page.click("#listen")
    page.wait_for_selector("#overlay img")
    classifier = load_classifier(device="cpu")
    assert answer_of(page) == classifier.predict(sounds["street"])[0]["label"]
    assert page.inner_text("#extent").strip() == "heard 15 s"
    rows = page.inner_text("#timeline")
    for segment in classifier.predict_timeline(sounds["street"]):
        assert segment.label.replace("_", " ") in rows
    assert "(loudest)" in rows
    before = page.get_attribute("#overlay img", "src")
    page.click("#label input")
    page.get_by_role("option", name="drilling").click()
    page.wait_for_function("source => document.querySelector('#overlay img')?.src !== source", arg=before)
    keep_screenshot(page, "space_timeline", tmp_path)


def test_a_synthetic_siren_is_named_as_one_and_on_a_phone_nothing_is_wider_than_the_screen(open_page, tmp_path):
    page = open_page()
    upload(page, EXAMPLES / "ambulance.ogg")
    page.click("#listen")
    page.wait_for_selector("#overlay img")
    assert answer_of(page) == "ambulance"
    if SCREENSHOTS in os.environ:
        page.wait_for_timeout(1000)  # pictures fade in
    keep_screenshot(page, "space", tmp_path)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    keep_screenshot(page, "space_phone", tmp_path)


@pytest.mark.parametrize(("kind", "words"), [("no sound", "is text, no sound"), ("silent", "is silent")])
def test_a_file_that_cannot_be_heard_shows_why(kind, words, open_page, sounds):
    page = open_page()
    with page.expect_response(lambda response: "/upload" in response.url):
        page.set_input_files("#sound input[type=file]", str(sounds[kind]))
    page.click("#listen")
    page.wait_for_selector(f"text={words}")
    assert page.locator("#answer h2").count() == 0 and page.locator("#overlay img").count() == 0


def test_a_steady_tone_arrives_steady_from_the_microphone(open_page, tmp_path):
    page = open_page()
    page.get_by_role("button", name="Record audio").click()
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(4000)
    page.get_by_role("button", name="Stop").first.click()
    with page.expect_download() as waiting:
        page.click("#sound [aria-label='Download']")
    waiting.value.save_as(tmp_path / "recorded.wav")
    samples, rate = soundfile.read(tmp_path / "recorded.wav", always_2d=True)
    mono = samples.mean(axis=1)
    level = np.array([np.sqrt(np.mean(part**2)) for part in np.array_split(mono[rate:], 10)])  # the start may be cut
    assert level.min() > 0.05 and level.max() / level.min() < 1.3
    spectrum = np.abs(np.fft.rfft(mono[rate : 3 * rate]))
    assert np.fft.rfftfreq(2 * rate, 1 / rate)[spectrum.argmax()] == pytest.approx(TONE_HZ, abs=5)


def test_a_live_tone_moves_label_level_and_spectrogram_though_the_encoder_comes_late(open_page, tmp_path):
    page, held, is_late = open_page(), [], True
    page.route(re.compile(r"/module-[^/]*\.js"), lambda route: held.append(route) if is_late else route.continue_())
    page.get_by_role("tab", name="Live").click()
    page.locator("#stream").get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(1000)
    assert held, "the encoder of a stream has another name: find it among the page's requests"
    is_late = False
    for route in held:
        route.continue_()
    page.wait_for_selector("#live-label")
    page.wait_for_selector("#moving img")
    first = page.get_attribute("#moving img", "src")
    moved = "source => document.querySelector('#moving img')?.src !== source"
    page.wait_for_function(moved, arg=first)
    page.wait_for_timeout(4000)
    # A sine of 0.3: its root mean square is 3 dB below.
    assert float(page.inner_text("#live-level")) == pytest.approx(20 * np.log10(0.3) - 3, abs=1.5)
    keep_screenshot(page, "space_live", tmp_path)
    page.get_by_role("button", name="Stop").first.click()
