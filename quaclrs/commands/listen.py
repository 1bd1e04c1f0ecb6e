"""`quaclrs listen`: label what a microphone, or a stream on standard input, hears now."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import print_error
from .model_options import add_answer_options, add_channel_option, add_model_options, load_model, min_score_of

if TYPE_CHECKING:
    from ..live.clips import ClipRecorder
    from ..live.listening import Listener, LiveLabel
    from ..live.microphone import Microphone
    from ..live.streams import PcmStream

#: As `live.streams.SAMPLE_FORMATS`; here so that `--help` imports no more.
_SAMPLES = ("u8", "s16", "s24", "s32", "f32", "f64")


def add_listen_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "listen",
        help="label live sound",
        description="Say what a microphone hears now, or a stream: arecord -f S16_LE -r 48000 | quaclrs listen -",
    )
    add = parser.add_argument
    add("source", nargs="?", metavar="DEVICE", help="number or name of a microphone; - for WAV or raw PCM on stdin")
    add_model_options(parser)
    add("--rate", type=int, metavar="HZ", help="Hz of the microphone or of raw PCM (default: its own, or 48000)")
    add("--channels", type=int, default=1, metavar="N", help="channels of raw PCM (default 1)")
    add("--samples", choices=_SAMPLES, default="s16", help="format of raw PCM, little-endian (default s16)")
    add_channel_option(parser, "the first of a microphone; of a stream as `quaclrs predict` has it")
    add(
        "--window",
        type=float,
        metavar="S",
        default=1.0,
        help="seconds that are heard at once (default 1); 2 is steadier and later",
    )
    add("--hop", type=float, default=0.5, metavar="S", help="seconds between two answers (default 0.5)")
    add_answer_options(parser, "a moment is")
    add("--clear", type=float, default=0.5, metavar="S", help="score from which a label changes at once (default 0.5)")
    add("--patience", type=int, default=2, metavar="N", help="times in a row that any other must come (default 2)")
    add("--json", action="store_true", help="one JSON object a line")
    add("--every-hop", action="store_true", help="print every answer, not only changes")
    add("--record", type=Path, metavar="DIR", help="keep a WAV of each sound, a second before and after with it")
    add("--record-labels", metavar="A,B", help="labels to keep (default: all but other, silence and unsure)")
    add("--mqtt", metavar="URL", help="publish each change: mqtt://[user:password@]host[:port]/topic")
    parser.set_defaults(run=run_listen)


def run_listen(options: argparse.Namespace) -> int:
    """Print what is heard until the stream ends or Ctrl-C; 0."""
    from ..errors import QuaclrsError
    from ..live.listening import Listener, ListeningOptions

    for name in ("patience", "channels", "rate"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise QuaclrsError(f"--{name} is {value}; it must be 1 or more")
    if options.record_labels is not None and options.record is None:
        raise QuaclrsError("--record-labels has no use without --record; give a folder, or leave it out")
    with ExitStack() as stack:
        classifier = load_model(options)
        wanted = None if options.record_labels is None else [*options.record_labels.split(",")]
        for label in wanted or []:
            if label not in (*classifier.labels, "siren", "silence", "unsure"):
                raise QuaclrsError(f"--record-labels: the model knows no {label}; see `quaclrs info`")
        asked = ListeningOptions(
            options.window,
            options.hop,
            min_score_of(options, classifier),
            options.group_sirens,
            options.patience,
            options.clear,
        )
        publish = None
        if options.mqtt:
            from ..live.mqtt import MqttPublisher

            publish = stack.enter_context(closing(MqttPublisher(options.mqtt, _tell))).publish
        source = _opened(options, stack)
        clips = None
        listener = Listener(classifier, source.sampling_rate, asked)
        if options.record:
            from ..live.clips import ClipRecorder

            clips = stack.enter_context(closing(ClipRecorder(options.record, source.sampling_rate, wanted)))
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # what systemd ends it by, as Ctrl-C does
        with suppress(KeyboardInterrupt):
            _listen(source, listener, clips, publish, options)
    return 0


def _opened(options: argparse.Namespace, stack: ExitStack) -> Microphone | PcmStream:
    if options.source != "-":
        from ..live.microphone import Microphone
        from ..models.waveforms import channel_number

        channel = None if options.channel == "mean" else 1 + (channel_number(options.channel or "left", 1 << 16) or 0)
        microphone = Microphone(options.source, options.rate, channel, _tell)
        _tell(f"listening to {microphone.name} at {microphone.sampling_rate} Hz; Ctrl-C ends it")
        return stack.enter_context(closing(microphone))
    from ..live.streams import PcmStream, StreamFormat
    from .one_sound import opened_sound

    raw = StreamFormat(options.samples, options.rate or 48_000, options.channels)
    return PcmStream(opened_sound("-"), raw, options.channel)  # type: ignore[arg-type]


def _tell(line: str) -> None:
    print_error(line, "note")


def _listen(
    blocks: Iterable[Any],
    listener: Listener,
    clips: ClipRecorder | None,
    publish: Callable[[dict[str, Any]], None] | None,
    options: argparse.Namespace,
) -> None:
    heard, answered = 0, False
    for block in blocks:
        now = datetime.now().astimezone()
        heard += len(block)
        if clips:
            clips.hear(block)
        for answer in listener(block):
            if clips:
                clips.answer(answer, now)
            if answer.begins is None and not options.every_hop:
                continue
            told = _told(answer, now)
            line = json.dumps(told) if options.json else _line(answer, now)
            print(line, flush=True)
            answered = True
            if publish and answer.begins is not None:
                publish(told)
    if not answered:
        seconds = heard / listener.sampling_rate
        _tell(f"the sound ended after {seconds:.1f} s, before a label was sure; `quaclrs predict` labels short ones")


def _told(answer: LiveLabel, now: datetime) -> dict[str, Any]:
    begins = answer.seconds if answer.begins is None else answer.begins
    return {
        "time": (now - timedelta(seconds=answer.seconds - begins)).isoformat(timespec="milliseconds"),
        "seconds": begins,
        "label": answer.label,
        "score": round(answer.score, 4),
        "level": round(answer.level, 1),
    }


def _line(answer: LiveLabel, now: datetime) -> str:
    return f"{now:%H:%M:%S}  {answer.label:<18} {answer.score:>6.1%} {answer.level:>7.1f} dBFS"
