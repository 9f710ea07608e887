"""The project's W&B workspace as code: ``python -m vitprune.reporting.dashboard``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from vitprune.commands import exit_on_bad_input
from vitprune.errors import InputError, in_one_line

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

    def column(metric: Any, name: str) -> Any:
        return wr.ParallelCoordinatesPlotColumn(metric=metric, display_name=name)

    table1 = ws.Section(
        name="Table 1",
        is_open=True,
        panels=[
            wr.BarPlot(
                title="Top-1 after dropping layers, by direction",
                metrics=["pruned.top1"], groupby=wr.Config("direction"), groupby_aggfunc="mean",
                groupby_rangefunc="minmax",
            ),
            wr.BarPlot(
                title="Top-1 after dropping layers, by metric",
                metrics=["pruned.top1"], groupby=wr.Config("metric"), groupby_aggfunc="mean",
                groupby_rangefunc="minmax",
            ),
            wr.ParallelCoordinatesPlot(
                title="Every cell",
                columns=[
                    column(summary("dataset.name"), "dataset"),
                    column(summary("model.name"), "model"),
                    column(summary("direction"), "direction"),
                    column(summary("metric"), "metric"),
                    column(summary("full.top1"), "Top-1, full"),
                    column(summary("pruned.top1"), "Top-1, pruned"),
                ],
            ),
        ],
    )  # fmt: skip
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
        name="Relevance of the layers",
        is_open=True,
        panels=[
            *(
                wr.LinePlot(
                    title=f"{metric} over the layers", x="relevance/layer", title_x="layer",
                    y=[f"relevance/{metric}"],
                )
                for metric in ("JSD", "dProb", "R")
            ),
            wr.MediaBrowser(title="Relevance of every run", media_keys=["relevance/chart"]),
        ],
    )  # fmt: skip
    curves = ws.Section(
        name="Top-1 over the number of dropped layers (curve=true)",
        panels=[
            *(
                wr.LinePlot(
                    title=f"{name} first", x="curve/k", title_x="dropped layers",
                    y=[f"curve/{name}"], range_y=(0.0, 1.0),
                )
                for name in ("lowest", "highest", "random")
            ),
            wr.MediaBrowser(title="Curve of every run", media_keys=["curve/chart"]),
        ],
    )  # fmt: skip
    training = ws.Section(
        name="Fine-tuning",
        panels=[
            wr.LinePlot(title="Top-1 on the val split", x="epoch", y=["val/top1"]),
            wr.LinePlot(title="Training loss", x="trainer/global_step", y=["train/loss"]),
        ],
    )
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"{NAME} ({group})" if group else NAME,
        sections=[table1, cost, relevance, curves, training],
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
        prog="python -m vitprune.reporting.dashboard",
        description="Create the W&B workspace for the runs of prune.py and train.py.",
    )
    parser.add_argument("--entity", help="user or team (default: that of the account)")
    parser.add_argument("--project", default="vitprune", help="default: vitprune")
    parser.add_argument("--group", help="only the runs of the sweep with this directory name")
    options = parser.parse_args(arguments)
    _libraries()

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
