"""Anything audible to float32 mono: decoding by libsndfile and resampling by soxr, never FFmpeg or torchcodec."""

from .carriers import SoundSource, is_encoded, is_one_sound, name_of, unpack_sound
from .encoding import decode_pcm, encode_flac, encode_pcm, flac_digest
from .errors import AudioError, AudioWarning
from .finding import find_audio_files, has_audio_files, walk_files
from .mixing import Mixer
from .recording import BLOCK, MOST_SAMPLES, Recording, load_audio, read_mono, read_part, read_recording
from .stream import SoundStream, open_sound

__all__ = [
    "BLOCK",
    "MOST_SAMPLES",
    "AudioError",
    "AudioWarning",
    "Mixer",
    "Recording",
    "SoundSource",
    "SoundStream",
    "decode_pcm",
    "encode_flac",
    "encode_pcm",
    "find_audio_files",
    "flac_digest",
    "has_audio_files",
    "is_encoded",
    "is_one_sound",
    "load_audio",
    "name_of",
    "open_sound",
    "read_mono",
    "read_part",
    "read_recording",
    "unpack_sound",
    "walk_files",
]
