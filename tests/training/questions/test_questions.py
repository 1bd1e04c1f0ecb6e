"""The four questions from runs that a fake trains: which clips each names rightly is known beforehand."""

import functools
import json
import statistics
from pathlib import Path

import numpy as np
import pytest
from fake_runs import metrics_of, write_run

from quaclrs.data import class_names, load_urbansound13, plan_folds
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.result_files import write_csv, write_predictions
from training.questions import command, under_noise
from training.questions.config import QuestionsConfig
from training.questions.laboratory import Laboratory
from training.questions.page import write_page
from training.runs.metrics import SHORTCUT_CONTROL
from training.ssl.config import SSLConfig

ROOT = Path(__file__).parents[3]

#: Share of test clips that a run of so begun a name has right.
SHARES = {"scratch": 0.3, "classes": 0.3, "tuned": 0.5, "head": 0.4, "imagenet": 0.6, "yamnet": 0.7, "both": 0.8}


class FakeProcesses:
    """Stands in for `WarmProcesses`: writes what runs leave."""

    def __init__(self, dataset):
        self.rows = load_urbansound13(str(dataset))
        self.names = class_names(self.rows)
        self.started = []
        self.test_clips = functools.cache(self._test_clips)

    def _test_clips(self, fold, protocol, leave_out):
        rows = plan_folds(self.rows, fold, protocol).test
        clips = self.rows.select_columns(["clip_id", "label"]).select(rows)
        left_out = [self.names.index(name) for name in filter(None, leave_out.split(","))]
        kept = ~np.isin(clips["label"][:], left_out)
        return np.array(clips["clip_id"][:])[kept], np.array(clips["label"][:])[kept]

    def called(self, run, share):
        """The first clips of the fold rightly, the others by the next class."""
        config = run.config
        clip_ids, labels = self.test_clips(config.test_fold, config.protocol, getattr(config, "leave_out", ""))
        right = np.arange(len(labels)) < share * len(labels)
        return clip_ids, labels, np.where(right, labels, (labels + 1) % len(self.names))

    def __call__(self, run, jobs=1):
        self.started.append(run)
        if run.kind is SSLConfig:
            knn = {"byol": 0.5, "simclr": 0.6}.get(run.config.method, 0.4) + (run.config.backbone == "yamnet") * 0.1
            figures = {"accuracy": knn, "clips": 10}
            metrics = metrics_of(
                run.config,
                method=run.config.method,
                evaluations={"linear": figures},
                history={"knn_accuracy": [0.3, knn]},
            )
            write_run(run, metrics)
            for file, share in (("", 0.5), ("_knn", 0.4), ("_random_linear", 0.3), ("_random_knn", 0.2)):
                self.predict(run, share, f"predictions{file}.csv")
            return 0
        share = SHARES[run.folder.name.split("-")[0]] + 0.1 * (run.seed == 1)
        _, labels, called = self.called(run, share)
        control = {"accuracy": 0.2, "accuracy_urbansound8k": 0.1, "accuracy_sirennet": 0.35}
        figures = {"accuracy": float(np.mean(called == labels)), "clips": len(labels)}
        metrics = metrics_of(
            run.config, figures=figures, validation_accuracy=share, controls={SHORTCUT_CONTROL: control}
        )
        write_run(run, metrics)
        self.predict(run, share, "predictions.csv")
        return 0

    def predict(self, run, share, file):
        clip_ids, labels, called = self.called(run, share)
        scores = np.eye(len(self.names))[called]
        write_predictions(run.path / file, clip_ids, [run.fold] * len(labels), labels, scores, self.names)

    def do(self, work, run, noise):
        assert work is under_noise.measure
        columns = {}
        for kind in ("gaussian", "recorded"):
            for place, ratio in enumerate(under_noise.SNRS):
                clip_ids, labels, called = self.called(run, 0.3 + 0.2 * ("patch" in run.folder.name) - 0.02 * place)
                columns[under_noise.name_of(kind, ratio)] = [self.names[label] for label in called]
        columns = {"clean": columns["gaussian 20 dB"], **columns}
        rows = zip(clip_ids, [self.names[label] for label in labels], *columns.values(), strict=True)
        write_csv(run.path / "under_noise.csv", ["clip_id", "label", *columns], rows)
        return 0


def options(dataset, folder):
    return {
        "dataset": str(dataset), "output_dir": str(folder), "noise": "noise", "test_fold": 2,
        "recordings": "1,all", "seeds": "0,1,2", "encoder_seeds": "0,1", "image_size": 32,
    }  # fmt: skip


