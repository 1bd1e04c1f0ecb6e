"""The Space: `python spaces/app.py` serves it on loopback; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT change where."""

from __future__ import annotations

import html
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# A folder of our own, so that only what visitors sent here counts.
os.environ.setdefault("GRADIO_TEMP_DIR", tempfile.mkdtemp(prefix="quaclrs-space-"))

import gradio as gr
from analysis import (
    LONGEST_SECONDS,
    MOST_MEGABYTES,
    Moment,
    Panel,
    analyse_sound,
    check_sound,
    classifier_of,
    draw_explanation,
    draw_words,
    label_sound,
    model_names,
    read_middle,
)
from limits import Limits
from live import listen, words_of
from matplotlib.figure import Figure
from microphone import MICROPHONE
from own_sounds import MOST_LABELS, OwnModel, forget, learn_own, try_own
from starlette.middleware import Middleware

from quaclrs import QuaclrsError
from quaclrs.evaluation.reports.tables import heard_seconds
from quaclrs.inference.hearing import Heard

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.ogg"))

#: Requests that are worked on at once, and that wait.
CONCURRENT, WAITING = 2, 64

#: Seconds after which files of visitors are deleted, and megabytes of them that are kept until then.
KEPT_SECONDS, MOST_WAITING_MEGABYTES = 1800, 2000.0

#: Seconds of a piece of a live stream, and of the whole, and visitors who are heard live at once.
PIECE_SECONDS, LIVE_SECONDS, LIVE_VISITORS = 0.5, 600, 4

#: What the page looks for when nobody chose a class.
ANSWER = "the answer"

ABOUT = f"""
**What it does.** It names the dominant sound: of a longer recording every four seconds are heard, and the scores are
their mean, silent ones left out. The timeline goes through it second by second; the pictures show its middle. Scores
are shares of one: something is always the likeliest, also when none of the classes is there.

**Limits.** Files up to {MOST_MEGABYTES:g} MB and {LONGEST_SECONDS / 60:g} minutes. Trained on short recordings of a few
hundred places; other microphones and streets will surprise it. Not for alarms or anything where a missed siren does
harm. Sounds are deleted after {KEPT_SECONDS // 60} minutes and never kept.

**Licence.** Code Apache-2.0; weights CC BY-NC 4.0, learned from UrbanSound8K and clips of sirens and traffic. The
examples are synthesised, not recorded.
"""


def predict(file: str | None) -> tuple[dict[str, float], dict[str, float]]:
    """Class -> score of a sound file, by the first model, and seconds; what `/predict` of the API answers."""
    try:
        check_sound(file)
        assert file is not None
        heard = label_sound(model_names()[0], file)
        return _scores(heard), {"heard": round(heard.seconds, 3), "duration": round(heard.duration, 3)}
    except QuaclrsError as error:
        raise gr.Error(str(error), print_exception=False) from error


def analyse(file: str | None, model: str, label: str) -> tuple[Any, ...]:
    """Everything that the page shows of a sound."""
    try:
        page = analyse_sound(model, file, _asked(label))
    except QuaclrsError as error:
        raise gr.Error(str(error), print_exception=False) from error
    heard, moments = page.heard.content, page.moments.content
    if heard is None:
        gr.Warning(page.heard.why_empty)
    scores, extent = (None, "") if heard is None else (_scores(heard), heard_seconds(heard.seconds, heard.duration))
    timeline = [["", page.moments.why_empty, ""]] if moments is None else _as_rows(moments)
    return scores, extent, _picture(page.sound), _picture(page.explanation), timeline


def explain_again(file: str | None, model: str, label: str) -> Any:
    """The explanation of another class."""
    if not file:
        return None
    return _picture(Panel.of(lambda: draw_explanation(model, read_middle(model, file), _asked(label))))


def _scores(heard: Heard) -> dict[str, float]:
    return {entry["label"]: entry["score"] for entry in heard.ranking()}


