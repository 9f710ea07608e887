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
from vitprune.data.base import SplitName
from vitprune.errors import InputError
from vitprune.heads.boxes import (
    BoxFigures,
    BoxSummary,
    FrameRects,
    box_looks,
    by_kind,
    mask,
    partners,
)
from vitprune.importance import units_of
from vitprune.report import figures
from vitprune.report.terminal import print_table
from vitprune.results.statistics import Intervals, bootstrap_intervals, holm
from vitprune.tasks.explain.study import Probe, Study

Floats = NDArray[np.float64]
COLUMNS = (
    "kind", "head", "lift", "lift_low", "lift_high", "hit", "hit_low", "hit_high", "share",
    "lift_elsewhere", "gain", "gain_low", "gain_high",
)  # fmt: skip
"""Of ``boxes.csv``; ``gain`` is the lift over that with other clips' boxes. Relevance follows."""


def boxes(study: Study) -> dict[str, Any]:
    """Which heads look at heads, hands and objects: lift and pointing game, with intervals."""
    cfg, probe = study.cfg, study.load(same_classes=False)
    names = [str(unit) for unit in units_of(probe.model, "head")]
    found = box_figures(probe, cfg.split)
    choosing = found if cfg.split == cfg.calibration else box_figures(probe, cfg.calibration)
    relevances = probe.scores(cfg.calibration).mean(cfg.metric, cfg.target)
    summaries = {kind: figure.summary(cfg.seed) for kind, figure in found.items()}
    lifts = {kind: summary.lift for kind, summary in summaries.items()}
    study.table(
        "boxes", [*COLUMNS, cfg.metric], _rows(names, found, summaries, relevances, cfg.seed)
    )
    best = {
        kind: np.argsort(-np.nanmean(choosing[kind].lift, 0), kind="stable")[:3].tolist()
        for kind in summaries
        if kind in choosing
    }
    _print_detectors(probe, names, best, summaries, relevances)
    results: dict[str, Any] = {
        "detectors_chosen_on": cfg.calibration,
        "detectors": {kind: [names[i] for i in heads] for kind, heads in best.items()},
        "clips": len(probe.data.splits[cfg.split]),
        "relevance": _relevant_or_not(study, relevances, found),
    }
    figures.plot_scatter(
        study.directory / "boxes.png",
        [(f"boxes: {kind}", relevances, lift.mean) for kind, lift in lifts.items()],
        x=f"relevance ({cfg.metric}, {cfg.calibration} split)",
        y="lift (1 = even)",
        names=names,
        title=f"Where relevant heads look: {probe.model.spec.name} on {probe.dataset}, "
        f"{cfg.split} split; a dot a head",
        even=(None, 1.0),
        spread_x=True,
    )
    study.picture("boxes.png")
    if cfg.other_dataset is not None:
        first = {kind: heads[0] for kind, heads in best.items()}
        results["other_dataset"] = _lifts_elsewhere(study, probe, lifts, first, names)
    return results


def box_figures(probe: Probe, split: SplitName) -> dict[str, BoxFigures]:
    """Figures of every head on a split's clips by kind of object; there is at least one kind.

    Raises:
        InputError: no boxes, wrong ones, or none in the frames that the model is shown.
    """
    cfg, dataset = probe.cfg, probe.data.splits[split]
    path = cfg.boxes if probe.dataset == cfg.dataset.name else None
    known = read_boxes(probe.data.root, path)
    size, frames = dataset.spec.image_size, dataset.spec.num_frames
    clips = [by_kind(boxes_in_clip(dataset, i, known)) for i in range(len(dataset))]
    kinds = sorted({kind for clip in clips for kind in clip})
    if not kinds:
        raise InputError(
            f"{path or probe.data.root / 'boxes.csv'} has no boxes of the {split} split's "
            f"videos, such as {probe.video_name(split, 0)}, in what is shown of them"
        )
    other = {kind: _partners([kind in clip for clip in clips], cfg.seed) for kind in kinds}
    nothing: FrameRects = [[]] * frames

    def inside(numbers: Sequence[int | None], kind: str) -> Tensor:
        rects = [nothing if i is None else clips[i].get(kind, nothing) for i in numbers]
        return torch.stack([mask(each, size, size) for each in rects])

    def batches() -> Iterator[tuple[Tensor, list[str], Mapping[str, tuple[Tensor, Tensor]]]]:
        for shown, numbers in probe.batches(split):
            yield (
                shown,
                [probe.video_name(split, number) for number in numbers],
                {
                    kind: (inside(numbers, kind), inside([other[kind][i] for i in numbers], kind))
                    for kind in kinds
                },
            )

    return box_looks(probe.model, batches(), units_of(probe.model, "head"), cfg.query)


