"""A small Hub on 127.0.0.1: real clients in child processes create repositories, push, tag and load against it.

It keeps commits in memory, asks for tokens as the Hub does, and breaks requests when told to.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import warm_python
import yaml
from hub_repository import Blob, Commit, Refusal, Repo

WRITER, READER = "hf_writer", "hf_reader"
STORED_AS_LFS = {".parquet", ".safetensors", ".bin", ".onnx", ".pt", ".png", ".jpg", ".wav", ".flac", ".ogg", ".mp3"}


@dataclass
class Fault:
    """Requests that match fail, after the first `skip` of them.

    Args:
        method: `PUT`, `POST`, …
        path: part of the path, such as `/lfs/` or `/commit/`.
        status: what is answered; None drops the connection in the middle of the request.
        skip: matching requests that still work.
    """

    method: str
    path: str
    status: int | None = None
    skip: int = 0


class HubStandIn:
    """The server. `repos` has the (kind, id) of every repository, `requests` every (method, path) that came."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.RLock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @contextmanager
    def running(self) -> Iterator[HubStandIn]:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """Be unreachable from now on; may be called twice."""
        self.server.shutdown()
        self.server.server_close()

    def run_client(
        self, *arguments: str, home: Path, token: str | None = WRITER, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run Python as a client of this Hub: its libraries read their environment once, at their first import.

        Args:
            arguments: of the interpreter, such as `"-c", code` or `"-m", "dataset_builder", …`.
            home: the client's cache folder; a client that shares it finds what the other downloaded.
            token: None for a client that never logged in.
            environment: more variables.
        """
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))}
        hub = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
        hub |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
        hub |= {"HF_TOKEN": token} if token else {}
        return warm_python.run(arguments, env=kept | hub | environment)


class _Answers(BaseHTTPRequestHandler):
    """Answers one connection."""

    hub: HubStandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self) -> None:
        url = urlsplit(self.path)
        with self.hub.lock:
            self.hub.requests.append((self.command, url.path))
            fault = next((f for f in self.hub.faults if f.method == self.command and f.path in url.path), None)
            if fault and fault.skip:
                fault.skip, fault = fault.skip - 1, None
        if fault and fault.status is None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2)
            self.close_connection = True
            return
        body = self.read_body()
        try:
            if fault:
                raise Refusal(fault.status or 500, "broken on purpose")
            parts = [unquote(part) for part in url.path.strip("/").split("/")]
            if parts[0] not in ("api", "lfs", "datasets", "spaces"):
                parts.insert(0, "models")
            with self.hub.lock:
                self.route(parts, body, parse_qs(url.query))
        except Refusal as refusal:
            headers = {"X-Error-Message": str(refusal)} | ({"X-Error-Code": refusal.code} if refusal.code else {})
            self.send(refusal.status, refusal.body, headers)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        with suppress(ConnectionError):  # a client may stop listening
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    def token(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if token not in (None, WRITER, READER):
            raise Refusal(401, "Invalid credentials in Authorization header")
        return token

    def repo(self, kind: str, owner: str, name: str, write: bool = False) -> Repo:
        token, repo = self.token(), self.hub.repos.get((kind, f"{owner}/{name}"))
        if repo is None or (repo.private and token is None):
            raise Refusal(404 if token else 401, "Repository not found", "RepoNotFound")
        if write and token != WRITER:
            raise Refusal(403 if token else 401, "You have read access but not the required permissions")
        return repo

    def route(self, parts: list[str], body: bytes, query: dict[str, list[str]]) -> None:
        match [self.command, *parts]:
            case ["POST", "api", "repos", "create"]:
                self.create(json.loads(body))
            case ["GET", "api", "whoami-v2"]:
                if self.token() is None:
                    raise Refusal(401, "Invalid username or password.")
                self.send(200, {"type": "user", "name": "quaclrs", "orgs": [], "auth": {"type": "access_token"}})
            case ["POST", "api", "validate-yaml"]:
                header = [*json.loads(body)["content"].split("---"), ""][1]
                valid = not header or isinstance(yaml.safe_load(header), dict)
                errors = [] if valid else [{"message": "metadata is no mapping"}]
                self.send(200 if valid else 400, {"errors": errors, "warnings": []})
            case ["GET", "api", kind, owner, name]:
                self.send(200, self.repo(kind, owner, name).info("main"))
            case ["GET", "api", kind, owner, name, "revision", revision]:
                self.send(200, self.repo(kind, owner, name).info(revision))
            case ["GET", "api", kind, owner, name, "refs"]:
                repo = self.repo(kind, owner, name)
                branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.commits[-1].sha}
                tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": sha} for n, sha in repo.tags.items()]
                self.send(200, {"branches": [branch], "converts": [], "tags": tags})
            case ["GET", "api", kind, owner, name, "tree", revision, *path]:
                self.tree(self.repo(kind, owner, name), revision, "/".join(path), query)
            case ["POST", "api", kind, owner, name, "paths-info", revision]:
                entries = self.repo(kind, owner, name).entries(revision)
                self.send(200, [entry for entry in entries if entry["path"] in parse_qs(body.decode())["paths"]])
            case ["POST", "api", kind, owner, name, "tag", revision]:
                repo = self.repo(kind, owner, name, write=True)
                repo.tags[json.loads(body)["tag"]] = repo.at(revision).sha
                self.send(200, {})
            case ["POST", "api", kind, owner, name, "preupload", revision]:
                self.preupload(self.repo(kind, owner, name, write=True).at(revision), json.loads(body)["files"])
            case ["POST", "api", kind, owner, name, "commit", "main"]:
                self.commit(self.repo(kind, owner, name, write=True), [json.loads(line) for line in body.splitlines()])
            case ["POST", kind, owner, name, "info", "lfs", "objects", "batch"]:
                self.repo(kind, owner, name.removesuffix(".git"), write=True)
                objects = [self.lfs_action(wanted) for wanted in json.loads(body)["objects"]]
                self.send(200, {"transfer": "basic", "objects": objects})
            case ["PUT", "lfs", oid]:
                if hashlib.sha256(body).hexdigest() != oid:
                    raise Refusal(400, "the content has another SHA-256")
                self.hub.lfs[oid] = body
                self.send(200, {})
            case ["GET" | "HEAD", kind, owner, name, "resolve", revision, *path]:
                self.resolve(self.repo(kind, owner, name).at(revision), "/".join(path))
            case _:
                raise Refusal(404, f"no such address: {self.path}")

    def create(self, wish: dict[str, Any]) -> None:
        kind, name = f"{wish.get('type') or 'model'}s", f"{wish.get('organization') or 'quaclrs'}/{wish['name']}"
        if self.token() != WRITER:
            raise Refusal(403 if self.token() else 401, "You don't have the rights to create a repository")
        url = f"{self.hub.url}/{'' if kind == 'models' else kind + '/'}{name}"
        if (kind, name) in self.hub.repos:
            raise Refusal(409, f"You already created this {wish.get('type') or 'model'} repo", url=url)
        private = wish.get("visibility") == "private" or bool(wish.get("private"))
        self.hub.repos[kind, name] = Repo(kind, name, private, wish.get("sdk"))
        self.send(200, {"url": url, "name": name})

    def tree(self, repo: Repo, revision: str, path: str, query: dict[str, list[str]]) -> None:
        inside = [e for e in repo.entries(revision) if not path or e["path"].startswith(path + "/")]
        if path and not inside:
            raise Refusal(404, f"{path} does not exist", "EntryNotFound")
        if query.get("recursive", ["false"])[0].lower() not in ("true", "1"):
            depth = len(PurePosixPath(path).parts) + 1
            inside = [entry for entry in inside if len(PurePosixPath(entry["path"]).parts) == depth]
        self.send(200, inside)

    def preupload(self, commit: Commit, files: list[dict[str, Any]]) -> None:
        answers = []
        for file in files:
            lfs = PurePosixPath(file["path"]).suffix in STORED_AS_LFS or file["size"] > 10_000_000
            known = commit.files.get(file["path"])
            mode = {"path": file["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            answers.append(mode | ({"oid": known.oid} if known else {}))
        self.send(200, {"files": answers})

    def lfs_action(self, wanted: dict[str, Any]) -> dict[str, Any]:
        upload = {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}}
        return wanted if wanted["oid"] in self.hub.lfs else wanted | {"actions": upload}

    def commit(self, repo: Repo, lines: list[dict[str, Any]]) -> None:
        files, title = dict(repo.commits[-1].files), ""
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "header":
                    title = value["summary"]
                    if value.get("parentCommit") not in (None, repo.commits[-1].sha):
                        raise Refusal(412, "A commit has happened since. Please refresh and try again.")
                case "file":
                    files[value["path"]] = Blob(base64.b64decode(value["content"]), lfs=False)
                case "lfsFile":
                    if value["oid"] not in self.hub.lfs:
                        raise Refusal(400, f"LFS pointer of {value['path']} points to a file that was not uploaded")
                    files[value["path"]] = Blob(self.hub.lfs[value["oid"]], lfs=True)
                case "deletedFile":
                    del files[value["path"]]
                case "deletedFolder":
                    files = {name: blob for name, blob in files.items() if not name.startswith(value["path"])}
        made = repo.commit(title, files)
        self.send(200, {"commitUrl": f"{self.hub.url}/{repo.id}/commit/{made.sha}", "commitOid": made.sha})

    def resolve(self, commit: Commit, path: str) -> None:
        headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        blob = commit.files.get(path)
        if blob is None:
            raise Refusal(404, f"{path} does not exist", "EntryNotFound")
        headers["ETag"] = f'"{blob.oid}"'
        if blob.lfs:
            headers |= {"X-Linked-Etag": f'"{blob.oid}"', "X-Linked-Size": str(len(blob.content))}
        if not (wanted := self.headers.get("Range")):
            return self.send(200, blob.content, headers)
        first, last = wanted.removeprefix("bytes=").split("-")
        start = int(first) if first else len(blob.content) - int(last)
        part = blob.content[start : int(last) + 1 if first and last else None]
        span = f"bytes {start}-{start + len(part) - 1}/{len(blob.content)}"
        self.send(206, part, headers | {"Content-Range": span})