def _asked(label: str) -> str | None:
    return None if label == ANSWER else label


def _picture(panel: Panel[Figure]) -> Figure:
    return draw_words(panel.why_empty) if panel.content is None else panel.content


def _as_rows(moments: list[Moment]) -> list[list[str]]:
    rows = []
    for moment in moments:
        heard = moment.segment.label.replace("_", " ") + (" (loudest)" if moment.loudest else "")
        rows.append([f"{moment.segment.start:.1f} – {moment.segment.end:.1f}", heard, f"{moment.segment.score:.0%}"])
    return rows


def learn(*given: Any) -> tuple[OwnModel, str, Any, str]:
    """A model of the visitor's own sounds: itself, its report as a frame, the file to take home, and what to know."""
    labels, files = given[:MOST_LABELS], given[MOST_LABELS:]
    try:
        own = learn_own([(label or "", clips or []) for label, clips in zip(labels, files, strict=True)])
    except QuaclrsError as error:
        raise gr.Error(str(error), print_exception=False) from error
    # A frame of its own, in which no script runs: the report's styles are not the page's.
    frame = f"<iframe sandbox srcdoc='{html.escape(own.page)}' style='width:100%;height:30rem;border:0'></iframe>"
    return own, frame, gr.DownloadButton(value=own.archive, visible=True), "\n\n".join(own.left_out)


def try_it(own: OwnModel | None, file: str | None) -> dict[str, float]:
    """Scores by the visitor's own model."""
    try:
        return _scores(try_own(own, file))
    except QuaclrsError as error:
        raise gr.Error(str(error), print_exception=False) from error


def build_own_sounds(together: dict[str, Any]) -> None:
    """The tab in which a visitor's own sounds are learned.

    Args:
        together: limits that hold for all work of the page.
    """
    gr.Markdown(
        "Name two to ten sounds and upload a few clips of each, of different recordings if you can; ten are a good "
        "start. A label `other` is for sounds that are none of these. Nothing is kept: take the model home as a folder "
        "that `quaclrs predict --model` and Transformers load."
    )
    own = gr.State(None, time_to_live=KEPT_SECONDS, delete_callback=forget)
    labels, files, rows = [], [], []
    for number in range(MOST_LABELS):
        with gr.Row(visible=number < 2) as row:
            labels.append(gr.Textbox(label=f"Sound {number + 1}", max_length=80, elem_id=f"own-label-{number}"))
            files.append(
                gr.File(
                    label="Clips", file_count="multiple", type="filepath", height=120, elem_id=f"own-clips-{number}"
                )
            )
        rows.append(row)
    shown = gr.State(2)
    more, start = (
        gr.Button("One more sound", elem_id="own-more"),
        gr.Button("Learn", variant="primary", elem_id="learn"),
    )
    report, known = gr.HTML(elem_id="own-report"), gr.Markdown(elem_id="own-known")
    home = gr.DownloadButton("Take the model home", visible=False, elem_id="own-download")
    with gr.Row(equal_height=False):
        sound = gr.Audio(type="filepath", sources=["upload", "microphone"], label="Try it", elem_id="own-sound")
        heard = gr.Label(num_top_classes=5, label="Heard", elem_id="own-answer")

    def one_more(count: int) -> list[Any]:
        count = min(MOST_LABELS, count + 1)
        return [count, *(gr.Row(visible=number < count) for number in range(MOST_LABELS))]

    more.click(one_more, [shown], [shown, *rows], api_visibility="private", queue=False)
    start.click(learn, [*labels, *files], [own, report, home, known], api_visibility="private", **together)
    sound.change(lambda: None, None, [heard], api_visibility="private", queue=False)
    gr.Button("Listen", elem_id="own-listen").click(try_it, [own, sound], [heard], api_visibility="private", **together)


