"""``evaluate.py``: Top-1, Top-5 and cost of any checkpoint on any dataset's test split.

With ``frames`` or ``size`` it is shown a cheaper input than its own, and beside it, on the same
videos, its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitprune.report.terminal import interval_of, print_summary
from vitprune.results.reading import left_out
from vitprune.tasks.explain import Explained, explain
from vitprune.tasks.export import export_model, stage_of
from vitprune.tasks.outputs import by_view
from vitprune.tasks.run import Run, surroundings
from vitprune.tasks.runtime import RunBundle, beside_torch
from vitprune.tasks.subject import subject_of
from vitprune.tasks.testing import at_input, beside_own, costs_of, tested
from vitprune.training import VideoClassifier

if TYPE_CHECKING:
    from vitprune.launch.configuration import Evaluate


@dataclass(frozen=True)
class Evaluated:
    """What a job of evaluate.py found; its fields are the keys of ``results.json``.

    Attributes:
        ckpt: the checkpoint, or what describes the bundle.
        model: its specification, with the units that were dropped, as they are written.
        top1: share of test videos, in [0, 1].
        top5: likewise.
        views: Top-1 on the test videos of each camera; None where there are not several.
        parameters, checkpoint_bytes, flops, latency_ms: see :class:`vitprune.pruning.Cost`;
            ``flops`` of a bundle that does not say it is None.
        own_input: where the checkpoint is shown another input than its own, what it has with that:
            ``num_frames`` and ``image_size``, Top-1, Top-5 and cost, latency measured in turns; and
            ``paired``, how many videos changed sides from there, with McNemar's exact p.
        runtime: of a bundle, how it was run and how it compares; see
            :meth:`vitprune.tasks.runtime.RunBundle.described`.
    """

    ckpt: str
    ckpt_digest: str
    fine_tuning: Mapping[str, Any] | None
    model: Mapping[str, Any]
    dataset: Mapping[str, Any]
    top1: float
    top5: float
    parameters: int
    checkpoint_bytes: int
    flops: int | None
    latency_ms: float
    clip_settings: Mapping[str, Any]
    leakage: Mapping[str, int] | None
    environment: Mapping[str, Any]
    settings: Mapping[str, Any]
    asked: Mapping[str, Any]
    views: Mapping[str, Any] | None = None
    own_input: Mapping[str, Any] | None = None
    runtime: Mapping[str, Any] | None = None


def evaluate(cfg: Evaluate, run: Run) -> Evaluated | Explained:
    """Evaluate a checkpoint or a bundle, or explain what a checkpoint's heads do."""
    run.seed()
    if cfg.explain != "none":
        return explain(cfg, run)
    asked, path = cfg.settings(), Path(str(cfg.ckpt))
    bundle = RunBundle(path, cfg.runtime, cfg.precision) if path.is_dir() else None
    if bundle is None:
        own = subject_of(cfg, path, VideoClassifier.load(path))
    else:
        own = subject_of(cfg, bundle.path, bundle.classifier)
    subject = at_input(own, cfg, path)
    classifier, test = subject.classifier, subject.data.splits["test"]
    with run:
        of_own = None if subject is own else tested(run, own)
        shown = tested(run, subject, *([] if bundle is None else [bundle]))
        trainer = shown.trainer
        if bundle is None:
            cost, *own_cost = costs_of([shown, *([] if of_own is None else [of_own])])
        else:
            cost = bundle.cost(shown.clip)
        described = subject.described()
        described["dataset"]["videos"] = len(test)
        model = classifier.model
        results = Evaluated(
            **described,
            **cost,
            model={**asdict(model.spec), "dropped": [*map(str, model.dropped)]},
            top1=shown.accuracy["top1"],
            top5=shown.accuracy["top5"],
            environment=surroundings(trainer),
            asked=asked,
            views=by_view(shown.hits.videos, {"top1": shown.hits.right}, subject.data),
            own_input=None if of_own is None else beside_own(of_own, own_cost[0], shown),
            runtime=None if bundle is None else bundle.described(),
        )
        if trainer.is_global_zero:
            with run.publishing(asdict(results)):
                pass
            print_summary(f"{cfg.ckpt} on {subject.data.name}", _summary(results))
            if cfg.export:
                name, found = stage_of(classifier), asdict(results)
                export_model(cfg, run, {name: classifier}, path, subject.data, found, {name: found})
    if trainer.is_global_zero:  # after W&B has said its own
        run.say_where()
    return results


def _summary(results: Evaluated) -> dict[str, str]:
    videos = results.dataset["videos"]
    lost = left_out({"dataset": results.dataset})
    input_ = results.clip_settings
    return {
        "Input": f"{input_['num_frames']} frames of {input_['image_size']} pixels",
        "Top-1": f"{100 * results.top1:.2f} %",
        "  95 % interval": interval_of(results.top1, videos),
        **{
            f"  {view} ({found['videos']})": f"{100 * found['top1']:.2f} %"
            for view, found in (results.views or {}).items()
        },
        "Top-5": f"{100 * results.top5:.2f} %",
        "Test videos": str(videos),
        **({"Left out": lost} if lost else {}),
        "Dropped": ", ".join(results.model["dropped"]) or "none",
        "Parameters": f"{results.parameters / 1e6:.3g} M",
        "FLOPs per clip": "unknown" if results.flops is None else f"{results.flops / 1e9:.3g} G",
        "Latency per clip": f"{results.latency_ms:.3g} ms",
        **(beside_torch(results.runtime) if results.runtime else {}),
        **(_beside(results.own_input, results) if results.own_input else {}),
    }


def _beside(own: Mapping[str, Any], results: Evaluated) -> dict[str, str]:
    """What the summary says of the checkpoint's own input."""
    paired = own["paired"]
    return {
        "Its own input": f"{own['num_frames']} frames of {own['image_size']} pixels",
        "  Top-1": f"{100 * own['top1']:.2f} %",
        "  latency per clip": f"{own['latency_ms']:.3g} ms",
        "  of it this takes": f"{100 * results.latency_ms / own['latency_ms']:.0f} %",
        "  from right to wrong": f"{paired['right_to_wrong']} of {paired['videos']}",
        "  from wrong to right": f"{paired['wrong_to_right']}",
        "  McNemar's exact p": f"{paired['p_value']:.3g}",
    }
