"""The story of the heads: what each is for, where it looks, and whether that carries over.

``python evaluate.py ckpt=FILE explain=NAME``; :data:`EXPLANATIONS` has the names.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from scipy import stats
from torch import Tensor

from vitprune.data import VideoDataModule, boxes_in_clip, read_boxes
from vitprune.errors import InputError
from vitprune.explain import figures, pictures
from vitprune.explain.attention import (
    ROLLOUT,
    AttentionMap,
    attention_maps,
    check_heads,
    rollout,
)
from vitprune.explain.bootstrap import interval
from vitprune.explain.boxes import BoxFigures, box_looks, by_kind, mask, partners
from vitprune.explain.causal import accuracy_per_class, probabilities_without, random_peers
from vitprune.explain.explorer import shrink, write_explorer
from vitprune.explain.relevance import (
    class_means,
    consistency,
    default_top,
    selectivity_test,
    top_heads,
)
from vitprune.importance import METRICS, Scores, ScoreStore, Unit, entry_name, score, units_of
from vitprune.models import VideoClassifier, VideoTransformer
from vitprune.reporting import Tracker, print_table, write_csv, write_json

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Subject:
    """A model, and the clips that it is shown.

    Attributes:
        cfg: the command's configuration.
        classifier: in eval mode, on the device.
        data: set up, with clips as the classifier wants them.
        dataset: its name.
        autocast: gives the context of the configured precision.
    """

    cfg: DictConfig
    classifier: VideoClassifier
    data: VideoDataModule
    dataset: str
    autocast: Callable[[], AbstractContextManager]

    @property
    def model(self) -> VideoTransformer:
        return self.classifier.model

    @property
    def class_names(self) -> list[str]:
        """Of the clips, which may not be those of the classifier."""
        return self.data.class_names

    def scores(self, split: str) -> Scores:
        """Relevance of every head for every clip of a split, from the store if it is there."""
        name = entry_name(
            self.model,
            self.data.fingerprint(split),  # type: ignore[arg-type]
            scope="head",
            measure="ablation",
            precision=str(self.cfg.trainer.precision),
        )
        store = ScoreStore(Path(self.cfg.runs) / "cache" / "importance", enabled=self.cfg.cache)

        def compute() -> Scores:
            return score(
                self.model,
                self.data.loader(split),  # type: ignore[arg-type]
                "head",
                max_streams=self.cfg.max_streams,
                autocast=self.autocast,
            )

        return store.get(name, compute)

    def values(self, scores: Scores) -> Floats:
        """Relevance [N, U] under the configured metric and target."""
        return scores.per_clip(self.cfg.metric, self.cfg.target)

    def batches(self, split: str) -> Iterator[tuple[Tensor, list[int]]]:
        """Clips [B, 3, T, H, W] on the device, and their numbers in the split."""
        for batch in self.data.loader(split):  # type: ignore[arg-type]
            yield batch["clips"][:, 0].to(self.classifier.device), batch["video"].tolist()

    def clip(self, split: str, number: int) -> Tensor:
        """One clip, [1, 3, T, H, W] on the device."""
        item = self.data.splits[split].evaluating()[number]
        return item["clips"][:1].to(self.classifier.device)

    def frames(self, clip: Tensor) -> pictures.Frames:
        settings = self.data.settings
        return pictures.frames_of(clip[0], settings.mean, settings.std)

    def label_name(self, split: str, number: int) -> str:
        return self.class_names[self.data.splits[split].clips[number].label]

    def video_name(self, split: str, number: int) -> str:
        path = self.data.splits[split].clips[number].path
        return str(path.relative_to(self.data.root)) if path.is_relative_to(self.data.root) else (
            path.name
        )  # fmt: skip


Load = Callable[..., Subject]
"""``load(ckpt=None, other_dataset=False, same_classes=True)``: a subject of the command's own
checkpoint or another, on the command's own dataset or ``other_dataset``."""


