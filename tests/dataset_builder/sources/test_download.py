"""Downloads from a server on loopback that drops, forgets and lies, and what is kept of them."""

from __future__ import annotations

import hashlib
import json
import random
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from archive_server import ArchiveServer

from dataset_builder.sources.download import RemoteArchive, default_cache_dir, download
from dataset_builder.sources.sirennet import SIRENNET_ARCHIVE
from dataset_builder.sources.urbansound8k import URBANSOUND8K_ARCHIVE
from quaclrs.errors import QuaclrsError
from quaclrs.locks import only_writer

CONTENT = random.Random(0).randbytes(1_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


def remote(server: ArchiveServer, md5: str | None = MD5, **options) -> RemoteArchive:
    return RemoteArchive("Noise", f"{server.address}/files/noise.zip", "--noise", md5, pause=0, timeout=5, **options)


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_published_archives_are_those_of_zenodo_and_mendeley():
    assert URBANSOUND8K_ARCHIVE.address == "https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz"
    assert URBANSOUND8K_ARCHIVE.md5 == "9aa69802bbf37fb986f71ec1483a196e"
    assert "j4ydzzv4kb-1.zip" in SIRENNET_ARCHIVE.address
    assert SIRENNET_ARCHIVE.file_name == "j4ydzzv4kb-1.zip"
    assert SIRENNET_ARCHIVE.md5 is None


def test_a_file_is_downloaded_once_and_then_taken_from_the_cache(tmp_path):
    with ArchiveServer(CONTENT) as server:
        assert download(remote(server), tmp_path / "new" / "cache") == (tmp_path / "new" / "cache" / "noise.zip", MD5)
        assert download(remote(server), tmp_path / "new" / "cache")[1] == MD5
        assert server.requests == [("/files/noise.zip", None)]
    assert kept(tmp_path / "new" / "cache") == {"noise.zip": CONTENT}


def test_a_connection_dropped_half_way_is_resumed_where_it_broke_off(tmp_path):
    with ArchiveServer(CONTENT, drops=[500_000, 200_000], etag='"1"') as server:
        file, _ = download(remote(server), tmp_path)
        assert [asked for _, asked in server.requests] == [None, "bytes=500000-", "bytes=700000-"]
    assert file.read_bytes() == CONTENT
    assert list(kept(tmp_path)) == ["noise.zip"]


def test_a_later_run_goes_on_with_what_an_earlier_one_left(tmp_path):
    with ArchiveServer(CONTENT, drops=[300_000, 0, 0]) as server:
        with pytest.raises(QuaclrsError, match=r"300,000 bytes are kept"):
            download(remote(server, attempts=2), tmp_path)
        assert kept(tmp_path) == {"noise.zip.partial": CONTENT[:300_000]}
        download(remote(server), tmp_path)
        assert server.requests[-1][1] == "bytes=300000-"
    assert kept(tmp_path) == {"noise.zip": CONTENT}


def test_a_server_that_ignores_range_is_read_from_the_start_again(tmp_path):
    with ArchiveServer(CONTENT, ranges=False, drops=[400_000]) as server:
        file, _ = download(remote(server), tmp_path)
        assert [asked for _, asked in server.requests] == [None, "bytes=400000-"]
    assert file.read_bytes() == CONTENT


def test_a_server_that_ignores_range_and_always_drops_at_one_place_does_not_loop_for_ever(tmp_path):
    with ArchiveServer(CONTENT, ranges=False, drops=[400_000] * 50) as server:
        with pytest.raises(QuaclrsError, match="400,000 of 1,000,000 bytes"):
            download(remote(server, attempts=3), tmp_path)
        assert len(server.requests) == 4


def test_a_file_that_changed_on_the_server_is_not_glued_to_the_start_of_the_old_one(tmp_path):
    other = CONTENT[::-1]
    with ArchiveServer(CONTENT, drops=[300_000, 0], etag='"old"') as server, pytest.raises(QuaclrsError):
        download(remote(server, attempts=1), tmp_path)
    with ArchiveServer(other, etag='"new"') as server:
        file, _ = download(remote(server, md5=None), tmp_path)
        assert server.requests[0][1] == "bytes=300000-"
    assert file.read_bytes() == other


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more"])
def test_a_partial_file_of_the_whole_length_or_more_is_sorted_out(tmp_path, left):
    (tmp_path / "noise.zip.partial").write_bytes(left)
    with ArchiveServer(CONTENT) as server:
        assert download(remote(server), tmp_path)[0].read_bytes() == CONTENT


def test_a_server_that_is_busy_for_a_while_is_asked_again(tmp_path):
    with ArchiveServer(CONTENT, statuses=[503, 429, 500]) as server:
        assert download(remote(server), tmp_path)[0].read_bytes() == CONTENT


def test_a_file_that_is_not_there_fails_at_once_and_names_address_and_option(tmp_path):
    with ArchiveServer(CONTENT, statuses=[404]) as server:
        with pytest.raises(QuaclrsError, match=r"status 404.*--noise FILE") as error:
            download(remote(server), tmp_path)
        assert f"{server.address}/files/noise.zip" in str(error.value)
        assert "\n" not in str(error.value)
        assert len(server.requests) == 1
    assert kept(tmp_path) == {}


def test_a_server_out_of_reach_is_one_line_that_names_address_and_option(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/noise.zip"
        with pytest.raises(QuaclrsError, match=r"--noise FILE") as error:
            download(RemoteArchive("Noise", address, "--noise", attempts=2, pause=0), tmp_path)
    assert address in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_published_checksum_is_said_and_the_file_kept(tmp_path):
    with ArchiveServer(CONTENT[:-1] + b"x") as server:
        for _ in range(2):
            with pytest.raises(QuaclrsError, match=MD5) as error:
                download(remote(server), tmp_path)
            assert str(tmp_path / "noise.zip") in str(error.value)
        assert len(server.requests) == 1
    assert kept(tmp_path) == {"noise.zip": CONTENT[:-1] + b"x"}


def test_without_a_published_checksum_that_of_the_first_download_is_recorded_and_compared(tmp_path):
    with ArchiveServer(CONTENT) as server:
        archive = remote(server, md5=None)
        download(archive, tmp_path)
        record = json.loads((tmp_path / "noise.zip.json").read_text())
        assert record == {"address": archive.address, "md5": MD5, "bytes": 1_000_000}
        (tmp_path / "noise.zip").unlink()
        assert download(archive, tmp_path)[1] == MD5
        (tmp_path / "noise.zip").unlink()
        server.content = b"another file"
        with pytest.raises(QuaclrsError, match=rf"the first download \(noise\.zip\.json\) has {MD5}"):
            download(archive, tmp_path)
    assert kept(tmp_path)["noise.zip"] == b"another file"


@pytest.mark.parametrize("record", ["[]", "{}", '{"md5": 3}', "", "[" * 100_000])
def test_a_record_that_is_none_is_named(tmp_path, record):
    (tmp_path / "noise.zip").write_bytes(CONTENT)
    (tmp_path / "noise.zip.json").write_text(record)
    with ArchiveServer(CONTENT) as server, pytest.raises(QuaclrsError, match=r"noise\.zip\.json .*remove it"):
        download(remote(server, md5=None), tmp_path)


def test_a_second_download_of_one_file_is_told(tmp_path):
    told = pytest.raises(QuaclrsError, match=r"noise\.zip is being written by another process; .* --cache-dir")
    with only_writer(tmp_path / "noise.zip"), ArchiveServer(CONTENT) as server, told:
        download(remote(server), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with ArchiveServer(CONTENT) as server, pytest.raises(QuaclrsError, match="--cache-dir"):
        download(remote(server), tmp_path / "file" / "cache")


def test_the_cache_lies_beside_other_hugging_face_caches_where_their_place_is_set(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert default_cache_dir() == tmp_path / "hf" / "quaclrs"
    monkeypatch.delenv("HF_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "quaclrs"


def test_an_archive_of_another_address_keeps_the_rest_of_the_published_facts():
    moved = replace(URBANSOUND8K_ARCHIVE, address="http://127.0.0.1:1/UrbanSound8K.tar.gz?download=1")
    assert moved.md5 == URBANSOUND8K_ARCHIVE.md5
    assert moved.file_name == "UrbanSound8K.tar.gz"
