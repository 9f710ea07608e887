"""``explain=boxes``: which heads look at heads, hands and objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from vitprune.data import boxes_in_clip, read_boxes
from vitprune.errors import InputError
from vitprune.explain import figures
from vitprune.explain.boxes import BoxFigures, FrameRects, box_looks, by_kind, mask, partners
from vitprune.explanations.subject import Desk, Subject
from vitprune.importance import units_of
from vitprune.reporting import print_table
from vitprune.statistics import bootstrap_intervals

Floats = NDArray[np.float64]


def boxes(desk: Desk) -> dict[str, Any]:
    """Which heads look at heads, hands and objects: lift and pointing game, with intervals."""
    cfg, subject = desk.cfg, desk.load(same_classes=False)
    units = units_of(subject.model, "head")
    found = box_figures(subject, cfg.split)
    choosing = found if cfg.split == cfg.calibration else box_figures(subject, cfg.calibration)
    relevances = subject.scores(cfg.calibration).mean(cfg.metric, cfg.target)
    rows: list[list[Any]] = []
    shown: list[list[str]] = []
    detectors: dict[str, list[str]] = {}
    for kind, figure in found.items():
        lift, hit = (
            bootstrap_intervals(figure.lift, seed=cfg.seed),
            bootstrap_intervals(figure.hit, seed=cfg.seed),
        )
        gain = bootstrap_intervals(figure.lift - figure.elsewhere, seed=cfg.seed)
        share = float(np.nanmean(figure.share))
        for i, unit in enumerate(units):
            rows.append(
                [
                    kind,
                    str(unit),
                    lift.mean[i],
                    lift.low[i],
                    lift.high[i],
                    hit.mean[i],
                    hit.low[i],
                    hit.high[i],
                    share,
                    float(np.nanmean(figure.elsewhere[:, i])),
                    gain.mean[i],
                    gain.low[i],
                    gain.high[i],
                    relevances[i],
                ]
            )
        if kind not in choosing:
            continue
        best = np.argsort(-np.nanmean(choosing[kind].lift, 0), kind="stable")[:3]
        detectors[kind] = [str(units[i]) for i in best]
        shown += [
            [
                kind,
                str(units[i]),
                f"{lift.mean[i]:.2f} ({lift.low[i]:.2f} to {lift.high[i]:.2f})",
                f"{np.nanmean(figure.elsewhere[:, i]):.2f}",
                f"{hit.mean[i]:.2f} ({hit.low[i]:.2f} to {hit.high[i]:.2f})",
                f"{share:.2f}",
                f"{int((relevances > relevances[i]).sum()) + 1} of {len(units)}",
            ]
            for i in best
        ]
    desk.table(
        "boxes",
        [
            "kind",
            "head",
            "lift",
            "lift_low",
            "lift_high",
            "hit",
            "hit_low",
            "hit_high",
            "share",
            "lift_elsewhere",
            "gain",
            "gain_low",
            "gain_high",
            cfg.metric,
        ],
        rows,
    )
    print_table(
        f"Detectors of {subject.model.spec.name}: chosen by lift on the {cfg.calibration} split, "
        f"figures of the {cfg.split} split of {subject.dataset} with 95 % intervals over videos",
        [
            "kind",
            "head",
            "lift",
            "with other clips' boxes",
            "pointing game",
            "by chance",
            "relevance rank",
        ],
        shown,
    )
    kinds = list(found)
    lifts = {kind: np.nanmean(found[kind].lift, 0) for kind in kinds}
    results: dict[str, Any] = {"detectors": detectors, "clips": len(found[kinds[0]].lift)}
    results["relevance"] = _relevant_or_not(desk, relevances, found)
    names = [str(unit) for unit in units]
    figures.plot_scatter(
        desk.directory / "boxes.png",
        [(kind, relevances, lifts[kind]) for kind in kinds],
        x=f"relevance ({cfg.metric}, {cfg.calibration} split)",
        y="lift (1 = even)",
        names=names,
        title=f"Where relevant heads look: {subject.model.spec.name} on {subject.dataset}",
        even=(None, 1.0),
    )
    desk.picture("boxes.png")
    if cfg.get("other_dataset") is not None:
        results["other_dataset"] = _lifts_elsewhere(desk, subject, lifts, names)
    return results


def box_figures(subject: Subject, split: str) -> dict[str, BoxFigures]:
    """Figures of every head on a split's clips by kind of object; there is at least one kind.

    Raises:
        InputError: no boxes, wrong ones, or none in the frames that the model is shown.
    """
    cfg, dataset = subject.cfg, subject.data.splits[split]
    path = cfg.boxes if subject.dataset == cfg.dataset.name else None
    known = read_boxes(subject.data.root, path)
    size, frames = dataset.settings.image_size, dataset.settings.num_frames
    clips = [by_kind(boxes_in_clip(dataset, i, known)) for i in range(len(dataset))]
    kinds = sorted({kind for clip in clips for kind in clip})
    if not kinds:
        raise InputError(
            f"{path or subject.data.root / 'boxes.csv'} has no boxes of the {split} split's "
            f"videos, such as {subject.video_name(split, 0)}, in what is shown of them"
        )
    other = {kind: _partners([kind in clip for clip in clips], cfg.seed) for kind in kinds}
    nothing: FrameRects = [[]] * frames

    def inside(numbers: Sequence[int | None], kind: str) -> Tensor:
        rects = [nothing if i is None else clips[i].get(kind, nothing) for i in numbers]
        return torch.stack([mask(each, size, size) for each in rects])

    def batches() -> Iterator[tuple[Tensor, Mapping[str, tuple[Tensor, Tensor]]]]:
        for shown, numbers in subject.batches(split):
            yield (
                shown,
                {
                    kind: (inside(numbers, kind), inside([other[kind][i] for i in numbers], kind))
                    for kind in kinds
                },
            )

    return box_looks(subject.model, batches(), units_of(subject.model, "head"), cfg.query)


def _partners(has: Sequence[bool], seed: int) -> list[int | None]:
    """For every clip that has a kind of object another clip that has it, too."""
    members = np.flatnonzero(has)
    found: list[int | None] = [None] * len(has)
    if len(members) > 1:
        for i, j in enumerate(partners(len(members), seed)):
            found[members[i]] = int(members[j])
    return found


def _relevant_or_not(
    desk: Desk, relevances: Floats, found: Mapping[str, BoxFigures]
) -> dict[str, Any]:
    """Lift of the most relevant quarter of the heads and of the least relevant quarter."""
    quarter = max(1, len(relevances) // 4)
    order = np.argsort(-relevances, kind="stable")
    summary, shown = {}, []
    for kind, figure in found.items():
        lift = bootstrap_intervals(
            np.stack(
                [figure.lift[:, part].mean(1) for part in (order[:quarter], order[-quarter:])],
                axis=1,
            ),
            seed=desk.cfg.seed,
        )
        means = np.nanmean(figure.lift, 0)
        rho, p = stats.spearmanr(relevances, means)
        summary[kind] = {
            "most": lift.mean[0],
            "most_interval": [lift.low[0], lift.high[0]],
            "least": lift.mean[1],
            "least_interval": [lift.low[1], lift.high[1]],
            "spearman": float(rho),
            "p": float(p),
        }
        shown.append(
            [
                kind,
                f"{lift.mean[0]:.2f} ({lift.low[0]:.2f} to {lift.high[0]:.2f})",
                f"{lift.mean[1]:.2f} ({lift.low[1]:.2f} to {lift.high[1]:.2f})",
                f"{rho:+.2f}",
                f"{p:.3f}",
            ]
        )
    print_table(
        f"Lift of the {quarter} most and the {quarter} least relevant heads; rank correlation of "
        "relevance and lift over all heads",
        ["kind", "most relevant", "least relevant", "Spearman", "p"],
        shown,
    )
    return summary


def _lifts_elsewhere(
    desk: Desk, subject: Subject, lifts: Mapping[str, Floats], names: Sequence[str]
) -> dict[str, Any]:
    """Whether a head's lift on one dataset predicts its lift on the other."""
    cfg = desk.cfg
    other = desk.load(other_dataset=True, same_classes=False)
    found = box_figures(other, cfg.split)
    there = {kind: np.nanmean(figure.lift, 0) for kind, figure in found.items()}
    panels, shown, results = [], [], {}
    for kind in lifts:
        if kind in there:
            rho, p = stats.spearmanr(lifts[kind], there[kind])
            best = int(lifts[kind].argmax())
            rank = int((there[kind] > there[kind][best]).sum()) + 1
            place = float(np.nanmean(found[kind].elsewhere[:, best]))
            results[kind] = {
                "spearman": float(rho),
                "p": float(p),
                "best": names[best],
                "lift": float(lifts[kind][best]),
                "lift_there": float(there[kind][best]),
                "lift_there_with_other_clips_boxes": place,
                "rank_there": rank,
            }
            shown.append(
                [
                    kind,
                    f"{rho:+.2f}",
                    f"{p:.2g}",
                    names[best],
                    f"{lifts[kind][best]:.2f}",
                    f"{there[kind][best]:.2f}",
                    f"{place:.2f}",
                    f"{rank} of {len(names)}",
                ]
            )
            panels.append((kind, lifts[kind], there[kind]))
    print_table(
        f"Does lift on {subject.dataset} predict lift on {other.dataset}? Over all heads of the "
        "same model",
        [
            "kind",
            "Spearman",
            "p",
            "best here",
            "lift",
            "lift there",
            "with other clips' boxes",
            "rank there",
        ],
        shown,
    )
    if panels:
        figures.plot_scatter(
            desk.directory / "boxes_across.png",
            panels,
            names=names,
            x=f"lift on {subject.dataset}",
            y=f"lift on {other.dataset}",
            even=(1.0, 1.0),
            title=f"Heads of one {subject.model.spec.name} on two datasets",
        )
        desk.picture("boxes_across.png")
    return {"name": other.dataset, **results}
