"""What layers, heads, groups of neurons and units of all kinds are worth at the same latency.

``python benchmarks/front.py [--runs DIR] [--models M ...] [--scopes S ...] [--budgets B ...]
[--seeds N ...] [--tiny]``

Runs prune.py on a stand-in for every model, scope, budget of latency and seed, by R and with
recover=linear, in DIR, where fine-tuned checkpoints are used if they are there and finished cells
are not run again. Top-1 is the mean over seeds ± their standard deviation, as dropped and
recovered. Beside it stands how many answers only the scope's model, and only that of layers, has
right at the same budget, over all seeds, with McNemar's exact p; as all seeds' models answer the
same videos, it is a little too small. Latency is what the last comparison measured, which noise may
put a little beside the budget. ``--tiny`` shows that it works, and means nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from vitprune.results.paper import called
from vitprune.results.reading import read_answers, read_sweep
from vitprune.results.statistics import mcnemar

ROOT = Path(__file__).resolve().parent.parent
SCOPES = ("layer", "head", "neurons", "any")  # the first is what the others are compared with
MODELS = ("mvit", "timesformer", "video_swin")
TINY = (
    "dataset.demo.videos_per_class={train: 1, val: 1, test: 1}", "dataset.demo.frames=8",
    "dataset.num_workers=0", "model.tiny.epochs=1", "model.tiny.validate_every=1",
    "model.tiny.num_frames=4", "model.tiny.image_size=32", "recover.clips=17", "trainer=cpu",
    "metric=magnitude",
)  # fmt: skip


def run(model: str, options: argparse.Namespace, runs: Path, *more: str) -> Path:
    """Run the cells of a model, of which some may fail; the directory of its sweep."""
    sweep = runs / "sweep" / f"benchmark-front-{model}"
    listed = {
        "scope": options.scopes, "budget.latency": options.budgets, "seeds": options.seeds,
    }  # fmt: skip
    words = [f"{key}={','.join(map(str, values))}" for key, values in listed.items()]
    command = [
        sys.executable, str(ROOT / "prune.py"), "-m", f"model={model}",
        f"dataset={options.dataset}", "metric=R", "recover=linear", "logger=none", *words,
        f"runs={runs}", f"hydra.sweep.dir={sweep}", *more,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not any(sweep.rglob("results.json")):
        sys.exit(f"no cell of {model} is finished:\n{done.stderr}")
    return sweep


def right(path: Path, model: str) -> pd.Series:
    """Whether a cell's ``model`` answers each video right."""
    answers = read_answers(path).set_index("video")
    return answers[model] == answers["label"]


def against(cells: pd.DataFrame, layers: pd.DataFrame, model: str) -> str:
    """``12 / 30, p = 0.008``: answers that only ``cells``, or only ``layers``, have right."""
    won = lost = 0
    for seed in cells.index.intersection(layers.index):
        one, other = (right(found.loc[seed, "path"], model) for found in (cells, layers))
        won, lost = won + int((one & ~other).sum()), lost + int((other & ~one).sum())
    return f"{won} / {lost}, p = {mcnemar(lost, won):.2g}"


def figures(values: Sequence[float], digits: int = 1) -> str:
    """``88.1 ± 1.2``."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def rows(model: str, sweep: Path, scopes: Sequence[str], budgets: Sequence[float]) -> Any:
    """The rows of a model, by budget and scope."""
    cells = read_sweep(sweep).finished
    cells = cells.assign(
        scope=[group.scope for group in cells["group"]],
        seed=[results["seed"] for results in cells["results"]],
        limit=[results["budget"]["limits"]["latency"] for results in cells["results"]],
    ).set_index("seed")
    full = figures((100 * cells.groupby("seed")["full.top1"].first()).tolist())
    yield [model, "", "full", "", "100", full, "", full, ""]
    for limit in budgets:
        at_limit = cells[cells["limit"] == limit]
        layers = at_limit[at_limit["scope"] == scopes[0]]
        for scope in scopes:
            own = at_limit[at_limit["scope"] == scope]
            if own.empty:
                yield [model, f"{limit:g}", called(scope), "not reached", *[""] * 5]
                continue
            cost = own["recovered.latency_ms"] / own["full.latency_ms"]
            row = [model, f"{limit:g}", called(scope), figures(own["k"].tolist())]
            row.append(figures((100 * cost).tolist(), 0))
            for name in ("pruned", "recovered"):
                row.append(figures((100 * own[f"{name}.top1"]).tolist()))
                row.append("" if scope == scopes[0] else against(own, layers, name))
            yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--dataset", default="demo_dai")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument(
        "--scopes", nargs="+", default=SCOPES, help="the first one is the reference"
    )
    parser.add_argument("--budgets", nargs="+", type=float, default=[0.7, 0.5])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--tiny", action="store_true", help="one tiny model, no meaning")
    options = parser.parse_args()
    if options.tiny:
        options.models, options.scopes = ["timesformer"], options.scopes[:2]
        options.budgets, options.seeds = [0.9], [0]
    table = Table(
        "model", "budget", "units", "dropped", "latency (%)", "Top-1 as dropped",
        f"only it / only {called(options.scopes[0])}", "Top-1, linear",
        f"only it / only {called(options.scopes[0])}",
        title=f"Top-1 (%) at equal latency on {options.dataset}, "
        f"seeds {', '.join(map(str, options.seeds))}",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        runs, more = options.runs.resolve(), ()
        if options.tiny:
            runs, more = Path(temporary), (*TINY, f"dataset.root={temporary}/data")
        for model in options.models:
            sweep = run(model, options, runs, *more)
            for row in rows(model, sweep, options.scopes, options.budgets):
                table.add_row(*row)
            table.add_section()
    Console(width=150).print(table)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
