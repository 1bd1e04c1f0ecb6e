"""What a visitor of the Space may send: a quota of uploads, calls by name, and messages that name no folder of it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import httpx
import pytest

pytest.importorskip("gradio")

SPACE = Path(__file__).parents[2] / "spaces"


@pytest.fixture
def limits(monkeypatch, tmp_path):
    """The guard before an application that keeps every upload until `done` is set, and the quota is 1000 bytes."""
    monkeypatch.syspath_prepend(str(SPACE))
    sys.modules.pop("limits", None)
    from limits import Limits

    async def app(scope, receive, send):
        await scope["done"].wait()
        if scope["path"].endswith("/upload"):
            (tmp_path / str(len(list(tmp_path.iterdir())))).write_bytes(bytes(400))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return Limits(app, str(tmp_path), 1000, frozenset({"predict"}))


async def ask(limits, path: str, done: asyncio.Event, size: int | None = 400, method: str = "POST") -> int:
    """Status of the answer to a request."""
    sent = []

    async def send(message):
        sent.append(message)

    headers = [] if size is None else [(b"content-length", str(size).encode())]
    await limits({"type": "http", "path": path, "method": method, "headers": headers, "done": done}, None, send)
    return sent[0]["status"]


def test_uploads_of_all_visitors_share_a_quota_also_while_they_are_on_their_way(limits, tmp_path):
    async def visit():
        done = asyncio.Event()
        waiting = [asyncio.create_task(ask(limits, "/gradio_api/upload", done)) for _ in range(4)]
        await asyncio.sleep(0)
        done.set()
        return await asyncio.gather(*waiting), await ask(limits, "/gradio_api/upload", done)

    together, later = asyncio.run(visit())
    assert sorted(together) == [200, 200, 503, 503] and later == 503
    for file in tmp_path.iterdir():  # as Gradio deletes them in time
        file.unlink()

    async def again():
        done = asyncio.Event()
        done.set()
        return [await ask(limits, "/gradio_api/upload", done, size) for size in (None, 1001, 400)]

    assert asyncio.run(again()) == [411, 503, 200]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/gradio_api/call/predict", 200),
        ("/gradio_api/call/predict/an-event", 200),
        ("/gradio_api/call/analyse", 404),
        ("/gradio_api/call/analyse/", 404),
        ("/call/explain_again", 404),
        ("/gradio_api/api/load_example", 404),
        ("/gradio_api/run/analyse", 404),
        ("/gradio_api/queue/join", 200),
    ],
)
def test_functions_of_the_page_alone_have_no_name_for_programs(path, status, limits):
    async def visit():
        done = asyncio.Event()
        done.set()
        return await ask(limits, path, done)

    assert asyncio.run(visit()) == status


def test_the_running_space_keeps_to_its_limits(space):
    with httpx.Client(base_url=space, timeout=60) as client:
        for name in ("analyse", "explain_again", "load_example"):
            assert client.post(f"gradio_api/call/{name}", json={"data": []}).status_code == 404
        # Nobody passes the queue.
        assert client.post("gradio_api/api/predict", json={"data": [None]}).status_code == 404
        endless = client.post("gradio_api/upload", content=iter([b"x" * 100]), headers={"content-type": "text/plain"})
        assert endless.status_code == 411
        large = client.post("gradio_api/upload", files={"files": ("a.wav", bytes(53_000_000))})
        assert large.status_code == 413
        named = client.get("gradio_api/info").json()
        assert list(named["named_endpoints"]) == ["/predict"] and not named["unnamed_endpoints"]


@pytest.mark.parametrize("path", ["/etc/passwd", "/no/such/file.wav", str(SPACE / "app.py"), "../app.py"])
def test_a_message_names_no_file_of_the_server(path, space):
    asked = {"path": path, "meta": {"_type": "gradio.FileData"}}
    with httpx.Client(base_url=space, timeout=60) as client:
        event = client.post("gradio_api/call/predict", json={"data": [asked]}).json()["event_id"]
        answer = client.get(f"gradio_api/call/predict/{event}").text
    assert "event: error" in answer
    data = answer.split("data: ", 1)[1].strip()
    assert "/" not in json.dumps(json.loads(data)).replace("\\/", "/")


def test_a_sound_that_was_deleted_meanwhile_is_told_by_its_name_alone(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(SPACE))
    import analysis

    from quaclrs import QuaclrsError

    with pytest.raises(QuaclrsError, match=r"^street\.wav is no longer here: upload or record it again$"):
        analysis.check_sound(str(tmp_path / "street.wav"))
    with pytest.raises(QuaclrsError, match=r"^'ns/other' is none of the models here$"):
        analysis.classifier_of("ns/other")
    (tmp_path / "notes.wav").write_text("no sound")
    for make in (analysis.check_sound, lambda file: analysis.list_moments(analysis.OWN_MODEL, file, 0.0)):
        with pytest.raises(QuaclrsError) as error:
            make(str(tmp_path / "notes.wav"))
        assert str(tmp_path) not in str(error.value)
