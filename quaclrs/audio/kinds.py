"""Name what a file is that libsndfile does not open, by its first bytes, and say what helps."""

from __future__ import annotations

#: Bytes that are enough to tell.
HEAD = 512

_CONVERT = "convert it to WAV or FLAC, with ffmpeg for instance"
_UNPACK = "unpack it"

#: Bytes at the beginning -> what such a file is, and what to do.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer and not the sound itself", "fetch it (git lfs pull)"),
    (b"/annex/objects/", "a git-annex pointer and not the sound itself", "fetch it (git annex get)"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA or another ASF file, which libsndfile does not decode", _CONVERT),
    (b"\x1a\x45\xdf\xa3", "WebM or Matroska, which libsndfile does not decode", _CONVERT),
    (b"#!AMR", "AMR, which libsndfile does not decode", _CONVERT),
    (b"wvpk", "WavPack, which libsndfile does not decode", _CONVERT),
    (b"MAC ", "Monkey's Audio, which libsndfile does not decode", _CONVERT),
    (b"\xff\xf1", "AAC, which libsndfile does not decode", _CONVERT),
    (b"\xff\xf9", "AAC, which libsndfile does not decode", _CONVERT),
    (b"MThd", "MIDI, which holds notes and no sound", "give a recording"),
    (b"PK\x03\x04", "a ZIP archive", _UNPACK),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"%PDF", "a PDF document", "give a sound file"),
    (b"\x89PNG", "a picture (PNG)", "give a sound file"),
    (b"\xff\xd8\xff", "a picture (JPEG)", "give a sound file"),
    (b"PAR1", "a Parquet table", "give a sound file"),
    (b"\xff\xfe", "text (UTF-16), no sound", "give a sound file"),
)

#: Beginnings of what libsndfile does decode: such a file is damaged, whatever the rest looks like.
_SOUNDS = (b"RIFF", b"RF64", b"riff", b"fLaC", b"OggS", b"FORM", b".snd", b"caff", b"ID3", b"NIST", b"Creative Voice")


def is_mpeg(head: bytes) -> bool:
    """True for what libmpg123 is asked to decode: frames of MPEG audio, or a tag in front of them."""
    return head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")


def kind_of(head: bytes) -> tuple[str, str] | None:
    """Tell a file's kind by its first `HEAD` bytes, and what to do about it; None where they tell nothing."""
    for signature, kind, advice in _SIGNATURES:
        if head.startswith(signature):
            return kind, advice
    if head.startswith(_SOUNDS):
        return None
    if head[4:8] == b"ftyp":
        return "MP4, M4A or 3GP, which libsndfile does not decode", _CONVERT
    if not any(head):
        return "nothing but zeros" if head else "empty (0 bytes)", "copy it from its source again"
    return _kind_of_text(head)


def _kind_of_text(head: bytes) -> tuple[str, str] | None:
    text = head.decode("utf-8-sig", errors="replace").strip().lower()
    if "<html" in text or text.startswith("<!doctype html"):
        return "a web page (HTML), no sound", "download the file itself"
    # The last character may be cut in two.
    if "�" in text[:-1] or any(ord(character) < 32 and not character.isspace() for character in text):
        return None
    kind = "an XML document" if text.startswith("<") else "a JSON document" if text.startswith(("{", "[")) else "text"
    return f"{kind}, no sound", "give a sound file"
