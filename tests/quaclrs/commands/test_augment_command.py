"""`quaclrs augment`: a panel for every variant, the policy's draws, and mistakes in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure

from quaclrs.cli import main
from quaclrs.evaluation.figures import style


@pytest.fixture
def sound(tmp_path) -> Path:
    file = tmp_path / "sweep.wav"
    seconds = np.arange(2 * 22_050) / 22_050
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * (300 * seconds + 400 * seconds**2)), 22_050)
    return file


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    """Figures that are saved, which still are."""
    seen: list[Figure] = []
    save = style.save_figure
    monkeypatch.setattr(style, "save_figure", lambda figure, path: (seen.append(figure), save(figure, path)))
    return seen


def panels_of(figure: Figure) -> dict[str, np.ndarray]:
    return {axes.get_title(): np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images}


def test_the_papers_twelve_variants_stand_beside_each_other_and_differ(sound, figures, capsys) -> None:
    assert main(["augment", str(sound)]) == 0
    panels = panels_of(figures[0])
    # Section 3 of the paper: the clip, two kinds of noise, two stretches, two shifts, three masks, two patches.
    assert [name.split(" ")[0].split("-")[0] for name in panels] == (
        ["original"] + ["noise"] * 2 + ["timestretch"] * 2 + ["pitchshift"] * 2 + ["specaugment"] * 3
        + ["patchaugment"] * 2
    )  # fmt: skip
    assert len({panel.tobytes() for panel in panels.values()}) == 12
    picture = sound.with_suffix(".augmented.png")
    assert picture.read_bytes().startswith(b"\x89PNG") and str(picture) in capsys.readouterr().out
    # 1.2 times as fast ends at 2 s / 1.2.
    assert (panels["timestretch 1.2"] > -40).any(0).nonzero()[0].max() / 376 * 4 == pytest.approx(2 / 1.2, abs=0.1)


def test_a_policys_draws_differ_and_depend_on_the_seed(sound, figures, tmp_path) -> None:
    for seed in (0, 0, 1):
        assert (
            main(["augment", str(sound), "--policy", "default", "--seed", str(seed), "--output", f"{tmp_path}/p.png"])
            == 0
        )
    first, again, other = (panels_of(figure) for figure in figures)
    assert len({panel.tobytes() for panel in first.values()}) == 12
    for name, panel in first.items():
        np.testing.assert_array_equal(panel, again[name])
        assert name == "original" or not np.array_equal(panel, other[name])


def test_a_policy_alters_the_part_of_a_long_sound_that_is_shown(figures, tmp_path) -> None:
    seconds = np.arange(4 * 22_050) / 22_050
    low, high = (0.3 * np.sin(2 * np.pi * hertz * seconds) for hertz in (300, 4000))
    soundfile.write(tmp_path / "long.wav", np.concatenate([low, high, low]), 22_050)
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "rain.wav", np.random.default_rng(0).normal(0, 0.1, 22_050), 22_050)
    policy = tmp_path / "faint.yaml"
    policy.write_text("background_noise: {snr_db: [60, 60], split: all}\n")
    options = ["--policy", str(policy), "--background-noise", str(tmp_path / "noise")]
    assert main(["augment", str(tmp_path / "long.wav"), *options]) == 0
    panels = panels_of(figures[0])
    loudest = {name: panel.mean(axis=1).argmax() for name, panel in panels.items()}
    assert set(loudest.values()) == {loudest["original"]}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--policy", "loud"], "augmentation policy loud does not exist"),
        (["--seed", "-1"], "--seed is -1"),
        (["--policy", "street"], "name a folder (--background-noise DIR)"),
        (["--background-noise", "."], "--background-noise has no use without --policy"),
        (["--policy", "MIX"], "mixes clips"),
    ],
)
def test_a_mistake_is_one_line(options, words, sound, tmp_path, expect_one_error_line) -> None:
    mix = tmp_path / "mix.yaml"
    mix.write_text("mixup: {alpha: 0.2}\n")
    assert main(["augment", str(sound), *[str(mix) if option == "MIX" else option for option in options]]) == 2
    expect_one_error_line(words)
