"""A built data set, published on a Hub stand-in and read back as its users read it."""

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Audio, ClassLabel, Features, Value
from hub_stand_in import Fault

from dataset_builder.push import read_built_dataset
from quaclrs.errors import QuaclrsError

#: A push that kills itself before, or after, its first request of a kind.
KILLED_PUSH = """
import os, sys
from dataset_builder.__main__ import main
from huggingface_hub.utils import _http

httpx = getattr(_http, "httpx2", None) or _http.httpx
when, method, path = sys.argv[1:4]
send = httpx.Client.send

def send_or_die(client, request, **options):
    is_it = request.method == method and path in request.url.path
    if is_it and when == "before":
        os.kill(os.getpid(), 9)
    answer = send(client, request, **options)
    if is_it:
        os.kill(os.getpid(), 9)
    return answer

httpx.Client.send = send_or_die
main(["push", "--repo", "ns/name", sys.argv[4]])
"""

READ = """
import hashlib, json, sys
from datasets import Audio, load_dataset
from quaclrs import load_urbansound13

def rows(clips):
    clips = clips.cast_column("audio", Audio(decode=False)).select_columns(["clip_id", "label", "audio"])
    return [[r["clip_id"], r["label"], hashlib.md5(r["audio"]["bytes"]).hexdigest()] for r in clips]

def splits(parts):
    return {name: rows(part) for name, part in parts.items()}

read = {
    "default": lambda: rows(load_dataset("ns/name", split="train")),
    "default by name": lambda: rows(load_dataset("ns/name", "default", split="train")),
    "fold3": lambda: splits(load_dataset("ns/name", "fold3")),
    "quaclrs": lambda: splits(load_urbansound13("ns/name", fold=3)),
    "stream": lambda: rows(load_dataset("ns/name", split="train", streaming=True).take(5)),
}
print(json.dumps({name: read[name]() for name in sys.argv[1:]}))
"""


FEATURES = {"audio": Audio(), "label": ClassLabel(names=["dog_bark", "siren"]), "fold": Value("int8")}
FEATURES |= {name: Value("string") for name in ("clip_id", "source", "recording_id")}


@pytest.fixture
def read(hub_stand_in, tmp_path):
    """What a user's process reads of the pushed data set, by the names of `READ`."""

    def run(*names: str, **environment: str) -> dict:
        process = hub_stand_in.run_client("-c", READ, *names, home=tmp_path / "home", **environment)
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout)

    return run


def write_dataset(folder: Path, shards: dict[str, list[str]], text: str = "") -> Path:
    """A small data set laid out as the builder does it: clip ids by shard."""
    (folder / "data").mkdir(parents=True)
    for shard, clip_ids in shards.items():
        values = {"label": 0, "source": "few", "fold": int(shard[4:6]), "audio": {"bytes": b"fLaC", "path": "a.flac"}}
        rows = [values | {"clip_id": clip_id, "recording_id": clip_id} for clip_id in clip_ids]
        table = pa.Table.from_pylist(rows, schema=Features(FEATURES).arrow_schema)
        pq.write_table(table, folder / "data" / f"{shard}.parquet")
    fold1 = [{"split": "test", "path": ["data/fold01-[0-9]*.parquet"]}]
    configs = [
        {"config_name": "fold1", "data_files": fold1},
        {"config_name": "default", "default": True, "data_files": [{"split": "train", "path": "data/*.parquet"}]},
    ]
    write_card(folder, {"pretty_name": "Few clips", "configs": configs}, text)
    return folder


def write_card(folder: Path, header: dict, text: str = "") -> None:
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(header)}---\n\n# Few clips\n{text}")


def local_rows(dataset: Path) -> dict[str, list]:
    """clip_id -> label, digest of the audio's bytes and fold, read from the Parquet files with Arrow alone."""
    tables = [pq.read_table(file) for file in sorted((dataset / "data").glob("*.parquet"))]
    return {
        row["clip_id"]: [row["label"], digest(row["audio"]["bytes"]), row["fold"]]
        for row in pa.concat_tables(tables).to_pylist()
    }


