"""``explain=causal``: what a class loses without the heads that it is said to need."""

from __future__ import annotations

from typing import Any

import numpy as np

from vitprune.errors import InputError
from vitprune.explain import figures
from vitprune.explain.attention import (
    check_heads,
)
from vitprune.explain.causal import accuracy_per_class, probabilities_without, random_peers
from vitprune.explaining.choosing import (
    class_of,
    heads_or_best,
    names_in,
)
from vitprune.explaining.subject import Desk
from vitprune.reporting import print_table


def causal(desk: Desk) -> dict[str, Any]:
    """Accuracy per class without a head, alone and with its peers, beside random heads."""
    cfg, subject = desk.cfg, desk.load()
    label = class_of(subject)
    if label is None:
        raise InputError(
            f"explain=causal needs a class: class=NAME, one of {', '.join(subject.class_names)}"
        )
    given = check_heads(subject.model, names_in(cfg.head))
    ranked = heads_or_best(subject, "", count=cfg.peers + len(given))
    claimed = (given or ranked[:1])[:1]
    peers = [*claimed, *(unit for unit in ranked if unit not in claimed)][: cfg.peers]
    groups = [("alone", tuple(claimed))]
    if len(peers) > 1:
        groups.append((f"with {len(peers) - 1} peers", tuple(peers)))
    draws = [random_peers(subject.model, heads, cfg.draws, cfg.seed) for _, heads in groups]
    sets = [(), *(heads for _, heads in groups), *(heads for drawn in draws for heads in drawn)]
    probabilities = probabilities_without(subject.model, subject.data.loader(cfg.split), sets)
    labels = np.array([clip.label for clip in subject.data.splits[cfg.split].clips])
    top1, confidence = accuracy_per_class(probabilities, labels, len(subject.class_names))
    rows, shown, chart, results = [], [], [], {}
    start = 1 + len(groups)
    for g, ((name, heads), drawn) in enumerate(zip(groups, draws, strict=True), 1):
        random = slice(start, start + len(drawn))
        start += len(drawn)
        for c, class_name in enumerate(subject.class_names):
            spread = (top1[random, c], confidence[random, c])
            means = [float(s.mean()) if len(drawn) else np.nan for s in spread]
            lowest = [float(s.min()) if len(drawn) else np.nan for s in spread]
            rows.append(
                [
                    name,
                    " ".join(map(str, heads)),
                    class_name,
                    top1[0, c],
                    top1[g, c],
                    means[0],
                    lowest[0],
                    confidence[0, c],
                    confidence[g, c],
                    means[1],
                    lowest[1],
                    len(drawn),
                ]
            )
            if c == label or top1[g, c] < top1[0, c]:
                shown.append(
                    [
                        f"{name}: {' '.join(map(str, heads))}",
                        class_name,
                        f"{100 * top1[0, c]:.0f} %",
                        f"{100 * top1[g, c]:.0f} %",
                        f"{100 * means[0]:.0f} % ({100 * lowest[0]:.0f} %)",
                        f"{confidence[0, c]:.3f}",
                        f"{confidence[g, c]:.3f}",
                        f"{means[1]:.3f} ({lowest[1]:.3f})",
                    ]
                )
        chart.append(
            (
                f"{name}\n{' '.join(map(str, heads))}",
                float(confidence[g, label]),
                confidence[random, label].tolist(),
            )
        )
        results[name] = {
            "heads": [str(head) for head in heads],
            "top1": float(top1[g, label]),
            "probability": float(confidence[g, label]),
            "random_top1": top1[random, label].tolist(),
            "random_probability": confidence[random, label].tolist(),
        }
    desk.table(
        "causal",
        [
            "ablated",
            "heads",
            "class",
            "top1_full",
            "top1",
            "top1_random",
            "top1_random_lowest",
            "probability_full",
            "probability",
            "probability_random",
            "probability_random_lowest",
            "random_sets",
        ],
        rows,
    )
    print_table(
        f"Without heads of {subject.model.spec.name} for {cfg['class']} (and classes that lose): "
        f"Top-1 and mean probability of the label, {cfg.split} split; random: mean (lowest) of "
        f"{' and '.join(str(len(drawn)) for drawn in draws)} sets",
        ["ablated", "class", "full", "without", "random", "p full", "p without", "p random"],
        shown,
    )
    figures.plot_causal(
        desk.directory / "causal.png",
        chart,
        full=(float(confidence[0, label]), f"mean probability of {cfg['class']}"),
        title=f"{subject.model.spec.name} on {subject.dataset}: {cfg['class']} without heads",
    )
    desk.picture("causal.png")
    return {
        "class": str(cfg["class"]),
        "full": {"top1": float(top1[0, label]), "probability": float(confidence[0, label])},
        **results,
    }
