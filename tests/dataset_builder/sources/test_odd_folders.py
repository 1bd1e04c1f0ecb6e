"""Sources as people have them: links, other endings, files that are no sounds, damage."""

from __future__ import annotations

import pytest
import soundfile
from test_build import build, rows_of, write_noise, write_sirennet, write_urbansound8k

from dataset_builder.sources.extra import scan_extras
from dataset_builder.sources.files import fingerprint
from dataset_builder.sources.urbansound8k import scan_urbansound8k
from quaclrs.audio import AudioWarning


def test_linked_folds_of_urbansound8k_are_searched(tmp_path):
    root = write_urbansound8k(tmp_path / "us8k", [("1", "dog_bark", 1), ("2", "car_horn", 2)])
    (root / "audio" / "fold2").rename(tmp_path / "elsewhere")
    (root / "audio" / "fold2").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    report = scan_urbansound8k(root)
    assert {clip.fold for clip in report.clips} == {1, 2} and not report.missing


def test_a_class_of_ones_own_takes_every_sound_and_names_what_is_none(tmp_path):
    saws = tmp_path / "saws"
    sound = write_noise(saws / "a.wav", seed=0)
    for name, form in (("b.aifc", "AIFF"), ("c.wave", "WAV"), ("d", "FLAC")):
        soundfile.write(saws / name, sound, 22_050, format=form)
    (saws / "metadata.csv").write_text("file\na.wav\n")
    (saws / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    write_noise(tmp_path / "store" / "s.wav", seed=1)
    (saws / "site").symlink_to(tmp_path / "store", target_is_directory=True)
    with pytest.warns(AudioWarning, match=r"1 file that is not a sound was passed over: photo\.jpg"):
        report = scan_extras({"saw": saws})
    assert [clip.path.name for clip in report.clips] == ["a.wav", "b.aifc", "c.wave", "d", "s.wav"]


def test_a_sound_that_changes_behind_a_link_changes_the_fingerprint_of_its_source(tmp_path):
    write_noise(tmp_path / "store" / "s.wav", seed=1)
    (tmp_path / "saws").mkdir()
    (tmp_path / "saws" / "site").symlink_to(tmp_path / "store", target_is_directory=True)
    before = fingerprint([tmp_path / "saws"])
    write_noise(tmp_path / "store" / "s.wav", seed=1, seconds=0.7)
    assert fingerprint([tmp_path / "saws"]) != before


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_damaged_clip_is_built_of_what_is_there_and_named_once(tmp_path, capsys, processes):
    new = write_sirennet(tmp_path / "new", {"traffic": 3})
    sound = write_noise(tmp_path / "whole.flac", seed=9, seconds=4.0)
    content = (tmp_path / "whole.flac").read_bytes()
    (new / "traffic" / "sound_2.wav").write_bytes(content[: len(content) // 2])
    assert build(None, new, tmp_path / "built", "--num-proc", processes) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "sound_2" in line]
    assert len(lines) == 1 and "is damaged or cut short" in lines[0] and lines[0].startswith("warning: ")
    lengths = {row["clip_id"].split("/")[-1]: row["duration"] for row in rows_of(tmp_path / "built")}
    assert 1.0 < lengths["sound_2"] < 0.6 * len(sound) / 22_050