def digest(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def error_line(process) -> str:
    lines = [line for line in process.stderr.splitlines() if line.startswith("error:")]
    assert (process.returncode, len(lines)) == (2, 1), process.stderr
    assert "Traceback" not in process.stderr
    return lines[0]


def shards_on(hub) -> list[str]:
    return [name for name in hub.repos["datasets", "ns/name"].commits[-1].files if name.startswith("data/")]


def test_the_sample_is_pushed_in_one_commit_and_read_back_row_by_row_also_offline(
    hub_stand_in, push, read, sample_dataset
):
    process = push(sample_dataset)
    assert process.returncode == 0, process.stderr
    assert f"{hub_stand_in.url}/datasets/ns/name: " in process.stdout
    assert 'load_dataset("ns/name", "fold1")' in process.stdout
    repo = hub_stand_in.repos["datasets", "ns/name"]
    assert len(repo.commits) == 2  # the Hub's own first, and ours
    pushed = {name: digest(blob.content) for name, blob in repo.commits[-1].files.items() if name != ".gitattributes"}
    local_files = [sample_dataset / "README.md", sample_dataset / "classes.png", *(sample_dataset / "data").iterdir()]
    assert pushed == {str(file.relative_to(sample_dataset)): digest(file.read_bytes()) for file in local_files}

    expected = local_rows(sample_dataset)
    in_order = [[clip_id, label, md5] for clip_id, (label, md5, _) in expected.items()]
    # The sample's recordings lie in one fold each, so the strict splits are whole folds.
    split_of = {clip_id: {3: "test", 2: "validation"}.get(row[2], "train") for clip_id, row in expected.items()}
    of_split = {s: [row for row in in_order if split_of[row[0]] == s] for s in ("train", "validation", "test")}
    found = read("default", "fold3", "quaclrs", "stream")
    assert found == {"default": in_order, "fold3": of_split, "quaclrs": of_split, "stream": in_order[:5]}

    hub_stand_in.stop()
    found = read("default by name", "fold3", "quaclrs", HF_HUB_OFFLINE="1")
    assert found == {"default by name": in_order, "fold3": of_split, "quaclrs": of_split}


def test_a_bad_token_is_refused_in_one_line_and_nothing_is_made(hub_stand_in, push, tmp_path):
    dataset = write_dataset(tmp_path / "d", {"fold01-00000": ["a"]})
    assert "hf auth login" in error_line(push(dataset, token="hf_wrong"))
    assert "no token" in error_line(push(dataset, token=None))
    assert not hub_stand_in.repos


def test_a_push_that_dies_half_way_leaves_the_old_version_and_a_second_one_succeeds(
    hub_stand_in, push, read_clips, tmp_path
):
    old = write_dataset(tmp_path / "old", {f"fold0{i}-00000": [f"old{i}"] for i in (1, 2, 3)})
    new = write_dataset(tmp_path / "new", {f"fold0{i}-00000": [f"new{i}"] for i in (1, 2, 3)})
    assert push(old).returncode == 0
    hub_stand_in.faults.append(Fault("PUT", "/lfs/", skip=1))
    assert "stopped half-way" in error_line(push(new))
    assert read_clips() == ["old1", "old2", "old3"]
    hub_stand_in.faults.clear()
    assert push(new).returncode == 0
    assert read_clips() == ["new1", "new2", "new3"]


@pytest.mark.parametrize("moment", ["after PUT /lfs/", "before POST /commit/", "after POST /commit/"])
def test_a_push_that_is_killed_leaves_the_old_version_or_the_new_one_and_a_second_one_the_new(
    hub_stand_in, push, tmp_path, moment
):
    old = write_dataset(tmp_path / "old", {f"fold0{i}-00000": [f"old{i}"] for i in (1, 2, 3)})
    new = write_dataset(tmp_path / "new", {f"fold0{i}-00000": [f"new{i}"] for i in (1, 2)})
    assert push(old).returncode == 0
    repo = hub_stand_in.repos["datasets", "ns/name"]
    home = tmp_path / "home"
    process = hub_stand_in.run_client("-c", KILLED_PUSH, *moment.split(), str(new), home=home)
    assert process.returncode == -9, process.stderr
    there = new if moment == "after POST /commit/" else old
    assert shards_and_card(repo) == local_shards_and_card(there)
    assert push(new).returncode == 0
    assert shards_and_card(repo) == local_shards_and_card(new)


def shards_and_card(repo) -> dict[str, str]:
    return {name: digest(blob.content) for name, blob in repo.commits[-1].files.items() if name != ".gitattributes"}


def local_shards_and_card(folder: Path) -> dict[str, str]:
    files = [folder / "README.md", *(folder / "data").iterdir()]
    return {file.relative_to(folder).as_posix(): digest(file.read_bytes()) for file in files}


@pytest.fixture
def read_clips(hub_stand_in, tmp_path):
    """The clip ids that `load_dataset` finds."""

    def run() -> list[str]:
        code = "from datasets import load_dataset; import json\n"
        code += "print(json.dumps(load_dataset('ns/name', split='train')['clip_id'][:]))"
        process = hub_stand_in.run_client("-c", code, home=tmp_path / "home")
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout)

    return run


