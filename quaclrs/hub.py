"""The one place that pushes to the Hub: a folder of a data set, model or Space becomes one commit of its repository."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from .errors import QuaclrsError

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

# huggingface_hub reads HF_ENDPOINT, HF_HUB_OFFLINE and the like when it is first imported, and takes its time: it is
# imported by what pushes.

RepoType = Literal["model", "dataset", "space"]
REPO_TYPES: tuple[str, ...] = get_args(RepoType)

_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token with write access"
_NEVER_PUSHED = (".*", "__pycache__", "*.partial")


@dataclass(frozen=True)
class PushedFolder:
    """Result of a push to the Hub.

    Attributes:
        url: web address of the repository.
        commit: hash of the commit that holds the files; of the last one where nothing had changed.
        files: the pushed files, relative to the folder.
        deleted: files of an older version that the commit removed.
    """

    url: str
    commit: str
    files: tuple[str, ...]
    deleted: tuple[str, ...]


def push_folder(
    folder: Path,
    repo_id: str,
    repo_type: RepoType,
    *,
    files: Sequence[str] | None = None,
    stale_patterns: Sequence[str] = (),
    private: bool = False,
    commit_message: str = "Upload with quaclrs",
) -> PushedFolder:
    """Publish a folder as one commit: readers see the version before it or the whole new one, never a mixture.

    `HfApi.upload_folder` promises no such thing: where hf_xet is installed it commits in batches, so an upload that
    dies leaves new files beside old ones. `HfApi.create_commit` stores every file first and shows them all at once.

    Args:
        folder: holds the files.
        repo_id: `namespace/name`; the repository is created where it does not exist.
        repo_type: `model`, `dataset` or `space`.
        files: what to push, relative to the folder; by default all but hidden and `.partial` files.
        stale_patterns: globs (`*` also matches `/`) of remote files to remove unless they are pushed anew.
        private: the repository must be private; a new one is made so.
        commit_message: first line of the commit.

    Raises:
        QuaclrsError: the id is invalid, the folder has nothing to push, the repository is public though `private` is
            asked for, the token is missing or may not write, the Hub cannot be reached, or the upload stops.
    """
    check_repo_id(repo_id, repo_type)
    names = tuple(sorted(set(files))) if files is not None else files_to_push(folder)
    additions = _read_additions(folder, names)
    from huggingface_hub import CommitOperationDelete, HfApi, get_token

    if not get_token():
        raise QuaclrsError(f"no token to push to {repo_id} with; {_LOG_IN}")
    api = HfApi()
    opening = f"{repo_id} cannot be opened on {api.endpoint}"
    with _one_line_errors(repo_id, opening, "check the network and HF_ENDPOINT, or try again later"):
        # Without `private` the namespace's own default holds.
        sdk = "gradio" if repo_type == "space" else None
        url = api.create_repo(repo_id, repo_type=repo_type, private=private or None, space_sdk=sdk, exist_ok=True)
        before: Any = api.repo_info(repo_id, repo_type=repo_type)
    if private and not before.private:
        raise QuaclrsError(f"{repo_id} exists and is public; make it private in its settings or drop --private")
    remote = [file.rfilename for file in before.siblings or ()]
    # .gitattributes says which files lie in LFS; without it a clone holds pointers.
    stale = (name for name in remote if name not in (*names, ".gitattributes"))
    deleted = tuple(name for name in stale if any(fnmatch(name, pattern) for pattern in stale_patterns))
    with _one_line_errors(
        repo_id,
        f"the upload to {repo_id} stopped half-way",
        "readers see no half of it; run the same command again",
    ):
        commit = api.create_commit(
            repo_id,
            [*(CommitOperationDelete(name) for name in deleted), *additions],
            commit_message=commit_message,
            repo_type=repo_type,
            parent_commit=before.sha,  # the stale files were listed at this commit
        )
    return PushedFolder(str(url), str(commit.oid), names, deleted)


def may_be_repo_id(name: str) -> bool:
    """True where a name that is not a folder on this machine has the form `namespace/name` and not that of a path."""
    return name.count("/") == 1 and not name.startswith(".") and not Path(name).is_absolute()


def check_repo_id(repo_id: str, repo_type: str) -> None:
    """Refuse what can be no repository of the Hub, before anything is sent.

    Raises:
        QuaclrsError: the type is unknown, the id is not `namespace/name`, or it has characters that the Hub rejects.
    """
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    if repo_type not in REPO_TYPES:
        raise QuaclrsError(f"unknown repository type {repo_type!r}; choose {', '.join(REPO_TYPES)}")
    if repo_id.count("/") != 1:
        raise QuaclrsError(f"repository {repo_id!r} is not of the form namespace/name, such as quaclrs/urbansound13")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise QuaclrsError(f"repository {repo_id!r} is not a valid name: {_reason(error)}") from error


def files_to_push(folder: Path) -> tuple[str, ...]:
    """Every file under a folder, relative and sorted, without hidden ones, byte code and `.partial` leftovers."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return tuple(
        sorted(
            path.as_posix()
            for path in found
            if not any(fnmatch(part, pattern) for part in path.parts for pattern in _NEVER_PUSHED)
        )
    )


def _read_additions(folder: Path, names: Sequence[str]) -> list[CommitOperationAdd]:
    from huggingface_hub import CommitOperationAdd

    if not folder.is_dir():
        raise QuaclrsError(f"folder {folder} does not exist; give the folder to push")
    if not names:
        raise QuaclrsError(f"folder {folder} holds no file to push")
    additions = []
    for name in names:
        try:
            additions.append(CommitOperationAdd(name, folder / name))
        except (OSError, ValueError) as error:
            raise QuaclrsError(f"{folder / name} cannot be pushed: {_reason(error)}") from error
    return additions


@contextmanager
def _one_line_errors(repo_id: str, what: str, advice: str) -> Iterator[None]:
    """Turn an error of the Hub's client into a `QuaclrsError` that says what to do, `advice` if nothing is clearer."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise QuaclrsError(f"{what}: HF_HUB_OFFLINE is set; unset it to push") from error
    except Exception as error:  # the client and its HTTP, LFS and Xet layers fail in many ways
        # The status of the refused call itself. That of a storage upload is the cause of another error.
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status == 401:
            raise QuaclrsError(f"{repo_id} was not pushed: the Hub refuses the token; {_LOG_IN}") from error
        if status == 403:
            namespace = repo_id.split("/")[0]
            raise QuaclrsError(
                f"{repo_id} was not pushed: the token may not write to {namespace}; {_LOG_IN}"
            ) from error
        if status == 412:
            raise QuaclrsError(f"{repo_id} was changed from elsewhere meanwhile; run the same command again") from error
        if isinstance(error, ValueError) and status is None:  # for instance a card that the Hub rejects
            raise QuaclrsError(f"{repo_id} was not changed: {_reason(error)}") from error
        raise QuaclrsError(f"{what} ({_reason(error)}); {advice}") from error


def _reason(error: BaseException) -> str:
    """Messages of an error and, where it has one, of its cause, on one line."""
    own = getattr(error, "server_message", None) or " ".join(str(error).split()) or type(error).__name__
    return f"{own.rstrip('.')}: {_reason(error.__cause__)}" if type(error) is RuntimeError and error.__cause__ else own
