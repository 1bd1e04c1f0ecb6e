"""A pushed data set whose card was changed on the Hub, and pushes that are killed at any moment."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml
from datasets import Audio, ClassLabel, Features, Value
from hub_repository import Blob
from test_push import local_shards_and_card, shards_and_card, write_dataset

#: What every door makes of a data set: the labels of its clips, or the line that refuses it.
DOORS = """
import json
from quaclrs import load_urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.evaluation_clips import choose_clips
from quaclrs.evaluation.foreign_dataset import load_foreign_dataset

doors = {
    "clips": lambda name: load_urbansound13(name)["label"],
    "stream": lambda name: load_urbansound13(name, streaming=True)["train"]["label"],
    "foreign": lambda name: load_foreign_dataset(name).rows["label"],
    "evaluation": lambda name: choose_clips(name, ["dog_bark", "siren"]).labels.tolist(),
}
found = {}
for door, load in doors.items():
    try:
        found[door] = list(load("ns/name"))
    except QuaclrsError as error:
        found[door] = str(error)
print(json.dumps(found))
"""

#: A push that is killed so many seconds after it began, or says how long it took.
TIMED_PUSH = """
import os, sys, threading, time
import datasets, huggingface_hub, pyarrow.parquet
from dataset_builder.__main__ import main

end = threading.Timer(float(sys.argv[1]), os.kill, (os.getpid(), 9))
end.daemon = True
end.start()
began = time.monotonic()
assert main(["push", "--repo", "ns/name", sys.argv[2]]) == 0
print(time.monotonic() - began)
"""


def test_a_card_on_the_hub_that_permutes_the_names_of_labels_is_refused_at_every_door(hub_stand_in, push, tmp_path):
    dataset = write_dataset(tmp_path / "d", {"fold01-00000": ["a"], "fold02-00000": ["b"], "fold03-00000": ["c"]})
    assert push(dataset).returncode == 0
    repo = hub_stand_in.repos["datasets", "ns/name"]

    def found() -> dict:
        process = hub_stand_in.run_client("-c", DOORS, home=tmp_path / "home")
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout.splitlines()[-1])

    assert found() == {door: [0, 0, 0] for door in ("clips", "stream", "foreign", "evaluation")}
    header = yaml.safe_load((dataset / "README.md").read_text().split("---")[1])
    features = {"audio": Audio(), "label": ClassLabel(names=["siren", "dog_bark"]), "fold": Value("int8")}
    features |= {name: Value("string") for name in ("clip_id", "source", "recording_id")}
    header["dataset_info"] = {"config_name": "default", "features": Features(features)._to_yaml_list()}
    card = Blob(f"---\n{yaml.safe_dump(header)}---\n".encode(), lfs=False)
    repo.commit("Permute", {**repo.commits[-1].files, "README.md": card})
    for door, refused in found().items():
        assert "calls label 0 dog_bark and not siren, as dataset_info in README.md" in refused, door


@pytest.mark.weekly
def test_pushes_killed_at_random_moments_leave_a_whole_version_and_run_again_equal_one_never_killed(
    hub_stand_in, push, tmp_path
):
    home, generator, kills = tmp_path / "home", random.Random(0), 0
    versions = [
        write_dataset(tmp_path / name, {f"fold0{i}-00000": [f"{name}{i}"] for i in range(1, shards)})
        for name, shards in (("old", 8), ("new", 6))
    ]

    def timed(seconds: float, version: Path):
        return hub_stand_in.run_client("-c", TIMED_PUSH, str(seconds), str(version), home=home)

    lasting = float(timed(600, versions[0]).stdout.splitlines()[-1])
    repo = hub_stand_in.repos["datasets", "ns/name"]
    for trial in range(1, 7):
        before, version = versions[(trial - 1) % 2], versions[trial % 2]
        killed = timed(generator.uniform(0, 1) * lasting, version).returncode == -9
        kills += killed
        assert shards_and_card(repo) in [
            local_shards_and_card(v) for v in ((before, version) if killed else (version,))
        ]
        assert push(version).returncode == 0
        assert shards_and_card(repo) == local_shards_and_card(version)
    assert kills > 2