def test_a_version_with_fewer_shards_leaves_none_of_the_old_ones(hub_stand_in, push, read_clips, tmp_path):
    old = write_dataset(tmp_path / "old", {"fold01-00000": ["a"], "fold01-00001": ["b"], "fold02-00000": ["c"]})
    new = write_dataset(tmp_path / "new", {"fold01-00000": ["a", "b"], "fold02-00000": ["d"]})
    assert push(old).returncode == 0
    process = push(new)
    assert "1 of the version before removed" in process.stdout
    assert shards_on(hub_stand_in) == ["data/fold01-00000.parquet", "data/fold02-00000.parquet"]
    assert len(hub_stand_in.repos["datasets", "ns/name"].commits) == 3
    assert read_clips() == ["a", "b", "d"]


def test_private_reaches_the_hub(hub_stand_in, push, tmp_path):
    dataset = write_dataset(tmp_path / "d", {"fold01-00000": ["a"]})
    assert push(dataset, "--private", repo="ns/hidden").returncode == 0
    assert push(dataset, repo="ns/open").returncode == 0
    assert {name: repo.private for (_, name), repo in hub_stand_in.repos.items()} == {
        "ns/hidden": True,
        "ns/open": False,
    }


def test_the_card_goes_with_its_pictures_and_links_and_without_what_else_lies_there(tmp_path):
    text = (
        "![waves](pictures/dog_bark.png) <img width='9' src=\"./pictures/siren.png\">\n"
        "[list](duplicates.csv) [site](https://example.org/x.png) [below](#licences) [raw](UrbanSound8K)\n"
        "```\n![no picture](of/code.png)\n```\n"
    )
    dataset = write_dataset(tmp_path / "d", {"fold01-00000": ["a"], "fold02-00000": ["b", "c"]}, text)
    for name in ("pictures/dog_bark.png", "pictures/siren.png", "pictures/unused.png", "duplicates.csv"):
        (dataset / name).parent.mkdir(exist_ok=True)
        (dataset / name).touch()
    for name in ("UrbanSound8K/audio/a.wav", "sireNNet/police/b.wav", "data/fold03-00000.parquet.partial", "notes.txt"):
        (dataset / name).parent.mkdir(parents=True, exist_ok=True)
        (dataset / name).touch()
    found = read_built_dataset(dataset)
    assert set(found.files) == {
        "README.md",
        "data/fold01-00000.parquet",
        "data/fold02-00000.parquet",
        "duplicates.csv",
        "pictures/dog_bark.png",
        "pictures/siren.png",
    }
    assert (found.name, found.configs, found.clips) == ("Few clips", ("default", "fold1"), 3)


