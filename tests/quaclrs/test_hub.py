"""Folders pushed to a Hub stand-in by real clients, which run in child processes."""

import json
from pathlib import Path

import pytest
from hub_stand_in import READER, WRITER, Fault, HubStandIn

from quaclrs.errors import QuaclrsError
from quaclrs.hub import check_repo_id, files_to_push

PUSH = """
import json, sys, time
from pathlib import Path
from quaclrs.errors import report_user_errors
from quaclrs.hub import push_folder

time.sleep = lambda seconds: None  # the client waits between its attempts

@report_user_errors
def main(folder, repo, kind, options):
    pushed = push_folder(Path(folder), repo, kind, **json.loads(options))
    print(json.dumps([pushed.url, pushed.commit, pushed.files, pushed.deleted]))
    return 0

sys.exit(main(*sys.argv[1:]))
"""


@pytest.fixture
def push(hub_stand_in, tmp_path):
    """Push a folder in a child process: `push(folder, kind="model", **options)`, as a finished process."""

    def run(folder: Path, kind: str = "model", token: str | None = WRITER, environment: dict | None = None, **options):
        arguments = ["-c", PUSH, str(folder), "ns/name", kind, json.dumps(options)]
        return hub_stand_in.run_client(*arguments, home=tmp_path / "home", token=token, **(environment or {}))

    return run