@pytest.fixture(scope="module")
def worked(sample_dataset, tmp_path_factory):
    """A laboratory that has done its runs, what it chose, and its processes."""
    processes = FakeProcesses(sample_dataset)
    laboratory = Laboratory(QuestionsConfig(**options(sample_dataset, tmp_path_factory.mktemp("q"))), processes)
    return laboratory, laboratory.work(), processes


def test_the_page_has_the_shares_that_the_runs_have_and_says_what_validation_chose(worked, sample_dataset):
    laboratory, chosen, _ = worked
    assert chosen.methods[:2] == ["simclr", "byol"]
    assert chosen.further.startswith("simclr")

    kept = command.collect(laboratory, chosen)
    few = kept["few_labels"]["rows"]
    assert len(few["from scratch"]["1"]["of_each"]) == 3
    clips = len(plan_folds(load_urbansound13(str(sample_dataset)), 2).test)
    for row, share in (("from scratch", 0.3), ("simclr, fine-tuned", 0.5), ("YAMNet, linear", 0.7)):
        of_seeds = [np.ceil((share + 0.1 * (seed == 1)) * clips) / clips for seed in (0, 1, 2)]
        assert few[row]["all"]["accuracy"] == pytest.approx(statistics.mean(of_seeds), abs=0.5 / clips)
    assert few["simclr, fine-tuned"]["1"]["over_scratch"]["difference"] == pytest.approx(0.2, abs=1.5 / clips)
    knn = kept["encoders"]["methods"]["byol"]["test"]["knn"]
    assert knn["over_untrained"]["difference"] == pytest.approx(0.2, abs=1.5 / clips)
    noisy = kept["under_noise"]["rows"]["from scratch"]
    assert noisy["patch_augment"]["noise"]["over_none"]["difference"] == pytest.approx(0.2, abs=1.5 / clips)
    assert kept["more_classes"]["changes"]["from scratch"]["over_nine"]["interval"][0] <= 0
    assert kept["combination"]["winner"][-1] == "fine-tuned"

    page = write_page(kept)
    assert "`patch_augment` is best under noise: +20" in page and "place 1 of 5" in page
    for heading in ("## 1.", "## 2.", "## 3.", "## 4."):
        assert page.count(heading) == 1
    assert "few_labels; 3 seeds." in page and "under_noise; 2 seeds." in page


def test_finished_runs_are_not_repeated_and_encoders_come_before_what_begins_with_them(worked, sample_dataset):
    laboratory, _, processes = worked
    finished = []
    for run in processes.started:
        for name, value in run.options:
            if name == "init_from":
                assert value in finished, f"{run.path} begins with an encoder that is not there"
        finished.append(str(run.path))
    assert len(set(finished)) == len(finished)
    order = [(run.folder.name, run.seed) for run in processes.started]
    # A budget may end the work: the first seed answers all questions, then more draws of few labels come first.
    places = [order.index(run) for run in (("classes-strict-all", 0), ("scratch-1", 2), ("classes-strict-all", 1))]
    assert places == sorted(places)

    again = FakeProcesses(sample_dataset)
    Laboratory(laboratory.config, again).work()
    assert again.started == []


def test_a_budget_that_ends_before_the_first_encoders_is_one_line(sample_dataset, tmp_path):
    with pytest.raises(QuaclrsError, match="first encoders are missing: the budget ended"):
        config = QuestionsConfig(**options(sample_dataset, tmp_path / "q"), budget_hours=1e-9)
        Laboratory(config, FakeProcesses(sample_dataset)).work()


def test_the_page_in_the_docs_says_what_its_kept_figures_say():
    results = ROOT / "docs" / "results"
    kept = json.loads((results / command.KEPT).read_text(encoding="utf-8"))
    assert (results / command.PAGE).read_text(encoding="utf-8") == write_page(kept)
    # Means and deviations are those of the runs, which stand beside them one by one.
    entries = [entry for row in kept["few_labels"]["rows"].values() for entry in row.values()]
    entries += [of for policies in kept["under_noise"]["rows"].values() for p in policies.values() for of in p.values()]
    assert len(entries) > 40
    for entry in entries:
        assert statistics.mean(entry["of_each"]) == pytest.approx(entry["accuracy"], abs=2e-5)
        low, high = entry["interval"]
        assert low <= entry["accuracy"] <= high
