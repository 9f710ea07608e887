"""The project's W&B workspace as code: ``python -m vitprune.tracking.dashboard``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from vitprune.errors import InputError, exit_on_bad_input, in_one_line
from vitprune.results.paper import METRICS

NAME = "vitprune: which layers can go"
PINNED = (
    "summary:dataset.name", "summary:model.name", "summary:direction", "summary:metric",
    "summary:k", "summary:full.top1", "summary:pruned.top1", "summary:paired.p_value",
)  # fmt: skip
"""The columns that the table of runs shows first. From the summary, not the configuration: an
agent of W&B keeps ``model`` and ``dataset`` there as the words that it was given."""


def workspace(entity: str, project: str, group: str | None = None) -> Any:
    """The workspace, not saved yet.

    Args:
        entity: user or team.
        project: name of the project; as in ``logger.project``.
        group: only the runs of one sweep, whose directory has this name; None for all.

    Raises:
        InputError: wandb-workspaces is not installed.
    """
    wr, ws = _libraries()

    def summary(name: str) -> Any:
        return wr.SummaryMetric(name)

    def column(name: str, key: str) -> Any:
        return wr.ParallelCoordinatesPlotColumn(metric=summary(key), display_name=name)

    def lines(title: str, x: str, y: str, **options: Any) -> Any:
        return wr.LinePlot(title=title, x=x, y=[y], **options)

    def bars(by: str) -> Any:
        return wr.BarPlot(
            title=f"Top-1 after dropping layers, by {by}", metrics=["pruned.top1"],
            groupby=wr.Config(by), groupby_aggfunc="mean", groupby_rangefunc="minmax",
        )  # fmt: skip

    table1 = ws.Section(
        name="Table 1",
        is_open=True,
        panels=[
            bars("direction"),
            bars("metric"),
            wr.ParallelCoordinatesPlot(
                title="Every cell",
                columns=[
                    column("dataset", "dataset.name"),
                    column("model", "model.name"),
                    column("direction", "direction"),
                    column("metric", "metric"),
                    column("Top-1, full", "full.top1"),
                    column("Top-1, pruned", "pruned.top1"),
                    column("Recovery", "recover.name"),
                    column("Top-1, recovered", "recovered.top1"),
                ],
            ),
        ],
    )
    cost = ws.Section(
        name="Cost against accuracy",
        is_open=True,
        panels=[
            wr.ScatterPlot(title=title, x=summary(f"pruned.{key}"), y=summary("pruned.top1"))
            for title, key in (
                ("Top-1 against FLOPs per clip", "flops"),
                ("Top-1 against latency per clip (ms)", "latency_ms"),
                ("Top-1 against parameters", "parameters"),
            )
        ],
    )
    relevance = ws.Section(
        name="Relevance of the units",
        is_open=True,
        panels=[
            *(
                lines(
                    f"{metric} over the units",
                    "relevance/unit",
                    f"relevance/{metric}",
                    title_x="unit",
                )
                for metric in METRICS
            ),
            wr.MediaBrowser(title="Relevance of every run", media_keys=["relevance/chart"]),
        ],
    )
    curves = ws.Section(
        name="Top-1 over the number of dropped units (curves=true)",
        panels=[
            *(
                lines(
                    f"by {name}",
                    "curves/k",
                    f"curves/oneshot/{name}",
                    title_x="dropped units",
                    range_y=(0.0, 1.0),
                )
                for name in (*METRICS, "random")
            ),
            wr.MediaBrowser(title="Curves of every run", media_keys=["curves/chart"]),
        ],
    )
    training = ws.Section(
        name="Fine-tuning",
        panels=[
            lines("Top-1 on the val split", "epoch", "val/top1"),
            lines("Training loss", "trainer/global_step", "train/loss"),
        ],
    )
    deployed = ws.Section(
        name="Deployed (export=[onnx,openvino])",
        panels=[
            wr.ScatterPlot(
                title=f"Top-1 against latency per clip (ms), {model}, by {runtime}",
                x=summary(f"exported.{model}.{runtime}_float32.latency_ms"),
                y=summary(f"exported.{model}.{runtime}_float32.top1"),
            )
            for model in ("pruned", "recovered")
            for runtime in ("eager", "onnx", "openvino")
        ],
    )
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"{NAME} ({group})" if group else NAME,
        sections=[table1, cost, deployed, relevance, curves, training],
        runset_settings=ws.RunsetSettings(
            filters=ws.And(ws.Metric("Group") == group) if group else "",
            pinned_columns=list(PINNED),
        ),
    )


def _libraries() -> tuple[Any, Any]:
    try:
        import wandb_workspaces.reports.v2 as reports
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise InputError(
            "the dashboard needs wandb-workspaces, which is not installed; "
            "pip install -e '.[sweep]'"
        ) from error
    return reports, workspaces


@exit_on_bad_input
def main(arguments: Sequence[str] | None = None) -> None:
    """Save the workspace to W&B and say where it is."""
    parser = argparse.ArgumentParser(
        prog="python -m vitprune.tracking.dashboard",
        description="Create the W&B workspace for the runs of prune.py and train.py.",
    )
    parser.add_argument("--entity", help="user or team (default: that of the account)")
    parser.add_argument("--project", default="vitprune", help="default: vitprune")
    parser.add_argument("--group", help="only the runs of the sweep with this directory name")
    options = parser.parse_args(arguments)
    _libraries()  # whose absence is said before that of an account

    import wandb

    try:
        entity = str(options.entity or wandb.Api().default_entity)
        found = workspace(entity, options.project, options.group)
        found.save()
    except (wandb.errors.Error, ValueError, OSError) as error:
        raise InputError(
            f"W&B did not take the dashboard: {in_one_line(error)} (it needs an account and a "
            "network: run wandb login, or set WANDB_API_KEY)"
        ) from error
    print(f"Dashboard: {found.url}")


if __name__ == "__main__":
    main()
