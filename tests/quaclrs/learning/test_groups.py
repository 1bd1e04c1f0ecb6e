"""Which clips are of one recording."""

from __future__ import annotations

import numpy as np
import soundfile

from quaclrs.learning.groups import recordings_of
from quaclrs.learning.labelled import LabelledSound


def test_slices_that_share_sound_and_names_and_columns_and_parts_of_a_file(tmp_path):
    rng = np.random.default_rng(0)
    long = rng.standard_normal(8000 * 5) * np.interp(np.arange(40000), np.arange(0, 40001, 2000), rng.uniform(0, 1, 21))
    for name, samples in {
        "one.wav": long[:24000], "two.wav": long[12000:36000], "else.wav": rng.standard_normal(24000),
        "walk__1.wav": rng.standard_normal(8000), "walk__2.wav": rng.standard_normal(8000),
    }.items():  # fmt: skip
        soundfile.write(tmp_path / name, 0.1 * samples, 8000)
    sounds = [LabelledSound(tmp_path / name, "a") for name in ("one.wav", "two.wav", "else.wav")]
    sounds += [LabelledSound(tmp_path / name, label) for name, label in (("walk__1.wav", "a"), ("walk__2.wav", "b"))]
    sounds += [LabelledSound(tmp_path / "else.wav", "c", start, start + 1) for start in (0.0, 1.5)]
    sounds += [LabelledSound(tmp_path / "one.wav", "d", recording="said")]
    one, two, other, walk1, walk2, part1, part2, said = recordings_of(sounds)
    assert one == two != other
    assert walk1 == walk2
    assert part1 == part2 == other
    assert "said" in said
    assert recordings_of(sounds, by_content=False)[0] != recordings_of(sounds, by_content=False)[1]


def test_a_clip_cut_from_a_labelled_file_is_of_its_recording_wherever_it_lies(tmp_path):
    file = tmp_path / "recordings" / "monday" / "street.wav"
    names = ("street", "monday_street", "tuesday_street")
    cuts = [LabelledSound(tmp_path / "review" / "dog" / f"{name}__12000.wav", "dog") for name in names]
    sounds = [LabelledSound(file, "dog", 1.0, 3.0), *cuts]
    part, near, far, other = recordings_of(sounds, by_content=False)
    assert part == near == far != other
    assert recordings_of(cuts, by_content=False)[0] == "recording street"
    files = [LabelledSound(tmp_path / f"{name}.wav", "dog") for name in ("walk__1", "walk__2", "walk__1__12000")]
    said = [LabelledSound(tmp_path / "x.wav", "dog", recording="day 1"), LabelledSound(tmp_path / "x__500.wav", "dog")]
    assert recordings_of(files + said, by_content=False).tolist() == ["recording walk"] * 3 + ["recording day 1"] * 2
