"""Archives, honest and hostile, and what is on the disk after each."""

from __future__ import annotations

import hashlib
import io
import os
import random
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
import warm_python

from dataset_builder.sources import archives
from dataset_builder.sources.archives import md5_of, unpack_once
from quaclrs.errors import QuaclrsError

FILES = {"a/one.wav": random.Random(1).randbytes(30_000), "a/b/two.wav": random.Random(2).randbytes(5), "empty": b""}


def tar_entry(name: str, content: bytes = b"x", **fields) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, io.BytesIO(content)


def write_tar(path: Path, *entries: tuple[tarfile.TarInfo, io.BytesIO], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for info, content in entries:
            tar.addfile(info, content)
    return path


def write_zip(path: Path, files: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            zipped.writestr(info, content)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def unpack(archive: Path, parent: Path) -> Path:
    return unpack_once(archive, parent, md5_of(archive))


def assert_refused(archive: Path, tmp_path: Path, says: str) -> None:
    before = contents(tmp_path)
    with pytest.raises(QuaclrsError, match=says) as error:
        unpack(archive, tmp_path / "out" / "unpacked")
    assert str(archive) in str(error.value)
    assert "\n" not in str(error.value)
    assert contents(tmp_path) == before
    assert list((tmp_path / "out").rglob("*")) == [tmp_path / "out" / "unpacked"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_of_any_compression_is_unpacked_to_the_byte(tmp_path, mode):
    archive = write_tar(tmp_path / "Noise.tar.x", *(tar_entry(*file) for file in FILES.items()), mode=mode)
    folder = unpack(archive, tmp_path / "unpacked")
    assert contents(folder) == FILES
    assert list((tmp_path / "unpacked").iterdir()) == [folder]
    assert folder.name == f"Noise-{hashlib.md5(archive.read_bytes()).hexdigest()[:12]}"


def test_a_zip_is_unpacked_to_the_byte_and_so_is_one_inside_it(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", FILES)
    others = {"Some title/note": b"n", "__MACOSX/Some title/._inner.zip": b"resource fork"}
    outer = write_zip(tmp_path / "outer.zip", {"Some title/inner.zip": inner.read_bytes(), **others})
    folder = unpack(outer, tmp_path / "unpacked")
    assert contents(folder) == others | {f"Some title/{name}": content for name, content in FILES.items()}


def test_an_archive_is_unpacked_once_and_another_of_the_same_name_beside_it(tmp_path, monkeypatch):
    archive = write_zip(tmp_path / "noise.zip", FILES)
    first = unpack(archive, tmp_path / "unpacked")
    (first / "a" / "one.wav").write_bytes(b"touched")
    assert unpack(archive, tmp_path / "unpacked") == first
    assert (first / "a" / "one.wav").read_bytes() == b"touched"
    write_zip(archive, FILES | {"three.wav": b"3"})
    assert contents(unpack(archive, tmp_path / "unpacked")) == FILES | {"three.wav": b"3"}


@pytest.mark.parametrize(
    "name", ["/etc/evil.wav", "../evil.wav", "a/../../evil.wav", "..", "C:/evil.wav", "..\\evil.wav", "\\evil.wav"]
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_path_that_leaves_the_folder_is_refused_by_name(tmp_path, name, kind):
    if kind == "tar":
        archive = write_tar(tmp_path / "evil.tar.gz", tar_entry("good.wav"), tar_entry(name))
    else:
        archive = write_zip(tmp_path / "evil.zip", {"good.wav": b"x", name: b"x"})
    assert_refused(archive, tmp_path, r"evil\.wav|'\.\.'")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "'door', a link to '/etc/passwd'"),
        ({"type": tarfile.SYMTYPE, "linkname": "good.wav"}, "'door', a link"),
        ({"type": tarfile.LNKTYPE, "linkname": "../../secret"}, "'door', a link to '../../secret'"),
        ({"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}, "'door', a device"),
        ({"type": tarfile.BLKTYPE}, "'door', a device"),
        ({"type": tarfile.FIFOTYPE}, "'door', a device"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused_by_name(tmp_path, fields, says):
    archive = write_tar(tmp_path / "evil.tar.gz", tar_entry("good.wav"), tar_entry("door", b"", **fields))
    assert_refused(archive, tmp_path, says)


def test_a_file_written_through_a_link_of_the_same_archive_never_arrives(tmp_path):
    (tmp_path / "outside").mkdir()
    door = tar_entry("door", b"", type=tarfile.SYMTYPE, linkname=str(tmp_path / "outside"))
    assert_refused(write_tar(tmp_path / "evil.tar", door, tar_entry("door/evil.wav"), mode="w"), tmp_path, "door")
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused_by_name(tmp_path, mode):
    archive = write_zip(tmp_path / "evil.zip", {"good.wav": b"x", "door": b"/etc"}, {"door": mode | 0o777})
    assert_refused(archive, tmp_path, "'door'")


def test_a_hostile_zip_inside_a_zip_is_refused(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", {"../../evil.wav": b"x"})
    before = inner.read_bytes()
    inner.unlink()
    archive = write_zip(tmp_path / "outer.zip", {"inner.zip": before})
    with pytest.raises(QuaclrsError, match=r"evil\.wav"):
        unpack(archive, tmp_path / "unpacked")
    assert list(tmp_path.rglob("*")) == [archive, tmp_path / "unpacked"]


def test_no_mode_of_the_archive_reaches_the_disk(tmp_path):
    archive = write_tar(tmp_path / "modes.tar.gz", tar_entry("one.wav", mode=0o4777), tar_entry("two.wav", mode=0))
    paths = list(unpack(archive, tmp_path / "unpacked").iterdir())
    assert {path.name for path in paths} == {"one.wav", "two.wav"}
    for path in paths:
        assert path.read_bytes() == b"x"
        assert not path.stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_tar_that_is_cut_anywhere_is_refused(tmp_path, mode, kept):
    archive = write_tar(tmp_path / "cut.tar", *(tar_entry(*file) for file in FILES.items()), mode=mode)
    # An uncompressed tar ends in empty padding, which may be missing: cut into what stands before it.
    length = len(archive.read_bytes()) if mode != "w" else 3 * 512 + 30_208 + 512
    archive.write_bytes(archive.read_bytes()[: int(kept * length)])
    assert_refused(archive, tmp_path, "cut short or damaged")


def test_a_tar_that_is_cut_between_two_members_is_refused(tmp_path):
    archive = write_tar(tmp_path / "cut.tar", *(tar_entry(*file) for file in FILES.items()), mode="w")
    archive.write_bytes(archive.read_bytes()[: 512 + 30_208])  # one.wav: a header and 59 blocks
    assert_refused(archive, tmp_path, "cut short or damaged")


@pytest.mark.parametrize("place", [0.3, 0.6])
def test_a_compressed_tar_with_one_wrong_byte_is_refused(tmp_path, place):
    archive = write_tar(tmp_path / "damaged.tar.gz", *(tar_entry(*file) for file in FILES.items()))
    content = bytearray(archive.read_bytes())
    content[int(place * len(content))] ^= 1
    archive.write_bytes(content)
    assert_refused(archive, tmp_path, "cut short or damaged")


@pytest.mark.parametrize("kept", [3, 0.5, 0.9, 0.999])
def test_a_zip_that_is_cut_anywhere_is_refused(tmp_path, kept):
    archive = write_zip(tmp_path / "cut.zip", FILES)
    content = archive.read_bytes()
    archive.write_bytes(content[: kept if kept > 1 else int(kept * len(content))])
    assert_refused(archive, tmp_path, "cut short or damaged")


def test_a_zip_with_one_wrong_byte_is_refused(tmp_path):
    archive = write_zip(tmp_path / "damaged.zip", FILES)
    content = bytearray(archive.read_bytes())
    content[5_000] ^= 1
    archive.write_bytes(content)
    assert_refused(archive, tmp_path, "cut short or damaged")


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    archive = tmp_path / "UrbanSound8K.tar.gz"
    archive.write_text("<html>please log in</html>")
    assert_refused(archive, tmp_path, "cut short or damaged")


def test_an_archive_larger_than_the_disk_is_refused_before_it_fills_it(tmp_path, monkeypatch):
    archive = write_zip(tmp_path / "bomb.zip", {"zeros": bytes(1_000_000)})
    usage = archives.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage._replace(free=999_999))
    assert_refused(archive, tmp_path, "--cache-dir")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    archive = write_zip(tmp_path / "noise.zip", FILES)
    with pytest.raises(QuaclrsError, match="--cache-dir"):
        unpack(archive, archive / "cache")


def test_a_tar_whose_last_member_is_a_zip_is_still_a_tar(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", {"inner.wav": b"i"}).read_bytes()
    archive = write_tar(tmp_path / "both.tar", tar_entry("one.wav"), tar_entry("inner.zip", inner), mode="w")
    assert contents(unpack(archive, tmp_path / "unpacked")) == {"one.wav": b"x", "inner.wav": b"i"}


def test_a_killed_unpacking_is_done_anew_and_leaves_nothing(tmp_path):
    archive = write_zip(tmp_path / "noise.zip", {"a.wav": b"a", "b.wav": b"b"})
    code = "import os, sys\nfrom pathlib import Path\nfrom dataset_builder.sources import archives\n"
    code += "archives._refuse = lambda _, member: member.name == 'b.wav' and os.kill(os.getpid(), 9)\n"
    code += "archives.unpack_once(Path(sys.argv[1]), Path(sys.argv[2]), '0' * 12)"
    assert warm_python.run(["-c", code, str(archive), str(tmp_path / "out")]).returncode == -9
    assert len(list((tmp_path / "out").iterdir())) == 1
    folder = unpack_once(archive, tmp_path / "out", "0" * 12)
    assert list((tmp_path / "out").iterdir()) == [folder]
    assert contents(folder) == {"a.wav": b"a", "b.wav": b"b"}


def test_a_disk_that_archives_fill_is_one_line(tmp_path, small_disk):
    archive = write_zip(tmp_path / "noise.zip", {f"{i}.wav": os.urandom(100_000) for i in range(4)})
    with pytest.raises(QuaclrsError, match="does not fit on the disk; choose another --cache-dir"):
        unpack_once(archive, small_disk / "cache", md5_of(archive))
    assert not list((small_disk / "cache").iterdir())
