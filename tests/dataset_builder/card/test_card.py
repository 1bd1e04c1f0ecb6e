"""What the data card says, against the recordings that were written."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import Audio, load_dataset
from huggingface_hub import DatasetCard
from PIL import Image

from dataset_builder.__main__ import main
from dataset_builder.card.readme import _licence


def write_class(folder: Path, label: str, lengths: list[float], rate: int = 44_100, channels: int = 2) -> None:
    (folder / label).mkdir(parents=True)
    generator = np.random.default_rng(len(label))
    for i, seconds in enumerate(lengths):
        waveform = 0.1 * generator.standard_normal((round(seconds * rate), channels))
        soundfile.write(folder / label / f"sound_{i + 1}.wav", waveform, rate)


def build(sirennet: Path, output: Path) -> Path:
    assert main(["build", "--sirennet", str(sirennet), "--output", str(output)]) == 0
    return output


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    write_class(folder / "sireNNet", "ambulance", [3.0] * 12)
    write_class(folder / "sireNNet", "traffic", [1.0, 2.0, 3.0, 3.5] * 3, rate=22_050, channels=1)
    return build(folder / "sireNNet", folder / "built")


def test_the_header_is_one_that_the_hub_parses_with_a_size_for_every_split(built):
    data = DatasetCard.load(built / "README.md").data
    assert data.task_categories == ["audio-classification"]
    assert [config["config_name"] for config in data["configs"]][:2] == ["default", "fold1"]
    for info in data["dataset_info"]:
        loaded = load_dataset(str(built), info["config_name"])
        assert {s["name"]: s["num_examples"] for s in info["splits"]} == {k: len(v) for k, v in loaded.items()}
        assert info["download_size"] == sum(p.stat().st_size for p in (built / "data").iterdir())


def test_tables_hold_the_counts_durations_and_formats_that_were_written(built):
    card = re.sub(" +", " ", (built / "README.md").read_text())  # columns line up
    row = re.search(r"\| ambulance \|(.*)\| 12 \| 12 \|", card)
    assert row and sum(map(int, row.group(1).split("|"))) == 12
    assert "| ambulance | 3.00 | 3.00 | 3.00 | 3.00 | 3.00 | 100% |" in card
    assert "| traffic | 1.00 | 1.75 | 2.50 | 3.12 | 3.50 | 25% |" in card
    assert "| sirennet | 44100 Hz | 2 | 12 |" in card
    assert "| sirennet | 22050 Hz | 1 | 12 |" in card


def test_a_picture_of_every_class_lies_beside_the_card_and_is_shown(built):
    card = (built / "README.md").read_text()
    (name,) = re.findall(r"!\[.*?\]\((.*?)\)", card)
    picture = np.asarray(Image.open(built / name).convert("L"))
    assert picture.std() > 20  # something is drawn


def test_no_licence_is_claimed_for_clips_that_state_none(built):
    assert DatasetCard.load(built / "README.md").data.license == "other"
    assert "is not claimed" in (built / "README.md").read_text()


def test_a_folder_built_anew_in_the_same_place_is_not_loaded_from_an_old_cache(tmp_path):
    """`datasets` caches a local folder under its name and a hash of its card, not of its files."""
    heard = []
    for seed in (1, 2):
        generator = np.random.default_rng(seed)
        shutil.rmtree(tmp_path / "built", ignore_errors=True)
        (tmp_path / "sireNNet" / "traffic").mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "sireNNet" / "traffic" / "sound_1.wav", generator.uniform(-0.5, 0.5, 8000), 8000)
        build(tmp_path / "sireNNet", tmp_path / "built")
        clips = load_dataset(str(tmp_path / "built"), split="train").cast_column("audio", Audio(decode=False))
        heard.append(clips[0]["audio"]["bytes"])
    assert heard[0] != heard[1]


def test_clips_left_out_and_remarks_of_a_source_are_listed(tmp_path):
    write_class(tmp_path / "sireNNet", "traffic", [1.0] * 3)
    (tmp_path / "sireNNet" / "traffic" / "sound_9.wav").write_bytes(b"no audio")
    command = ["build", "--sirennet", str(tmp_path), "--output", str(tmp_path / "built"), "--skip-broken"]
    assert main(command) == 0
    card = (tmp_path / "built" / "README.md").read_text()
    assert "cannot be decoded: sirennet/traffic/sound_9" in card
    assert str(tmp_path) not in card


def test_only_what_is_synthetic_throughout_is_called_so(sample_dataset, tmp_path):
    write_class(tmp_path / "own", "tram", [1.0] * 12)
    extra = ["--extra", f"tram={tmp_path / 'own' / 'tram'}"]
    sirennet, whole = tmp_path / "sireNNet", sample_dataset / "sireNNet"
    shutil.copytree(whole / "traffic", sirennet / "traffic")  # one class of the four: each is grouped by its sound
    shutil.copy(whole / "SYNTHETIC.md", sirennet)
    assert main(["build", "--sirennet", str(sirennet), *extra, "--output", str(tmp_path / "built")]) == 0
    card = DatasetCard.load(tmp_path / "built" / "README.md")
    assert card.data.license == "other"
    assert "synthetic" not in card.data.tags
    assert "sirennet: these clips are synthetic, the others are not" in card.text


@pytest.mark.parametrize(
    ("licences", "name"),
    [
        ({"CC BY-NC 3.0"}, "cc-by-nc-3.0"),
        ({"CC BY-NC 3.0", "Apache-2.0"}, "cc-by-nc-3.0"),
        ({"CC BY 4.0", "Apache-2.0"}, "cc-by-4.0"),
        ({"CC BY-NC 3.0", "unknown"}, "other"),
        ({"unknown"}, "other"),
    ],
)
def test_the_whole_has_the_strictest_licence_of_its_parts_where_all_are_known(licences, name):
    assert _licence(licences) == name
