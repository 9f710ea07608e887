"""``evaluate.py``: Top-1, Top-5 and cost of any checkpoint on any dataset's test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitprune.pruning import costs
from vitprune.report.terminal import interval_of, print_summary
from vitprune.results.reading import left_out
from vitprune.tasks.explain import Explained, explain
from vitprune.tasks.export import export_model
from vitprune.tasks.outputs import by_view
from vitprune.tasks.run import Run, surroundings
from vitprune.tasks.runtime import RunBundle, beside_torch
from vitprune.tasks.subject import subject_of
from vitprune.training import VideoClassifier
from vitprune.training.callbacks import AnsweredRight

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
    runtime: Mapping[str, Any] | None = None


def evaluate(cfg: Evaluate, run: Run) -> Evaluated | Explained:
    """Evaluate a checkpoint or a bundle, or explain what a checkpoint's heads do."""
    run.seed()
    if cfg.explain != "none":
        return explain(cfg, run)
    asked, path = cfg.settings(), Path(str(cfg.ckpt))
    bundle = RunBundle(path, cfg.runtime, cfg.precision) if path.is_dir() else None
    if bundle is None:
        subject = subject_of(cfg, path, VideoClassifier.load(path))
    else:
        subject = subject_of(cfg, bundle.path, bundle.classifier)
    classifier, test = subject.classifier, subject.data.splits["test"]
    with run:
        hits = AnsweredRight()
        trainer = run.trainer([hits] if bundle is None else [hits, bundle])
        trainer.test(classifier, datamodule=subject.data, verbose=False)
        metrics = trainer.callback_metrics  # test() returns those that a logger got
        clip = test[0]["clips"][:1]
        if bundle is None:
            classifier.to(trainer.strategy.root_device)  # the trainer has put it back on the CPU
            clip, forward = clip.to(next(classifier.parameters())), trainer.precision_plugin
            (cost,) = map(asdict, costs([classifier.model], clip, forward.forward_context))
        else:
            cost = bundle.cost(clip)
        described = subject.described()
        described["dataset"]["videos"] = len(test)
        model = classifier.model
        results = Evaluated(
            **described,
            **cost,
            model={**asdict(model.spec), "dropped": [*map(str, model.dropped)]},
            top1=float(metrics["test/top1"]),
            top5=float(metrics["test/top5"]),
            environment=surroundings(trainer),
            asked=asked,
            views=by_view(hits.videos, {"top1": hits.right}, subject.data),
            runtime=None if bundle is None else bundle.described(),
        )
        if trainer.is_global_zero:
            with run.publishing(asdict(results)):
                pass
    if trainer.is_global_zero:
        print_summary(f"{cfg.ckpt} on {subject.data.name}", _summary(results))
        if cfg.export:
            found = asdict(results)
            export_model(cfg, run, classifier, path, subject.data, found, found)
        run.say_where()
    return results


def _summary(results: Evaluated) -> dict[str, str]:
    videos = results.dataset["videos"]
    lost = left_out({"dataset": results.dataset})
    return {
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
    }