def write_files(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def contents(hub: HubStandIn, kind: str = "models") -> dict[str, bytes]:
    """What a reader of the newest version sees, without the Hub's own `.gitattributes`."""
    newest = hub.repos[kind, "ns/name"].commits[-1].files
    return {name: blob.content for name, blob in newest.items() if name != ".gitattributes"}


def error_line(process) -> str:
    """The one line of a refused command."""
    lines = [line for line in process.stderr.splitlines() if line.startswith("error:")]
    assert (process.returncode, len(lines)) == (2, 1), process.stderr
    assert "Traceback" not in process.stderr
    return lines[0]


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_a_folder_becomes_one_commit_of_a_new_repository(hub_stand_in, push, tmp_path, kind):
    written = {"README.md": "hello", "config.json": "{}", "data/weights.safetensors": b"\0" * 2000}
    folder = write_files(tmp_path / "f", written)
    url, commit, files, deleted = json.loads(push(folder, kind, commit_message="first").stdout)
    repo = hub_stand_in.repos[f"{kind}s", "ns/name"]
    assert [c.title for c in repo.commits] == ["initial commit", "first"]
    assert commit == repo.commits[-1].sha
    assert url.startswith(hub_stand_in.url) and url.endswith("ns/name")
    assert files == ["README.md", "config.json", "data/weights.safetensors"] and deleted == []
    assert contents(hub_stand_in, f"{kind}s") == {name: (folder / name).read_bytes() for name in files}
    assert repo.commits[-1].files["data/weights.safetensors"].lfs
    assert repo.sdk == ("gradio" if kind == "space" else None)
    assert not repo.private


def test_hundreds_of_files_are_still_one_commit_where_hf_xet_is_installed(hub_stand_in, push, tmp_path):
    pytest.importorskip("hf_xet")
    folder = write_files(tmp_path / "f", {f"part{i}.txt": str(i) for i in range(300)})
    assert push(folder, environment={"HF_HUB_DISABLE_XET": "0"}).returncode == 0
    assert len(contents(hub_stand_in)) == 300
    assert len(hub_stand_in.repos["models", "ns/name"].commits) == 2  # the Hub's own first, and ours


def test_what_is_pushed_anew_replaces_and_what_is_stale_goes_but_other_files_stay(hub_stand_in, push, tmp_path):
    first = write_files(tmp_path / "a", {"README.md": "one", "data/a.bin": "a", "data/b.bin": "b", "notes.txt": "kept"})
    second = write_files(tmp_path / "b", {"README.md": "two", "data/a.bin": "A"})
    assert push(first).returncode == 0
    deleted = json.loads(push(second, stale_patterns=["data/*.bin"]).stdout)[3]
    assert deleted == ["data/b.bin"]
    assert contents(hub_stand_in) == {"README.md": b"two", "data/a.bin": b"A", "notes.txt": b"kept"}
    assert len(hub_stand_in.repos["models", "ns/name"].commits) == 3


def test_pushing_the_same_folder_again_makes_no_commit(hub_stand_in, push, tmp_path):
    folder = write_files(tmp_path / "f", {"README.md": "same", "weights.bin": b"\1" * 1000})
    first = json.loads(push(folder).stdout)
    assert json.loads(push(folder).stdout) == first
    assert len(hub_stand_in.repos["models", "ns/name"].commits) == 2


@pytest.mark.parametrize(
    ("method", "path", "skip", "status"),
    [("PUT", "/lfs/", 2, 403), ("POST", "/commit/", 0, None), ("POST", "/commit/", 0, 500)],
)
def test_an_upload_that_dies_half_way_leaves_the_old_version_and_can_be_repeated(
    hub_stand_in, push, tmp_path, method, path, skip, status
):
    old = write_files(tmp_path / "old", {"README.md": "old"} | {f"data/{i}.bin": f"old {i}" for i in range(4)})
    new = write_files(tmp_path / "new", {"README.md": "new"} | {f"data/{i}.bin": f"new {i}" for i in range(4)})
    assert push(old).returncode == 0
    before = contents(hub_stand_in)
    hub_stand_in.faults.append(Fault(method, path, status, skip))
    line = error_line(push(new))
    assert "stopped half-way" in line and "run the same command again" in line
    assert contents(hub_stand_in) == before
    hub_stand_in.faults.clear()
    assert push(new).returncode == 0
    assert contents(hub_stand_in)["data/3.bin"] == b"new 3"
    assert len(hub_stand_in.repos["models", "ns/name"].commits) == 3


@pytest.mark.parametrize(
    ("token", "environment", "says"),
    [
        ("hf_wrong", {}, "refuses the token; log in with `hf auth login`, or set HF_TOKEN"),
        (None, {}, "no token"),
        (READER, {}, "may not write to ns"),
        (WRITER, {"HF_HUB_OFFLINE": "1"}, "unset it"),
        (WRITER, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "check the network and HF_ENDPOINT"),
    ],
)
def test_who_may_not_push_or_cannot_reach_the_hub_is_told_what_to_do(
    hub_stand_in, push, tmp_path, token, environment, says
):
    folder = write_files(tmp_path / "f", {"README.md": "hello"})
    assert says in error_line(push(folder, token=token, environment=environment))
    assert not hub_stand_in.repos


def test_a_reader_of_an_existing_repository_may_not_change_it(hub_stand_in, push, tmp_path):
    assert push(write_files(tmp_path / "a", {"README.md": "old"})).returncode == 0
    assert "may not write to ns" in error_line(push(write_files(tmp_path / "b", {"README.md": "new"}), token=READER))
    assert contents(hub_stand_in) == {"README.md": b"old"}


def test_a_repository_that_changes_during_the_upload_is_not_overwritten(hub_stand_in, push, tmp_path):
    class Meanwhile(list):
        """Someone else commits when the upload asks how to send its files."""

        def append(self, request):
            if "/preupload/" in request[1]:
                hub_stand_in.repos["models", "ns/name"].commit("someone else's", {})
            super().append(request)

    hub_stand_in.requests = Meanwhile()
    assert "changed from elsewhere" in error_line(push(write_files(tmp_path / "f", {"README.md": "mine"})))
    assert hub_stand_in.repos["models", "ns/name"].commits[-1].title == "someone else's"


def test_a_card_that_the_hub_rejects_is_reported_and_nothing_is_published(hub_stand_in, push, tmp_path):
    folder = write_files(tmp_path / "f", {"README.md": "---\n- no mapping\n---\n", "weights.bin": "w"})
    assert "Invalid metadata in README.md" in error_line(push(folder))
    assert contents(hub_stand_in) == {}


def test_private_reaches_the_hub_and_readers_without_a_token_see_nothing(hub_stand_in, push, tmp_path):
    assert push(write_files(tmp_path / "f", {"README.md": "secret"}), private=True).returncode == 0
    assert hub_stand_in.repos["models", "ns/name"].private
    read = "from huggingface_hub import hf_hub_download; print(open(hf_hub_download('ns/name', 'README.md')).read())"
    anonymous = hub_stand_in.run_client("-c", read, home=tmp_path / "other", token=None)
    assert anonymous.returncode == 1 and "secret" not in anonymous.stdout
    assert hub_stand_in.run_client("-c", read, home=tmp_path / "home").stdout == "secret\n"


def test_private_is_not_promised_for_a_repository_that_is_public(hub_stand_in, push, tmp_path):
    assert push(write_files(tmp_path / "a", {"README.md": "public"})).returncode == 0
    secret = write_files(tmp_path / "b", {"README.md": "secret"})
    assert "exists and is public" in error_line(push(secret, private=True))
    assert contents(hub_stand_in) == {"README.md": b"public"}


def test_an_older_version_stays_readable_under_its_tag(hub_stand_in, push, tmp_path):
    assert push(write_files(tmp_path / "a", {"data/x.bin": b"one"})).returncode == 0
    tag = "from huggingface_hub import HfApi; HfApi().create_tag('ns/name', tag='v1')"
    assert hub_stand_in.run_client("-c", tag, home=tmp_path / "home").returncode == 0
    assert push(write_files(tmp_path / "b", {"data/x.bin": b"two"})).returncode == 0
    read = "from huggingface_hub import snapshot_download as get; from pathlib import Path; import sys\n"
    read += "print([(Path(get('ns/name', revision=r)) / 'data/x.bin').read_text() for r in ('v1', 'main')])"
    assert hub_stand_in.run_client("-c", read, home=tmp_path / "home").stdout == "['one', 'two']\n"


@pytest.mark.slow
def test_a_pushed_classifier_gives_the_scores_of_its_folder(hub_stand_in, push, tmp_path, tiny_classifier_folder):
    assert push(tiny_classifier_folder).returncode == 0
    classify = (
        "import sys, json, numpy, quaclrs\n"
        "noise = 0.1 * numpy.random.default_rng(0).standard_normal(48_000).astype('float32')\n"
        "scores = [quaclrs.load_classifier(m).predict(noise, 48_000)\n"
        "          for m in sys.argv[1:]]\n"
        "print(json.dumps(scores))"
    )
    process = hub_stand_in.run_client("-c", classify, "ns/name", str(tiny_classifier_folder), home=tmp_path / "home")
    assert process.returncode == 0, process.stderr
    pushed, local = json.loads(process.stdout)
    assert len(local) == 13
    assert [p["label"] for p in pushed] == [p["label"] for p in local]
    assert [p["score"] for p in pushed] == pytest.approx([p["score"] for p in local], abs=1e-6)


def test_hidden_files_byte_code_and_leftovers_are_not_pushed(tmp_path):
    wanted = {"app.py": "", "data/x.bin": "", "partial.txt": ""}
    unwanted = {".git/config": "", "data/.DS_Store": "", "__pycache__/app.pyc": "", "data/y.partial": ""}
    write_files(tmp_path, wanted | unwanted | {"built.partial/x.bin": ""})
    assert set(files_to_push(tmp_path)) == set(wanted)


@pytest.mark.parametrize(
    "repo_id",
    ["name", "", "a/b/c", "datasets/ns/name", "ns/na me", "ns/-name", "ns/a--b", "ns/name.git", "/name", "ns/"],
)
def test_what_can_be_no_repository_is_refused_before_anything_is_sent(repo_id):
    with pytest.raises(QuaclrsError, match=r"namespace/name|not a valid name") as refusal:
        check_repo_id(repo_id, "model")
    assert repr(repo_id) in str(refusal.value)


def test_an_unknown_repository_type_is_refused():
    with pytest.raises(QuaclrsError, match="unknown repository type 'datasets'; choose model, dataset, space"):
        check_repo_id("ns/name", "datasets")


def test_a_folder_that_is_missing_or_empty_is_refused_by_name(push, tmp_path):
    assert str(tmp_path / "absent") in error_line(push(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    assert "holds no file" in error_line(push(tmp_path / "empty"))
