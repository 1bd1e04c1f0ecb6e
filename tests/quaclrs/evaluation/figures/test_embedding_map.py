"""The map of embeddings: every clip once, by class, and alike clips together."""

from __future__ import annotations

import numpy as np

from quaclrs.evaluation.figures.embedding_map import embedding_map_figure
from quaclrs.labels import CLASS_NAMES


def test_every_class_has_its_clips_its_legend_and_a_look_of_its_own():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(13), 5)
    embeddings = np.eye(13)[labels] + 0.01 * generator.standard_normal((65, 13))
    axes = embedding_map_figure(embeddings, labels, CLASS_NAMES, "title").axes[0]
    assert [len(points.get_offsets()) for points in axes.collections] == [5] * 13
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"{name} (5)" for name in CLASS_NAMES]
    looks = {(str(p.get_facecolor()), p.get_paths()[0].vertices.tobytes()) for p in axes.collections}
    assert len(looks) == 13
    places = np.concatenate([np.asarray(points.get_offsets()) for points in axes.collections])
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    nearest = np.argsort(distances, axis=1)[:, 1]
    assert (labels[nearest] == labels).mean() > 0.95