def build_live(model: gr.Dropdown) -> None:
    """The tab that listens to the microphone and shows level, label and the last seconds as they come."""
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            stream = gr.Audio(
                type="filepath", sources=["microphone"], streaming=True, label="Microphone", elem_id="stream"
            )
            now = gr.HTML(words_of(None), elem_id="now")
        with gr.Column(min_width=300):
            moving = gr.Image(label="The last seconds", interactive=False, elem_id="moving")
    session = gr.State(None, time_to_live=KEPT_SECONDS)
    stream.stream(
        listen, [session, model, stream], [session, now, moving], stream_every=PIECE_SECONDS,
        time_limit=LIVE_SECONDS, show_progress="hidden", concurrency_limit=LIVE_VISITORS, concurrency_id="live",
        api_visibility="private",
    )  # fmt: skip
    stream.start_recording(lambda: None, None, [session], api_visibility="private")


def build() -> gr.Blocks:
    models = model_names()
    labels = classifier_of(models[0]).labels
    with gr.Blocks(title="QUACLRS: urban sounds", delete_cache=(KEPT_SECONDS, KEPT_SECONDS)) as page:
        gr.Markdown("# QUACLRS\nWhich sound of the city is this?")
        together = {"concurrency_limit": CONCURRENT, "concurrency_id": "sounds"}  # so many of all
        with gr.Tab("A recording"):
            with gr.Row(equal_height=False):
                with gr.Column(min_width=300):
                    sound = gr.Audio(type="filepath", sources=["upload", "microphone"], label="Sound", elem_id="sound")
                    model = gr.Dropdown(models, value=models[0], label="Model", visible=len(models) > 1)
                    button = gr.Button("Listen", variant="primary", elem_id="listen")
                    if EXAMPLES:
                        gr.Examples(
                            [[str(file)] for file in EXAMPLES],
                            [sound],
                            label="Examples (synthesised)",
                            api_visibility="private",
                        )
                with gr.Column(min_width=300):
                    answer = gr.Label(num_top_classes=5, label="Heard", elem_id="answer")
                    extent = gr.Markdown(elem_id="extent")
                    timeline = gr.Dataframe(
                        headers=["seconds", "heard", "score"], label="Timeline", interactive=False, wrap=True,
                        elem_id="timeline",
                    )  # fmt: skip
            with gr.Row(equal_height=False):
                with gr.Column(min_width=300):
                    picture = gr.Plot(show_label=False, elem_id="picture")
                with gr.Column(min_width=300):
                    label = gr.Dropdown([ANSWER, *labels], value=ANSWER, label="Where is it heard?", elem_id="label")
                    overlay = gr.Plot(show_label=False, elem_id="overlay")
            inputs, outputs = [sound, model, label], [answer, extent, picture, overlay, timeline]
            button.click(analyse, inputs, outputs, api_visibility="private", **together)
            label.change(explain_again, inputs, [overlay], api_visibility="private", **together)
            # What programs call: the file alone in, scores and seconds out.
            times = gr.JSON(label="Seconds", visible=False)
            gr.Button(visible=False).click(predict, [sound], [answer, times], api_name="predict", **together)
        with gr.Tab("Live"):
            build_live(model)
        with gr.Tab("Your own sounds", elem_id="own"):
            build_own_sounds(together)
        with gr.Accordion("About", open=False):
            gr.Markdown(ABOUT)
    return page.queue(max_size=WAITING, api_open=False)  # nobody passes the queue


def guard() -> Middleware:
    """Checks before every request."""
    folder, most = os.environ["GRADIO_TEMP_DIR"], MOST_WAITING_MEGABYTES * 1e6
    return Middleware(Limits, folder=folder, most_bytes=most, public=frozenset({"predict"}))


def main() -> None:
    build().launch(
        head=MICROPHONE,
        theme=gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        max_file_size=f"{MOST_MEGABYTES:g}mb",
        show_error=False,  # a gr.Error is shown all the same; others may name folders of this machine
        app_kwargs={"middleware": [guard()]},
    )


if __name__ == "__main__":
    main()