def _partners(has: Sequence[bool], seed: int) -> list[int | None]:
    """For every clip that has a kind of object another clip that has it, too."""
    members = np.flatnonzero(has)
    found: list[int | None] = [None] * len(has)
    if len(members) > 1:
        for i, j in enumerate(partners(len(members), seed)):
            found[members[i]] = int(members[j])
    return found


def _rows(
    names: Sequence[str],
    found: Mapping[str, BoxFigures],
    summaries: Mapping[str, BoxSummary],
    relevances: Floats,
    seed: int,
) -> list[list[Any]]:
    """One row for each kind of object and head: :data:`COLUMNS`, then the relevance."""
    rows = []
    for kind, (lift, hit, elsewhere, share) in summaries.items():
        gain = bootstrap_intervals(found[kind].lift - found[kind].elsewhere, seed=seed)
        for i, name in enumerate(names):
            row = [
                *lift.of(i), *hit.of(i), share, elsewhere[i], *gain.of(i), relevances[i],
            ]  # fmt: skip
            rows.append([kind, name, *map(float, row)])
    return rows


def _print_detectors(
    probe: Probe,
    names: Sequence[str],
    best: Mapping[str, Sequence[int]],
    summaries: Mapping[str, BoxSummary],
    relevances: Floats,
) -> None:
    cfg = probe.cfg
    header = ["kind", "head", "lift", "with other clips' boxes", "pointing game", "by chance",
              "relevance rank"]  # fmt: skip
    print_table(
        f"Detectors of {probe.model.spec.name}: chosen by lift on the {cfg.calibration} split, "
        f"figures of the {cfg.split} split of {probe.dataset} with 95 % intervals over videos",
        header,
        [
            [
                kind,
                names[i],
                _within(summaries[kind].lift, i),
                f"{summaries[kind].elsewhere[i]:.2f}",
                _within(summaries[kind].hit, i),
                f"{summaries[kind].share:.2f}",
                f"{_rank(relevances, i)} of {len(names)}",
            ]
            for kind, heads in best.items()
            for i in heads
        ],
    )