def damage(folder: Path, what: str) -> None:
    shard = folder / "data" / "fold01-00000.parquet"
    if what == "folder":
        shutil.rmtree(folder)
    elif what == "card":
        (folder / "README.md").unlink()
    elif what == "yaml":
        (folder / "README.md").write_text("---\nconfigs: [\n---\n")
    elif what == "configs":
        write_card(folder, {"license": "mit"})
    elif what == "plain card":
        (folder / "README.md").write_text("# A folder of mine\n")
    elif what == "no data_files":
        write_card(folder, {"configs": [{"config_name": "default"}]})
    elif what == "outside":
        write_card(folder, {"configs": [{"config_name": "default", "data_files": "../other/*.parquet"}]})
    elif what == "shard":
        shard.unlink()
    elif what == "cut shard":
        shard.write_bytes(shard.read_bytes()[:-10])
    elif what == "other shard":
        pq.write_table(pa.table({"text": ["no clip"]}), shard)
    elif what == "two of one name":
        shutil.copy(shard, shard.with_name("fold01-00001.parquet"))
    elif what == "labels":
        told = Features({"label": ClassLabel(names=["siren", "dog_bark"])})._to_yaml_list()
        configs = [{"config_name": "default", "data_files": "data/*.parquet"}]
        write_card(folder, {"configs": configs, "dataset_info": {"config_name": "default", "features": told}})
    elif what == "dataset_info":
        configs = [{"config_name": "default", "data_files": "data/*.parquet"}]
        write_card(folder, {"configs": configs, "dataset_info": {"config_name": "default", "features": 3}})
    elif what == "deep yaml":
        (folder / "README.md").write_text(f"---\nconfigs: {'[' * 5000}\n---\n")
    elif what == "yaml bomb":
        lines = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
        (folder / "README.md").write_text("\n".join(["---", "a0: &a0 [x]", *lines, "---", ""]))
    elif what == "no sound":
        table = pq.read_table(shard)
        nothing = pa.array([{"bytes": None, "path": "/etc/passwd"}], table.schema.field("audio").type)
        pq.write_table(
            table.set_column(table.schema.get_field_index("audio"), table.schema.field("audio"), nothing), shard
        )
    elif what == "picture":
        with (folder / "README.md").open("a") as card:
            card.write("![gone](pictures/gone.png)\n")


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("folder", "does not exist"),
        ("card", "no README.md"),
        ("yaml", "no valid YAML"),
        ("configs", "names no configs"),
        ("plain card", "names no configs"),
        ("no data_files", "names no data_files"),
        ("outside", "outside the folder"),
        ("shard", r"config fold1 names data/fold01-\[0-9\]\*\.parquet, but"),
        ("cut shard", r"fold01-00000\.parquet is not a readable Parquet file"),
        ("other shard", r"fold01-00000\.parquet has no column clip_id, fold, label, recording_id"),
        ("picture", r"shows pictures/gone\.png"),
        ("two of one name", "1 clip has the clip_id of another one: a in row 1"),
        ("labels", "calls label 0 dog_bark and not siren"),
        ("dataset_info", "no valid dataset_info"),
        ("deep yaml", "no valid YAML"),
        ("yaml bomb", "no valid YAML"),
        ("no sound", r"clips without audio \(1\)"),
    ],
)
def test_a_folder_that_the_builder_did_not_write_whole_is_refused(tmp_path, what, says):
    dataset = write_dataset(tmp_path / "d", {"fold01-00000": ["a"], "fold02-00000": ["b"]})
    damage(dataset, what)
    with pytest.raises(QuaclrsError, match=says) as refusal:
        read_built_dataset(dataset)
    assert str(dataset) in str(refusal.value)


def test_wrong_options_and_folders_are_one_line_and_status_2_and_nothing_is_sent(hub_stand_in, push, tmp_path):
    dataset = write_dataset(tmp_path / "d", {"fold01-00000": ["a"]})
    assert "namespace/name" in error_line(push(dataset, repo="name"))
    assert "absent does not exist" in error_line(push(tmp_path / "absent"))
    assert "--privat3" in error_line(push(dataset, "--privat3"))
    assert not hub_stand_in.requests