@dataclass(frozen=True)
class Desk:
    """What an explanation works with, and where it puts what it finds."""

    cfg: DictConfig
    load: Load
    directory: Path
    tracker: Tracker

    def picture(self, name: str) -> Path:
        """Sends a picture that was written to the run directory to W&B."""
        self.tracker.image(f"explain/{Path(name).stem}", self.directory / name)
        return self.directory / name

    def table(self, name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """The same rows as a CSV in the run directory and as a table in W&B."""
        write_csv(self.directory / f"{name}.csv", header, [[_short(v) for v in r] for r in rows])
        self.tracker.table(f"explain/{name}", header, rows)


def explain(cfg: DictConfig, load: Load, directory: Path, tracker: Tracker) -> dict[str, Any]:
    """What ``cfg.explain`` asks for, written to ``directory``; what ``results.json`` holds."""
    start = time.perf_counter()
    if cfg.metric not in METRICS:
        raise InputError(f"metric={cfg.metric} has no value per clip; explain takes "
                         f"{', '.join(METRICS)}")  # fmt: skip
    for key in ("clips", "peers", "draws"):
        if not isinstance(cfg[key], int) or cfg[key] < 1:
            raise InputError(f"{key}={cfg[key]} is out of range; it takes whole numbers from 1")
    found = EXPLANATIONS[cfg.explain](Desk(cfg, load, directory, tracker))
    results = {
        "explain": cfg.explain,
        "ckpt": str(cfg.ckpt),
        "dataset": cfg.dataset.name,
        "metric": cfg.metric,
        "target": cfg.target,
        "split": cfg.split,
        "calibration": cfg.calibration,
        "query": cfg.query,
        "seed": cfg.seed,
        **found,
        "seconds": time.perf_counter() - start,
    }
    write_json(directory / "results.json", results)
    tracker.summary(results)
    return results


# explain=relevance


def relevance(desk: Desk) -> dict[str, Any]:
    """Every head's relevance per clip and class: heat maps, consistency, class selectivity."""
    cfg, subject = desk.cfg, desk.load()
    scores = subject.scores(cfg.split)
    heads = Heads.of(subject, scores)
    scores.save(desk.directory / "scores.npz")
    values, names = subject.values(scores), [str(unit) for unit in scores.units]
    where = f"{subject.model.spec.name} on {subject.dataset}, {cfg.split} split"
    figures.plot_heads(
        desk.directory / "heads.png",
        scores.units,
        {f"{cfg.metric}: mean over {len(values)} clips": values.mean(0),
         "standard deviation over the clips": values.std(0, ddof=1)},
        title=f"Relevance of the heads: {where}",
    )  # fmt: skip
    desk.picture("heads.png")
    figures.plot_heads(
        desk.directory / "classes.png",
        scores.units,
        dict(zip(subject.class_names, heads.by_class, strict=True)),
        title=f"{cfg.metric} of the heads per class: {where}",
        across=5,
    )
    desk.picture("classes.png")
    header, rows = heads.rows(scores)
    desk.table("heads", header, rows)
    desk.table(
        "class_means", ["head", *subject.class_names],
        [[name, *column] for name, column in zip(names, heads.by_class.T.tolist(), strict=True)],
    )  # fmt: skip
    best = heads.best_per_class(subject, scores)
    desk.table("heads_per_class", ["class", "head", "mean", "low", "high", "confidence"], best)
    order = np.argsort(-heads.consistency, kind="stable")[:5]
    columns = ["head", cfg.metric, "consistency", "selectivity", "for", "p"]
    print_table(
        f"Most consistent heads (top {heads.top} of {len(names)} heads in a clip; "
        f"by chance {heads.top / len(names):.2f})",
        columns, [heads.line(i, names, subject.class_names) for i in order],
    )  # fmt: skip
    order = np.lexsort((-heads.test.index, heads.test.p_value))[:5]
    print_table(
        "Most class-selective heads (p by permutation, corrected for the number of heads)",
        columns, [heads.line(i, names, subject.class_names) for i in order],
    )  # fmt: skip
    print_table(
        f"Most relevant head per class ({cfg.metric}, 95 % bootstrap interval; confidence: share "
        "of bootstrap samples in which it stays first)",
        ["class", "head", cfg.metric, "interval", "confidence"],
        [
            [name, head, f"{mean:.3f}", f"{low:.3f} to {high:.3f}", f"{100 * sure:.0f} %"]
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
        "most_consistent": names[int(heads.consistency.argmax())],
        "scoring": scores.info,
    }


@dataclass(frozen=True)
class Heads:
    """Figures of U heads from their relevance for the clips of a split."""

    values: Floats
    top: int
    consistency: Floats
    by_class: Floats
    test: Any

    @classmethod
    def of(cls, subject: Subject, scores: Scores) -> Heads:
        values = subject.values(scores)
        top = subject.cfg.top or default_top(values.shape[1])
        classes = len(subject.class_names)
        return cls(
            values,
            top,
            consistency(values, top),
            class_means(values, scores.labels, classes),
            selectivity_test(values, scores.labels, classes, seed=subject.cfg.seed),
        )

    def rows(self, scores: Scores) -> tuple[list[str], list[list[Any]]]:
        """One row a head, to sort by any column."""
        header = ["head"]
        columns: list[Any] = [[str(unit) for unit in scores.units]]
        for metric in scores.metrics:
            header += [metric, f"{metric}_se"]
            columns += [scores.mean(metric).tolist(), scores.standard_error(metric).tolist()]
        header += ["sd", "consistency", "selectivity", "selectivity_by_chance", "p", "class"]
        columns += [
            self.values.std(0, ddof=1).tolist(),
            self.consistency.tolist(),
            self.test.index.tolist(),
            self.test.expected.tolist(),
            self.test.p_value.tolist(),
            self.test.preferred.tolist(),
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

    def best_per_class(self, subject: Subject, scores: Scores, count: int = 3) -> list[list[Any]]:
        """(class, head, mean, low, high, confidence) of every class's most relevant heads."""
        rows: list[list[Any]] = []
        for label, name in enumerate(subject.class_names):
            members = self.values[scores.labels == label]
            if len(members):
                for top in top_heads(members, count, seed=subject.cfg.seed):
                    head = str(scores.units[top.head])
                    rows.append([name, head, top.mean, top.low, top.high, top.confidence])
        return rows


# explain=attention


def attention(desk: Desk) -> dict[str, Any]:
    """Strips and clips of where given heads look, side by side; or of attention rollout."""
    cfg, subject = desk.cfg, desk.load(same_classes=False)
    heads = [] if cfg.query == ROLLOUT else _heads_or_best(subject)
    numbers = _choose_clips(subject)
    written = []
    for number in numbers:
        clip = subject.clip(cfg.split, number)
        frames, maps = subject.frames(clip), _maps(subject, clip, heads)
        rows = {name: _density(found)[0] for name, found in maps.items()}
        video = subject.video_name(cfg.split, number)
        label = subject.label_name(cfg.split, number)
        first = next(iter(maps.values()))
        how = f"{subject.model.spec.name}, query={cfg.query}, {first.sizes()}"
        stem = re.sub(r"[^\w.-]+", "_", f"{Path(video).stem}-{'-'.join(maps)}")
        names = {_row_name(name): density for name, density in rows.items()}
        pictures.write_strip(desk.directory / f"{stem}.png", frames, names,
                             title=f"{video} ({label}): {how}")  # fmt: skip
        pictures.write_clip(desk.directory / f"{stem}.mp4", frames, names, title=f"{label}: {how}")
        desk.picture(f"{stem}.png")
        desk.tracker.video(f"explain/{stem}", desk.directory / f"{stem}.mp4")
        written.append(f"{stem}.png")
    return {"head": [str(head) for head in heads], "pictures": written}


def _maps(subject: Subject, clips: Tensor, heads: Sequence[Unit]) -> dict[str, AttentionMap]:
    if subject.cfg.query == ROLLOUT:
        return {ROLLOUT: rollout(subject.model, clips)}
    maps = attention_maps(subject.model, clips, heads, subject.cfg.query)
    return {str(head): found for head, found in maps.items()}


def _density(found: AttentionMap) -> Floats:
    """[B, T, H, W]."""
    return found.cpu().pixels().double().numpy()


def _row_name(head: str) -> str:
    return head if head == ROLLOUT else f"head {head}"


def _heads_or_best(subject: Subject, head: Any = None, count: int = 1) -> list[Unit]:
    """The heads that are given, or else the most relevant on the calibration split.

    For the clips of ``class`` if one is given.
    """
    cfg = subject.cfg
    given = _list(cfg.head if head is None else head)
    if given:
        return check_heads(subject.model, given)
    scores = subject.scores(cfg.calibration)
    values = subject.values(scores)
    if cfg["class"] is not None and cfg["class"] in subject.class_names:
        values = values[scores.labels == subject.class_names.index(cfg["class"])]
    if not len(values):
        raise InputError(f"class={cfg['class']} has no clip in the {cfg.calibration} split")
    order = np.argsort(-values.mean(0), kind="stable")[:count]
    chosen = [scores.units[i] for i in order]
    log.info(
        "Most relevant by %s on the %s split of %s: %s", cfg.metric, cfg.calibration,
        subject.dataset, ", ".join(map(str, chosen)),
    )  # fmt: skip
    return chosen


def _list(given: Any) -> list[str]:
    """``22.4,22.7`` or a list of heads as a list of names."""
    if given is None:
        return []
    if OmegaConf.is_list(given) or isinstance(given, list):
        return [str(name) for name in given]
    return [part.strip() for part in str(given).strip("[]").split(",") if part.strip()]


def _class_of(subject: Subject) -> int | None:
    name = subject.cfg["class"]
    if name is None:
        return None
    if str(name) not in subject.class_names:
        raise InputError(
            f"class={name} is not in dataset={subject.dataset}, which has "
            f"{', '.join(subject.class_names)}"
        )
    return subject.class_names.index(str(name))


def _choose_clips(subject: Subject) -> list[int]:
    """Numbers of the clips to show: the one named, the first of a class, or one of each class."""
    cfg, dataset = subject.cfg, subject.data.splits[subject.cfg.split]
    label = _class_of(subject)
    numbers = [i for i, clip in enumerate(dataset.clips) if label in (None, clip.label)]
    if cfg.clip is not None:
        named = [i for i in numbers if str(cfg.clip) in subject.video_name(cfg.split, i)]
        if not named:
            raise InputError(
                f"clip={cfg.clip} is in no name of the {len(numbers)} videos, such as "
                f"{subject.video_name(cfg.split, numbers[0])}"
            )
        return named[: cfg.clips]
    if not numbers:
        raise InputError(f"class={cfg['class']} has no clip in the {cfg.split} split")
    if label is None:
        first = {dataset.clips[i].label: i for i in reversed(numbers)}
        numbers = [first[label] for label in sorted(first)]
    return numbers[: cfg.clips]


# explain=boxes


def boxes(desk: Desk) -> dict[str, Any]:
    """Which heads look at heads, hands and objects: lift and pointing game, with intervals."""
    cfg, subject = desk.cfg, desk.load(same_classes=False)
    units = units_of(subject.model, "head")
    found = _box_figures(subject, cfg.split)
    choosing = found if cfg.split == cfg.calibration else _box_figures(subject, cfg.calibration)
    relevances = subject.scores(cfg.calibration).mean(cfg.metric, cfg.target)
    rows: list[list[Any]] = []
    shown: list[list[str]] = []
    detectors: dict[str, list[str]] = {}
    for kind, figure in found.items():
        lift, hit = interval(figure.lift, seed=cfg.seed), interval(figure.hit, seed=cfg.seed)
        gain = interval(figure.lift - figure.elsewhere, seed=cfg.seed)
        share = float(np.nanmean(figure.share))
        for i, unit in enumerate(units):
            rows.append([
                kind, str(unit), lift.mean[i], lift.low[i], lift.high[i],
                hit.mean[i], hit.low[i], hit.high[i], share,
                float(np.nanmean(figure.elsewhere[:, i])), gain.mean[i], gain.low[i], gain.high[i],
                relevances[i],
            ])  # fmt: skip
        if kind not in choosing:
            continue
        best = np.argsort(-np.nanmean(choosing[kind].lift, 0), kind="stable")[:3]
        detectors[kind] = [str(units[i]) for i in best]
        shown += [
            [
                kind, str(units[i]),
                f"{lift.mean[i]:.2f} ({lift.low[i]:.2f} to {lift.high[i]:.2f})",
                f"{np.nanmean(figure.elsewhere[:, i]):.2f}",
                f"{hit.mean[i]:.2f} ({hit.low[i]:.2f} to {hit.high[i]:.2f})",
                f"{share:.2f}", f"{int((relevances > relevances[i]).sum()) + 1} of {len(units)}",
            ]
            for i in best
        ]  # fmt: skip
    desk.table("boxes", [
        "kind", "head", "lift", "lift_low", "lift_high", "hit", "hit_low", "hit_high",
        "share", "lift_elsewhere", "gain", "gain_low", "gain_high", cfg.metric,
    ], rows)  # fmt: skip
    print_table(
        f"Detectors of {subject.model.spec.name}: chosen by lift on the {cfg.calibration} split, "
        f"figures of the {cfg.split} split of {subject.dataset} with 95 % intervals over videos",
        ["kind", "head", "lift", "with other clips' boxes", "pointing game", "by chance",
         "relevance rank"],
        shown,
    )  # fmt: skip
    kinds = list(found)
    lifts = {kind: np.nanmean(found[kind].lift, 0) for kind in kinds}
    results: dict[str, Any] = {"detectors": detectors, "clips": len(found[kinds[0]].lift)}
    results["relevance"] = _relevant_or_not(desk, relevances, found)
    names = [str(unit) for unit in units]
    figures.plot_scatter(
        desk.directory / "boxes.png", [(kind, relevances, lifts[kind]) for kind in kinds],
        x=f"relevance ({cfg.metric}, {cfg.calibration} split)", y="lift (1 = even)", names=names,
        title=f"Where relevant heads look: {subject.model.spec.name} on {subject.dataset}",
        even=(None, 1.0),
    )  # fmt: skip
    desk.picture("boxes.png")
    if cfg.other_dataset is not None:
        results["other_dataset"] = _lifts_elsewhere(desk, subject, lifts, names)
    return results


def _box_figures(subject: Subject, split: str) -> dict[str, BoxFigures]:
    cfg, dataset = subject.cfg, subject.data.splits[split]
    path = cfg.boxes if subject.dataset == cfg.dataset.name else None
    known = read_boxes(subject.data.root, path)
    if not any(clip.path in known for clip in dataset.clips):
        raise InputError(
            f"{path or subject.data.root / 'boxes.csv'} has no boxes of the {split} split's "
            f"videos, such as {subject.video_name(split, 0)}"
        )
    size = dataset.settings.image_size
    kinds = [by_kind(boxes_in_clip(dataset, i, known)) for i in range(len(dataset))]
    other = partners(len(dataset), cfg.seed)
    frames = dataset.settings.num_frames
    nothing: list[list[Any]] = [[] for _ in range(frames)]

    def inside(numbers: Sequence[int], kind: str) -> Tensor:
        return torch.stack([mask(kinds[i].get(kind, nothing), size, size) for i in numbers])

    def batches() -> Iterator[tuple[Tensor, Mapping[str, tuple[Tensor, Tensor]]]]:
        names = sorted({kind for clip in kinds for kind in clip})
        for clips, numbers in subject.batches(split):
            partner = other[numbers].tolist()
            yield clips, {kind: (inside(numbers, kind), inside(partner, kind)) for kind in names}

    return box_looks(subject.model, batches(), units_of(subject.model, "head"), cfg.query)


def _relevant_or_not(
    desk: Desk, relevances: Floats, found: Mapping[str, BoxFigures]
) -> dict[str, Any]:
    """Lift of the most relevant quarter of the heads and of the least relevant quarter."""
    quarter = max(1, len(relevances) // 4)
    order = np.argsort(-relevances, kind="stable")
    summary, shown = {}, []
    for kind, figure in found.items():
        lift = interval(
            np.stack([figure.lift[:, part].mean(1) for part in (order[:quarter], order[-quarter:])],
                     axis=1),
            seed=desk.cfg.seed,
        )  # fmt: skip
        means = np.nanmean(figure.lift, 0)
        rho, p = stats.spearmanr(relevances, means)
        summary[kind] = {
            "most": lift.mean[0], "most_interval": [lift.low[0], lift.high[0]],
            "least": lift.mean[1], "least_interval": [lift.low[1], lift.high[1]],
            "spearman": float(rho), "p": float(p),
        }  # fmt: skip
        shown.append([
            kind, f"{lift.mean[0]:.2f} ({lift.low[0]:.2f} to {lift.high[0]:.2f})",
            f"{lift.mean[1]:.2f} ({lift.low[1]:.2f} to {lift.high[1]:.2f})", f"{rho:+.2f}",
            f"{p:.3f}",
        ])  # fmt: skip
    print_table(
        f"Lift of the {quarter} most and the {quarter} least relevant heads; rank correlation of "
        "relevance and lift over all heads",
        ["kind", "most relevant", "least relevant", "Spearman", "p"], shown,
    )  # fmt: skip
    return summary


def _lifts_elsewhere(
    desk: Desk, subject: Subject, lifts: Mapping[str, Floats], names: Sequence[str]
) -> dict[str, Any]:
    """Whether a head's lift on one dataset predicts its lift on the other."""
    cfg = desk.cfg
    other = desk.load(other_dataset=True, same_classes=False)
    there = {k: np.nanmean(f.lift, 0) for k, f in _box_figures(other, cfg.split).items()}
    panels, shown, results = [], [], {}
    for kind in lifts:
        if kind in there:
            rho, p = stats.spearmanr(lifts[kind], there[kind])
            best = int(lifts[kind].argmax())
            rank = int((there[kind] > there[kind][best]).sum()) + 1
            results[kind] = {"spearman": float(rho), "p": float(p), "best": names[best],
                             "rank_there": rank}  # fmt: skip
            shown.append([kind, f"{rho:+.2f}", f"{p:.2g}", names[best],
                          f"{lifts[kind][best]:.2f}", f"{there[kind][best]:.2f}",
                          f"{rank} of {len(names)}"])  # fmt: skip
            panels.append((kind, lifts[kind], there[kind]))
    print_table(
        f"Does lift on {subject.dataset} predict lift on {other.dataset}? Over all heads of the "
        "same model",
        ["kind", "Spearman", "p", "best here", "its lift", "its lift there", "its rank there"],
        shown,
    )
    if panels:
        figures.plot_scatter(
            desk.directory / "boxes_across.png", panels, names=names,
            x=f"lift on {subject.dataset}", y=f"lift on {other.dataset}", even=(1.0, 1.0),
            title=f"Heads of one {subject.model.spec.name} on two datasets",
        )  # fmt: skip
        desk.picture("boxes_across.png")
    return {"name": other.dataset, **results}


# explain=transfer


def transfer(desk: Desk) -> dict[str, Any]:
    """The paper's Figure 1: the same clips through a head of this model and one of another."""
    cfg = desk.cfg
    if cfg.other_ckpt is None:
        raise InputError("explain=transfer compares two checkpoints; name the second one, which "
                         "was trained on dataset, with other_ckpt=FILE")  # fmt: skip
    if cfg.query == ROLLOUT:
        raise InputError("query=rollout is of no head; explain=transfer takes query=mean or cls")
    visitor = desk.load(same_classes=False)
    resident = desk.load(ckpt=cfg.other_ckpt, same_classes=False)
    _check_same_clips(visitor.classifier, resident.classifier)
    label = _class_of(visitor)
    numbers = _choose_clips(visitor)
    home = desk.load(other_dataset=True, same_classes=False) if cfg.other_dataset else visitor
    at_home = cfg.head is None and cfg.other_dataset is not None
    (own, *_) = _heads_or_best(home)
    (theirs, *_) = _heads_or_best(resident, cfg.other_head or "")
    panels = []
    if cfg.other_dataset:
        first = _first_of_each_class(home, cfg.split, cfg.clips)
        panels.append((
            f"{home.dataset}: {', '.join(home.label_name(cfg.split, i) for i in first)}",
            _columns(home, first, [("its own model", home, own)]),
        ))  # fmt: skip
    name = visitor.class_names[label] if label is not None else "one clip of each class"
    columns = _columns(
        visitor, numbers,
        [(f"model of {visitor.dataset}", resident, theirs), ("the other model", visitor, own)],
    )  # fmt: skip
    panels.append((f"{visitor.dataset}: {name}", columns))
    pictures.write_rows(
        desk.directory / "transfer.png", panels,
        title=f"{visitor.model.spec.name}: heads across datasets (middle frames)",
    )  # fmt: skip
    desk.picture("transfer.png")
    return {
        "head": str(own),
        "head_chosen_on": "given" if cfg.head else home.dataset if at_home else visitor.dataset,
        "other_ckpt": str(cfg.other_ckpt),
        "other_head": str(theirs),
        "videos": [visitor.video_name(cfg.split, i) for i in numbers],
    }


def _columns(
    subject: Subject, numbers: Sequence[int], looks: Sequence[tuple[str, Subject, Unit]]
) -> list[tuple[str, list[tuple[pictures.Frames, Floats | None]]]]:
    """The middle frame of each clip, and under each (name, model, head) its map."""
    cfg = subject.cfg
    clips = [subject.clip(cfg.split, i) for i in numbers]
    middle = slice(clips[0].shape[2] // 2, clips[0].shape[2] // 2 + 1)
    frames = [subject.frames(clip)[middle] for clip in clips]
    columns: list[tuple[str, list[tuple[pictures.Frames, Floats | None]]]] = [
        ("input", [(frame, None) for frame in frames])
    ]
    for name, other, head in looks:
        maps = [attention_maps(other.model, clip, [head], cfg.query)[head] for clip in clips]
        densities = [_density(found)[0, middle] for found in maps]
        columns.append((f"{name}, {head}", list(zip(frames, densities, strict=True))))
    return columns


def _first_of_each_class(subject: Subject, split: str, count: int) -> list[int]:
    clips = subject.data.splits[split].clips
    first = {clip.label: i for i, clip in reversed(list(enumerate(clips)))}
    return [first[label] for label in sorted(first)][:count]


def _check_same_clips(one: VideoClassifier, other: VideoClassifier) -> None:
    for key, value in one.clip_settings.items():
        there = other.clip_settings.get(key)
        if list(np.atleast_1d(value)) != list(np.atleast_1d(there)):
            raise InputError(
                f"ckpt and other_ckpt want different clips: {key} is {value} in one and {there} "
                "in the other; both must see the same"
            )


# explain=causal


def causal(desk: Desk) -> dict[str, Any]:
    """Accuracy per class without a head, alone and with its peers, beside random heads."""
    cfg, subject = desk.cfg, desk.load()
    label = _class_of(subject)
    if label is None:
        raise InputError("explain=causal needs a class: class=NAME, one of "
                         f"{', '.join(subject.class_names)}")  # fmt: skip
    given = check_heads(subject.model, _list(cfg.head))
    ranked = _heads_or_best(subject, "", count=cfg.peers + len(given))
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
            rows.append([
                name, " ".join(map(str, heads)), class_name, top1[0, c], top1[g, c], means[0],
                lowest[0], confidence[0, c], confidence[g, c], means[1], lowest[1], len(drawn),
            ])  # fmt: skip
            if c == label or top1[g, c] < top1[0, c]:
                shown.append([
                    f"{name}: {' '.join(map(str, heads))}", class_name,
                    f"{100 * top1[0, c]:.0f} %", f"{100 * top1[g, c]:.0f} %",
                    f"{100 * means[0]:.0f} % ({100 * lowest[0]:.0f} %)",
                    f"{confidence[0, c]:.3f}", f"{confidence[g, c]:.3f}",
                    f"{means[1]:.3f} ({lowest[1]:.3f})",
                ])  # fmt: skip
        chart.append((f"{name}\n{' '.join(map(str, heads))}", float(confidence[g, label]),
                      confidence[random, label].tolist()))  # fmt: skip
        results[name] = {
            "heads": [str(head) for head in heads],
            "top1": float(top1[g, label]), "probability": float(confidence[g, label]),
            "random_top1": top1[random, label].tolist(),
            "random_probability": confidence[random, label].tolist(),
        }  # fmt: skip
    desk.table("causal", [
        "ablated", "heads", "class", "top1_full", "top1", "top1_random", "top1_random_lowest",
        "probability_full", "probability", "probability_random", "probability_random_lowest",
        "random_sets",
    ], rows)  # fmt: skip
    print_table(
        f"Without heads of {subject.model.spec.name} for {cfg['class']} (and classes that lose): "
        f"Top-1 and mean probability of the label, {cfg.split} split; random: mean (lowest) of "
        f"{' and '.join(str(len(drawn)) for drawn in draws)} sets",
        ["ablated", "class", "full", "without", "random", "p full", "p without", "p random"],
        shown,
    )
    figures.plot_causal(
        desk.directory / "causal.png", chart,
        full=(float(confidence[0, label]), f"mean probability of {cfg['class']}"),
        title=f"{subject.model.spec.name} on {subject.dataset}: {cfg['class']} without heads",
    )  # fmt: skip
    desk.picture("causal.png")
    return {
        "class": str(cfg["class"]),
        "full": {"top1": float(top1[0, label]), "probability": float(confidence[0, label])},
        **results,
    }


# explain=explorer


def explorer(desk: Desk) -> dict[str, Any]:
    """One page to look at all of it: ``explorer.html``."""
    cfg, subject = desk.cfg, desk.load()
    if cfg.query == ROLLOUT:
        raise InputError("query=rollout is of no head; explain=explorer takes query=mean or cls")
    scores = subject.scores(cfg.split)
    units = scores.units
    rows, places = figures.grid_of(units)
    heads = Heads.of(subject, scores)
    classes = len(subject.class_names)
    relevances = {
        metric: np.concatenate([
            scores.mean(metric, cfg.target)[None],
            class_means(scores.per_clip(metric, cfg.target), scores.labels, classes),
        ])
        for metric in scores.metrics
    }  # fmt: skip
    lifts: dict[str, Any] = {}
    try:
        found = _box_figures(subject, cfg.split)
    except InputError as error:
        log.info("Without box figures: %s", error)
    else:
        for kind, figure in found.items():
            lift, hit = interval(figure.lift, seed=cfg.seed), interval(figure.hit, seed=cfg.seed)
            lifts[kind] = {
                "lift": lift, "hit": hit, "share": float(np.nanmean(figure.share)),
                "elsewhere": np.nanmean(figure.elsewhere, 0),
            }  # fmt: skip
    shown = []
    for number in _first_of_each_class(subject, cfg.split, len(subject.class_names)):
        clip = subject.clip(cfg.split, number)
        maps = _maps(subject, clip, units)
        frames, densities = shrink(
            subject.frames(clip), np.stack([_density(maps[str(unit)])[0] for unit in units])
        )
        label = subject.data.splits[cfg.split].clips[number].label
        shown.append((subject.video_name(cfg.split, number), label, frames, densities))
    write_explorer(
        desk.directory / "explorer.html",
        title=f"{subject.model.spec.name} on {subject.dataset}",
        note=f"{len(heads.values)} clips of the {cfg.split} split, query={cfg.query}",
        rows=rows,
        places=places,
        names=[str(unit) for unit in units],
        classes=subject.class_names,
        relevance=relevances,
        metric=cfg.metric,
        figures={
            "consistency": heads.consistency, "selectivity": heads.test.index,
            "p": heads.test.p_value, "preferred": heads.test.preferred,
        },
        top=heads.top,
        boxes=lifts,
        clips=shown,
    )  # fmt: skip
    desk.tracker.html("explain/explorer", desk.directory / "explorer.html")
    return {"heads": len(units), "clips": len(heads.values), "boxes": list(lifts)}


EXPLANATIONS: dict[str, Callable[[Desk], dict[str, Any]]] = {
    "relevance": relevance,
    "attention": attention,
    "boxes": boxes,
    "transfer": transfer,
    "causal": causal,
    "explorer": explorer,
}


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