def _relevant_or_not(
    study: Study, relevances: Floats, found: Mapping[str, BoxFigures]
) -> dict[str, Any]:
    """Lift of the most relevant quarter of the heads and of the least relevant quarter."""
    quarter = max(1, len(relevances) // 4)
    order = np.argsort(-relevances, kind="stable")
    parts = (order[:quarter], order[-quarter:])
    correlations = _rank_correlations(
        {kind: (relevances, np.nanmean(figure.lift, 0)) for kind, figure in found.items()}
    )
    summary, shown = {}, []
    for kind, (rho, p) in correlations.items():
        quarters = np.stack([found[kind].lift[:, part].mean(1) for part in parts], axis=1)
        lift = bootstrap_intervals(quarters, seed=study.cfg.seed)
        summary[kind] = {
            "most": lift.mean[0],
            "most_interval": _ends(lift, 0),
            "least": lift.mean[1],
            "least_interval": _ends(lift, 1),
            "spearman": rho,
            "p": p,
        }
        shown.append([kind, _within(lift, 0), _within(lift, 1), f"{rho:+.2f}", f"{p:.2g}"])
    print_table(
        f"Lift of the {quarter} most and the {quarter} least relevant heads; rank correlation of "
        "relevance and lift over all heads, p as if they were independent, corrected for the "
        "number of kinds",
        ["kind", "most relevant", "least relevant", "Spearman", "p"],
        shown,
    )
    return summary


def _lifts_elsewhere(
    study: Study,
    probe: Probe,
    lifts: Mapping[str, Intervals],
    best: Mapping[str, int],
    names: Sequence[str],
) -> dict[str, Any]:
    """Whether a head's lift on one dataset predicts its lift on the other.

    Args:
        study: where findings go.
        probe: on the dataset where the best heads were chosen.
        lifts: there, on the explained split, by kind of object.
        best: the head of highest lift on the calibration split, by kind of object.
        names: of the heads.
    """
    cfg = study.cfg
    other = study.load(other_dataset=True, same_classes=False)
    figures_there = box_figures(other, cfg.split)
    kinds = [kind for kind in best if kind in figures_there]
    there = {kind: bootstrap_intervals(figures_there[kind].lift, cfg.seed) for kind in kinds}
    correlations = _rank_correlations(
        {kind: (lifts[kind].mean, there[kind].mean) for kind in kinds}
    )
    shown, results = [], {}
    for kind, (rho, p) in correlations.items():
        head = best[kind]
        place = float(np.nanmean(figures_there[kind].elsewhere[:, head]))
        rank = _rank(there[kind].mean, head)
        results[kind] = {
            "spearman": rho,
            "p": p,
            "best": names[head],
            "lift": lifts[kind].of(head)[0],
            "lift_interval": _ends(lifts[kind], head),
            "lift_there": there[kind].of(head)[0],
            "lift_there_interval": _ends(there[kind], head),
            "lift_there_with_other_clips_boxes": place,
            "rank_there": rank,
        }
        figures_of_best = [_within(lifts[kind], head), _within(there[kind], head), f"{place:.2f}"]
        rank_there = f"{rank} of {len(names)}"
        shown.append([kind, f"{rho:+.2f}", f"{p:.2g}", names[head], *figures_of_best, rank_there])
    header = ["kind", "Spearman", "p", "best here", "lift", "lift there", "with other clips' boxes",
              "rank there"]  # fmt: skip
    print_table(
        f"Does lift on {probe.dataset} predict lift on {other.dataset}? Over all heads of the "
        f"same model, p as if they were independent, corrected for the number of kinds. Best here: "
        f"chosen by lift on the {cfg.calibration} split of {probe.dataset}; figures of the "
        f"{cfg.split} splits",
        header,
        shown,
    )
    if kinds:
        figures.plot_scatter(
            study.directory / "boxes_across.png",
            [(f"boxes: {kind}", lifts[kind].mean, there[kind].mean) for kind in kinds],
            names=names,
            x=f"lift on {probe.dataset}",
            y=f"lift on {other.dataset}",
            even=(1.0, 1.0),
            title=f"Lift of one {probe.model.spec.name}'s heads on two datasets (1 = even), "
            f"{cfg.split} splits; a dot a head",
        )
        study.picture("boxes_across.png")
    chosen_on = {"dataset": probe.dataset, "split": cfg.calibration}
    return {"name": other.dataset, "best_chosen_on": chosen_on, **results}


def _rank_correlations(
    pairs: Mapping[str, tuple[Floats, Floats]],
) -> dict[str, tuple[float, float]]:
    """Spearman's rho over the heads of each kind's two figures [U], and its p.

    The p-values are corrected for the number of kinds (:func:`vitprune.results.statistics.holm`).
    """
    found = [stats.spearmanr(*pair) for pair in pairs.values()]
    corrected = holm([p for _, p in found])
    return {
        kind: (float(rho), p) for kind, (rho, _), p in zip(pairs, found, corrected, strict=True)
    }


def _rank(values: Floats, i: int) -> int:
    """The place of one of several values, 1 for the highest."""
    return int((values > values[i]).sum()) + 1


def _within(found: Intervals, i: int) -> str:
    mean, low, high = found.of(i)
    return f"{mean:.2f} ({low:.2f} to {high:.2f})" if np.isfinite(low) else f"{mean:.2f}"


def _ends(found: Intervals, i: int) -> list[float] | None:
    """The ends of an interval for JSON, which has no nan."""
    _, low, high = found.of(i)
    return [low, high] if np.isfinite(low) else None
