"""Archives that unpack to far more than they seem to: refused before the disk or the memory is full."""

from __future__ import annotations

import contextlib
import gzip
import random
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from test_archives import FILES, assert_refused, contents, md5_of, tar_entry, unpack, write_tar, write_zip

from dataset_builder.sources.archives import UnpackLimit, unpack_once
from quaclrs.errors import QuaclrsError

SMALL = UnpackLimit(always=100_000, most_growth=2, most_members=50)


def refusal_of(archive: Path, parent: Path, limit: UnpackLimit = SMALL) -> str:
    with pytest.raises(QuaclrsError) as error:
        unpack_once(archive, parent, md5_of(archive), limit)
    assert "\n" not in str(error.value)
    assert list(parent.iterdir()) == []
    return str(error.value)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_what_grows_beyond_all_recordings_is_refused(tmp_path, mode):
    zeros = bytes(60_000)
    if mode == "zip":
        archive = write_zip(tmp_path / "bomb", {f"{i}.wav": zeros for i in range(9)})
    else:
        archive = write_tar(tmp_path / "bomb", *(tar_entry(f"{i}.wav", zeros) for i in range(9)), mode=mode)
    if mode == "w":  # as large as what it holds
        assert len(contents(unpack_once(archive, tmp_path / "out", md5_of(archive), SMALL))) == 9
    else:
        assert "unpacks to far more than recordings would" in refusal_of(archive, tmp_path / "out")
        assert len(contents(unpack(archive, tmp_path / "plenty"))) == 9


def test_zips_inside_a_zip_count_with_it_and_those_inside_these_stay_packed(tmp_path):
    innermost = write_zip(tmp_path / "c.zip", {"c.wav": bytes(90_000)}).read_bytes()
    inner = write_zip(tmp_path / "b.zip", {"c.zip": innermost, "b.wav": bytes(60_000)}).read_bytes()
    archive = write_zip(tmp_path / "a.zip", {"b.zip": inner, "a.wav": b"a"})
    found = contents(unpack_once(archive, tmp_path / "out", md5_of(archive), SMALL))
    assert found == {"a.wav": b"a", "b.wav": bytes(60_000), "c.zip": innermost}
    archive = write_zip(tmp_path / "a.zip", {"b.zip": inner, "d/b.zip": inner})
    assert "far more" in refusal_of(archive, tmp_path / "other")


def test_a_zip_inside_a_zip_may_hold_a_file_of_its_own_name(tmp_path):
    inner = write_zip(tmp_path / "b.zip", {"b.zip": b"text", "b.wav": b"b"}).read_bytes()
    archive = write_zip(tmp_path / "a.zip", {"b.zip": inner})
    assert contents(unpack(archive, tmp_path / "out")) == {"b.zip": b"text", "b.wav": b"b"}


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_too_many_files_are_refused(tmp_path, kind):
    names = [f"{i}" for i in range(51)]
    if kind == "zip":
        archive = write_zip(tmp_path / "many", dict.fromkeys(names, b""))
    else:
        archive = write_tar(tmp_path / "many", *(tar_entry(name, b"") for name in names))
    assert "too many files" in refusal_of(archive, tmp_path / "out")


@pytest.mark.parametrize("stated", [0, 10, 1 << 30, 0xFFFFFFFE])
def test_a_zip_that_lies_about_a_size_is_refused(tmp_path, stated):
    archive = write_zip(tmp_path / "lie.zip", {"zeros.wav": bytes(50_000)})
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        struct.pack_into("<I", content, content.find(signature) + offset, stated)
    archive.write_bytes(content)
    assert str(archive) in refusal_of(archive, tmp_path / "out")


def test_two_members_that_share_their_bytes_are_counted_twice_or_refused(tmp_path):
    archive = tmp_path / "overlap.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("a.wav", bytes(60_000))
        for name in "bcd":
            info = zipfile.ZipInfo(name)
            for field in ("header_offset", "compress_type", "CRC", "compress_size", "file_size"):
                setattr(info, field, getattr(zipped.filelist[0], field))
            zipped.filelist.append(info)
    assert str(archive) in refusal_of(archive, tmp_path / "out")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_two_files_of_one_name_are_refused(tmp_path, kind):
    if kind == "tar":
        archive = write_tar(tmp_path / "twice.tar", tar_entry("a.wav"), tar_entry("a.wav"))
    else:
        archive = tmp_path / "twice.zip"
        with zipfile.ZipFile(archive, "w") as zipped, pytest.warns(UserWarning, match="Duplicate"):
            zipped.writestr("a.wav", b"x")
            zipped.writestr("a.wav", b"y")
    assert_refused(archive, tmp_path, "'a.wav' twice")


def test_a_sparse_tar_is_refused_before_its_holes_are_written(tmp_path):
    header = bytearray(tarfile.TarInfo("hole.wav").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[483:495] = b"77777777777\0"  # 8 GB, of which no byte is there
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    archive = tmp_path / "sparse.tar"
    archive.write_bytes(bytes(header) + bytes(1024))
    assert_refused(archive, tmp_path, "sparse")


def test_a_sparse_tar_by_its_extended_header_is_refused(tmp_path):
    archive = tmp_path / "sparse.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("hole.wav")
        facts = {"major": "1", "minor": "0", "name": "hole.wav", "realsize": str(1 << 40)}
        info.pax_headers = {f"GNU.sparse.{name}": value for name, value in facts.items()}
        tar.addfile(info)
    assert_refused(archive, tmp_path, "sparse")


def test_a_header_of_a_hundred_megabytes_is_not_read(tmp_path):
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 100 << 20
    archive = tmp_path / "header.tar.gz"
    with gzip.open(archive, "wb", 1) as file:
        file.write(info.tobuf())
        for _ in range(100):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    assert_refused(archive, tmp_path, str(archive))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 << 20


def test_a_zip_whose_list_of_members_would_fill_the_memory_is_refused(tmp_path):
    archive = write_zip(tmp_path / "list.zip", FILES)
    content = bytearray(archive.read_bytes())
    struct.pack_into("<I", content, content.rfind(b"PK\5\6") + 12, 1 << 27)
    archive.write_bytes(content)
    assert_refused(archive, tmp_path, "too many files")


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_random_damage_is_one_line_or_unpacks_and_leaves_nothing_half_done(tmp_path, kind):
    buffer = tmp_path / "whole"
    if kind == "zip":
        write_zip(buffer, {"a/b.wav": b"sound" * 50, "c": b"", "d.wav": random.Random(3).randbytes(300)})
    else:
        entries = [tar_entry("a/b.wav", b"sound" * 50), tar_entry("é" * 120), tar_entry("c", b"")]
        write_tar(buffer, *entries, mode="w:gz" if kind == "tar.gz" else "w")
    whole, generator = buffer.read_bytes(), random.Random(0)
    for number in range(60):
        content = bytearray(whole)
        for _ in range(generator.choice([1, 1, 2, 8])):
            content[generator.randrange(min(len(content), 2560))] = generator.randrange(256)
        archive = tmp_path / f"damaged{number}"
        archive.write_bytes(content)
        with contextlib.suppress(QuaclrsError):
            unpack_once(archive, tmp_path / "out", f"{number:012}", SMALL)
        assert all(
            folder.name == f"damaged{number}-{number:012}" for folder in (tmp_path / "out").glob(f"*{number:012}*")
        )
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
