"""``explain=relevance``: which heads matter for all clips, and which for one class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitprune.errors import InputError
from vitprune.heads.relevance import (
    SelectivityTest,
    class_means,
    consistency,
    default_top,
    selectivity_test,
    top_heads,
)
from vitprune.importance import Scores
from vitprune.report import figures
from vitprune.report.formats import MISSING
from vitprune.report.terminal import print_table
from vitprune.results.statistics import bootstrap_intervals
from vitprune.tasks.explain.study import Probe, Study

Floats = NDArray[np.float64]


def relevance(study: Study) -> dict[str, Any]:
    """Every head's relevance per clip and class: heat maps, consistency, class selectivity.

    Heads that are singled out are chosen on the calibration split; their figures are of the
    explained one.
    """
    cfg, probe = study.cfg, study.load()
    scores = probe.scores(cfg.split)
    heads = HeadFigures.of(probe, scores)
    apart = cfg.split != cfg.calibration
    chosen = HeadFigures.of(probe, probe.scores(cfg.calibration)) if apart else heads
    how = f"chosen on the {cfg.calibration} split, figures of the {cfg.split} split"
    scores.save(study.directory / "scores.npz")
    values, names = probe.values(scores), [str(unit) for unit in scores.units]
    where = f"{probe.model.spec.name} on {probe.dataset}, {cfg.split} split"
    figures.plot_heads(
        study.directory / "heads.png",
        scores.units,
        {
            f"{cfg.metric}: mean over {len(values)} clips": values.mean(0),
            "standard deviation over the clips": values.std(0, ddof=1),
        },
        title=f"Relevance of the heads: {where}",
        one_scale=False,
    )
    study.picture("heads.png")
    figures.plot_heads(
        study.directory / "classes.png",
        scores.units,
        dict(zip(probe.class_names, heads.by_class, strict=True)),
        title=f"{cfg.metric} of the heads per class: {where}",
        one_scale=True,
    )
    study.picture("classes.png")
    header, rows = heads.rows(scores, cfg.target, probe.class_names)
    study.table("heads", header, rows)
    study.table(
        "class_means",
        ["head", *probe.class_names],
        [[name, *column] for name, column in zip(names, heads.by_class.T.tolist(), strict=True)],
    )
    best = best_per_class(probe, names, heads, chosen)
    study.table("heads_per_class", ["class", "head", "mean", "low", "high", "confidence"], best)
    order = np.argsort(-chosen.consistency, kind="stable")[:5]
    columns = ["head", cfg.metric, "consistency", "selectivity", "for", "p"]
    print_table(
        f"Most consistent heads, {how} (consistency: share of clips in whose top {heads.top} of "
        f"{len(names)} heads; by chance {heads.top / len(names):.2f})",
        columns,
        [heads.line(i, names, probe.class_names) for i in order],
    )
    order = np.lexsort((-chosen.test.index, chosen.test.p_value))[:5]
    print_table(
        f"Most class-selective heads, {how} (p by permutation, corrected for the number of heads)",
        columns,
        [heads.line(i, names, probe.class_names) for i in order],
    )
    print_table(
        f"Most relevant head per class, {how} ({cfg.metric} with its 95 % bootstrap interval; "
        f"confidence: share of bootstrap samples of the {cfg.calibration} clips in which it stays "
        "first)",
        ["class", "head", cfg.metric, "interval", "confidence"],
        [
            [
                name,
                head,
                f"{mean:.3f}",
                _known(f"{low:.3f} to {high:.3f}"),
                _known(f"{100 * sure:.0f} %"),
            ]
            for i, (name, head, mean, low, high, sure) in enumerate(best)
            if i == 0 or best[i - 1][0] != name
        ],
    )
    significant = heads.test.p_value < 0.05
    return {
        "heads": len(names),
        "clips": len(values),
        "top": heads.top,
        "specialised": [names[i] for i in np.flatnonzero(significant)],
        "most_consistent": names[int(chosen.consistency.argmax())],
        "chosen_on": cfg.calibration,
    }


@dataclass(frozen=True)
class HeadFigures:
    """Figures of U heads from their relevance for the clips of a split."""

    values: Floats
    labels: NDArray[np.int64]
    top: int
    consistency: Floats
    by_class: Floats
    test: SelectivityTest

    @classmethod
    def of(cls, probe: Probe, scores: Scores) -> HeadFigures:
        values = probe.values(scores)
        count = values.shape[1]
        top = default_top(count) if probe.cfg.top is None else probe.cfg.top
        if not isinstance(top, int) or not 1 <= top <= count:
            raise InputError(f"top={top} is out of range; the model has {count} heads")
        classes = len(probe.class_names)
        return cls(
            values,
            scores.labels,
            top,
            consistency(values, top),
            class_means(values, scores.labels, classes),
            selectivity_test(values, scores.labels, classes, seed=probe.cfg.seed),
        )

    def rows(
        self, scores: Scores, target: str, classes: Sequence[str]
    ) -> tuple[list[str], list[list[Any]]]:
        """One row a head, to sort by any column."""
        header = ["head"]
        columns: list[Any] = [[str(unit) for unit in scores.units]]
        for metric in scores.metrics:
            header += [metric, f"{metric}_se"]
            columns += [
                scores.mean(metric, target).tolist(),
                scores.standard_error(metric, target).tolist(),
            ]
        header += ["sd", "consistency", "selectivity", "selectivity_by_chance", "p", "class"]
        columns += [
            self.values.std(0, ddof=1).tolist(),
            self.consistency.tolist(),
            self.test.index.tolist(),
            self.test.expected.tolist(),
            self.test.p_value.tolist(),
            [classes[label] for label in self.test.preferred],
        ]
        return header, [list(row) for row in zip(*columns, strict=True)]

    def line(self, i: int, names: Sequence[str], classes: Sequence[str]) -> list[str]:
        return [
            names[i],
            f"{self.values[:, i].mean():.4f}",
            f"{self.consistency[i]:.2f}",
            f"{self.test.index[i]:.2f}",
            classes[self.test.preferred[i]],
            f"{self.test.p_value[i]:.4f}",
        ]


def best_per_class(
    probe: Probe, names: Sequence[str], heads: HeadFigures, chosen: HeadFigures, count: int = 3
) -> list[list[Any]]:
    """(class, head, mean, low, high, confidence) of every class's most relevant heads.

    They are those of ``chosen``, with its confidence; mean and interval are those of ``heads``.
    A class is left out if either has no clip of it.
    """
    seed = probe.cfg.seed
    rows: list[list[Any]] = []
    for label, name in enumerate(probe.class_names):
        own, others = (each.values[each.labels == label] for each in (heads, chosen))
        if not (len(own) and len(others)):
            continue
        top = top_heads(others, count, seed=seed)
        found = bootstrap_intervals(own[:, [each.head for each in top]], seed)
        rows += [
            [name, names[each.head], *found.of(i), each.confidence] for i, each in enumerate(top)
        ]
    return rows


def _known(text: str) -> str:
    return MISSING if "nan" in text else text
