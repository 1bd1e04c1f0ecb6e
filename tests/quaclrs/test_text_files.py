"""JSON and YAML of others: read as the standard readers do, or refused in one line that names the file."""

import json

import pytest
import yaml

from quaclrs.errors import QuaclrsError
from quaclrs.text_files import read_json, read_mapping, read_yaml

BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True))


def test_they_hold_what_the_standard_readers_find(tmp_path):
    values = {"name": "siren", "rates": [0.1, 2], "nested": {"none": None}}
    (tmp_path / "a.json").write_text(json.dumps(values), encoding="utf-8")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    assert read_json(tmp_path / "a.json") == read_yaml(tmp_path / "a.yaml") == values
    assert read_mapping(tmp_path / "a.json") == read_mapping(tmp_path / "a.yaml") == values
    for name in ("a.json", "a.yaml"):  # as editors of Windows save it
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + (tmp_path / name).read_bytes())
        assert read_mapping(tmp_path / name) == values


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "JSON"),
        (b'{"a": 1', "JSON"),
        (b'{"a": {"b": 1, "c": 2, "b": 3}}', "it names b twice"),
        (b"\xff\xfe\x00", "decode"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b" " * ((1 << 26) + 1), "larger than 64 MiB"),
    ],
)
def test_damaged_json_is_refused_by_name(tmp_path, content, reason):
    file = tmp_path / "config.json"
    file.write_bytes(content)
    with pytest.raises(QuaclrsError, match=f"config.json .*{reason}.*; restore it"):
        read_json(file, "restore it")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: [1", "YAML"),
        ("dog: dog_bark\nhorn: car_horn\ndog: gun_shot\n", "it names dog twice"),
        ("a: !!map text", "YAML"),
        ("[" * 20_000, "nested too deeply"),
        ("a: " + "{b: " * 20_000, "nested too deeply"),
        ("a: !!python/object/apply:os.system ['touch opened']", "python/object"),
        (BOMB, "aliases"),
        ("#" * ((1 << 20) + 1), "larger than 1 MiB"),
    ],
)
def test_damaged_and_hostile_yaml_is_refused_by_name(tmp_path, monkeypatch, content, reason):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "options.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(QuaclrsError, match=f"options.yaml .*{reason}"):
        read_yaml(file)
    assert [path.name for path in tmp_path.iterdir()] == ["options.yaml"]


@pytest.mark.parametrize("content", ["- a\n- b\n", "text", "1: a\n", "3"])
def test_a_mapping_is_one_of_names(tmp_path, content):
    (tmp_path / "options.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(QuaclrsError, match=r"options\.yaml must hold names and their values; give one a line"):
        read_mapping(tmp_path / "options.yaml", "give one a line")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(QuaclrsError, match=r"none\.json cannot be read"):
        read_json(tmp_path / "none.json")
