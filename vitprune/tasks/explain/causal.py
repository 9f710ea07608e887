"""``explain=causal``: what a class loses without the heads that it is said to need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitprune.heads.causal import (
    HeadSet,
    RandomSets,
    accuracy_per_class,
    probabilities_without,
    random_peers,
)
from vitprune.report import figures
from vitprune.report.terminal import print_table
from vitprune.tasks.explain.choosing import class_of, given_heads, most_relevant
from vitprune.tasks.explain.study import Probe, Study

Floats = NDArray[np.float64]


def causal(study: Study) -> dict[str, Any]:
    """Accuracy per class without a head, alone and with its peers, beside random heads.

    The head is the first that is given, or the most relevant one for the class on the calibration
    split; its peers are the others that are given, or the next most relevant ones.
    """
    cfg, probe = study.cfg, study.load()
    label = class_of(probe)
    assert label is not None  # the configuration sees to it
    clips = [clip.label for clip in probe.data.splits[cfg.split].clips].count(label)
    full, findings = _ablate(probe, _claims(probe))
    header = ["ablated", "heads", "class", "full", "without", "random", "random_lowest"]
    for name, which in (("causal_top1", 0), ("causal_probability", 1)):
        rows = [
            [f.name, f.written, c, full[which][i], f.without[which][i], *f.random_summary(which, i)]
            for f in findings
            for i, c in enumerate(probe.class_names)
        ]
        study.table(name, header, rows)
    print_table(
        f"{probe.model.spec.name} on {probe.dataset}, {cfg.split} split, without heads: "
        f"{cfg.class_} ({clips} clips) and classes that lose; random: mean (lowest)",
        ["without", "class", "Top-1", "random", "p(label)", "random"],
        [
            [f.name, c, *f.line(0, i, full, ".0%"), *f.line(1, i, full, ".3f")]
            for f in findings
            for i, c in enumerate(probe.class_names)
            if i == label or f.without[0][i] < full[0][i]
        ],
        notes=[f"{f.name}: {f.written}, beside {f.control()}" for f in findings],
    )
    figures.plot_causal(
        study.directory / "causal.png",
        [f"{f.name}\n{f.written}" for f in findings],
        [
            (what, full[which][label],
             [(f.without[which][label], f.random[which][:, label]) for f in findings])
            for which, what in enumerate(("Top-1", "mean probability"))
        ],
        title=f"{cfg.class_} without heads: {probe.model.spec.name} on {probe.dataset}, "
        f"{cfg.split} split",
    )  # fmt: skip
    study.picture("causal.png")
    return {
        "class": str(cfg.class_),
        "clips": clips,
        "full": {"top1": float(full[0][label]), "probability": float(full[1][label])},
        **{
            f.name: {
                "heads": [str(head) for head in f.heads],
                "top1": float(f.without[0][label]),
                "probability": float(f.without[1][label]),
                "random_top1": f.random[0][:, label].tolist(),
                "random_probability": f.random[1][:, label].tolist(),
                "control": f.control(),
            }
            for f in findings
        },
    }


@dataclass(frozen=True)
class Finding:
    """What ablating a set of heads did; figures are (Top-1, mean probability of the label).

    Attributes:
        name: of the set.
        heads: the set.
        drawn: the random sets beside it.
        without: two [C].
        random: of the S random sets, two [S, C].
    """

    name: str
    heads: HeadSet
    drawn: RandomSets
    without: tuple[Floats, Floats]
    random: tuple[Floats, Floats]

    @property
    def written(self) -> str:
        return " ".join(map(str, self.heads))

    def control(self) -> str:
        """What it is compared with, in words."""
        beside = len(self.heads) - self.drawn.elsewhere
        sources = [f"{beside} from the same layers"] if beside else []
        if self.drawn.elsewhere:
            sources.append(f"{self.drawn.elsewhere} from any layer, as theirs has too few others")
        return f"{len(self.drawn.sets)} random sets of {len(self.heads)}: {' and '.join(sources)}"

    def random_summary(self, which: int, label: int) -> tuple[float, float]:
        """Mean and lowest over the random sets; nan if there are none."""
        values = self.random[which][:, label]
        return (float(values.mean()), float(values.min())) if len(values) else (np.nan, np.nan)

    def line(
        self, which: int, label: int, full: tuple[Floats, Floats], style: str
    ) -> tuple[str, str]:
        """A class in the table: of the full model and without the heads, and without random ones.

        ``which`` figure, written in ``style``.
        """
        mean, lowest = self.random_summary(which, label)
        before, after = full[which][label], self.without[which][label]
        return f"{before:{style}} → {after:{style}}", f"{mean:{style}} ({lowest:{style}})"


def _claims(probe: Probe) -> list[tuple[str, HeadSet]]:
    """The named sets of heads to ablate: the head alone, and with its peers if it has any."""
    cfg = probe.cfg
    given = given_heads(probe, cfg.head)
    peers = given
    if len(given) < 2:
        ranked = most_relevant(probe, cfg.peers + len(given))
        peers = [*given, *(unit for unit in ranked if unit not in given)][: cfg.peers]
    claims: list[tuple[str, HeadSet]] = [("alone", (peers[0],))]
    if len(peers) > 1:
        claims.append((f"with {len(peers) - 1} peers", tuple(peers)))
    return claims


def _ablate(
    probe: Probe, claims: list[tuple[str, HeadSet]]
) -> tuple[tuple[Floats, Floats], list[Finding]]:
    cfg = probe.cfg
    draws = [random_peers(probe.model, heads, cfg.draws, cfg.seed) for _, heads in claims]
    sets: list[HeadSet] = [()]
    for (_, heads), drawn in zip(claims, draws, strict=True):
        sets += [heads, *drawn.sets]
    probabilities = probabilities_without(probe.model, probe.data.loader(cfg.split), sets)
    labels = np.array([clip.label for clip in probe.data.splits[cfg.split].clips])
    top1, probability = accuracy_per_class(probabilities, labels, len(probe.class_names))
    findings, start = [], 1
    for (name, heads), drawn in zip(claims, draws, strict=True):
        random = slice(start + 1, start + 1 + len(drawn.sets))
        without = (top1[start], probability[start])
        findings.append(Finding(name, heads, drawn, without, (top1[random], probability[random])))
        start = random.stop
    return (top1[0], probability[0]), findings
