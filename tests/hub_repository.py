"""What the Hub stand-in keeps of a repository: commits of whole file trees, and how the Hub lists them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml

CREATED_AT = "2026-01-01T00:00:00.000Z"


class Refusal(Exception):
    """What the Hub answers instead: a status, a message, its X-Error-Code where it has one, and more of the body."""

    def __init__(self, status: int, message: str, code: str = "", **body: str) -> None:
        super().__init__(message)
        self.status, self.code, self.body = status, code, {"error": message} | body


@dataclass(frozen=True)
class Blob:
    content: bytes
    lfs: bool

    @property
    def oid(self) -> str:
        """What the Hub shows as ETag: SHA-256 of an LFS file, git's SHA-1 of any other."""
        if self.lfs:
            return hashlib.sha256(self.content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()


@dataclass(frozen=True)
class Commit:
    sha: str
    title: str
    files: dict[str, Blob]


@dataclass
class Repo:
    """A repository; its first commit is the Hub's own and holds `.gitattributes`."""

    kind: str  # models, datasets or spaces
    id: str
    private: bool
    sdk: str | None = None
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commit("initial commit", {".gitattributes": Blob(b"*.parquet filter=lfs\n", lfs=False)})

    def commit(self, title: str, files: dict[str, Blob]) -> Commit:
        content = json.dumps([self.kind, self.id, len(self.commits), title, {k: b.oid for k, b in files.items()}])
        self.commits.append(Commit(hashlib.sha1(content.encode()).hexdigest(), title, files))
        return self.commits[-1]

    def at(self, revision: str) -> Commit:
        sha = self.commits[-1].sha if revision in ("main", "HEAD") else self.tags.get(revision, revision)
        for commit in self.commits:
            if commit.sha == sha:
                return commit
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def info(self, revision: str) -> dict[str, Any]:
        commit = self.at(revision)
        card = commit.files.get("README.md", Blob(b"", lfs=False)).content.decode()
        header = (yaml.safe_load(card.split("---")[1]) if card.startswith("---") else None) or {}
        return {
            "id": self.id,
            "modelId": self.id,
            "sha": commit.sha,
            "private": self.private,
            "gated": False,
            "disabled": False,
            "createdAt": CREATED_AT,
            "lastModified": CREATED_AT,
            "tags": header.get("tags", []),
            "cardData": header,
            "pipeline_tag": header.get("pipeline_tag"),
            "library_name": header.get("library_name"),
            "sdk": self.sdk,
            "siblings": [{"rfilename": name} for name in sorted(commit.files)],
        }

    def entries(self, revision: str) -> list[dict[str, Any]]:
        """Every file and folder, as the Hub lists a tree."""
        commit = self.at(revision)
        last = {"id": commit.sha, "title": commit.title, "date": CREATED_AT}
        folders = {str(parent) for name in commit.files for parent in PurePosixPath(name).parents} - {"."}
        listed: list[dict[str, Any]] = [{"type": "directory", "path": p, "oid": "0" * 40, "size": 0} for p in folders]
        for name, blob in commit.files.items():
            entry = {"type": "file", "path": name, "oid": blob.oid, "size": len(blob.content), "lastCommit": last}
            if blob.lfs:
                entry["lfs"] = {"oid": blob.oid, "size": len(blob.content), "pointerSize": 134}
            listed.append(entry)
        return sorted(listed, key=lambda entry: entry["path"])
