"""The chart and table of many ways to make one model smaller, from cells of known figures."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_up_cells import write_cell, write_started

from vitprune.report.front import front_rows
from vitprune.report.sections import front_chart, recovery
from vitprune.report.writing import write_report
from vitprune.results.front import BOTH, FRAMES, FULL, Front, read_fronts
from vitprune.results.reading import read_sweep
from vitprune.results.table1 import build_table


def change(path: Path, **changes: Any) -> dict[str, Any]:
    """Change the results of a cell."""
    results = json.loads((path / "results.json").read_text())
    results.update(changes)
    (path / "results.json").write_text(json.dumps(results))
    return results


def write_budgeted(
    sweep: Path, scope: str, limit: float, right: float, metric: str = "R", seed: int = 0
) -> None:
    """A finished cell of a budget of latency, recovered."""
    k = round(16 * (1 - limit))
    where = f"{metric}-{scope}-{limit}-seed{seed}"
    path = write_cell(sweep, k=k, metric=metric, right=right - 0.1, seed=seed, where=where)
    results = json.loads((path / "results.json").read_text())
    settings = results["settings"] | {
        "scope": scope, "recover": {"name": "linear"}, "budget": {"latency": limit, "flops": None},
    }  # fmt: skip
    answers = pd.read_csv(path / "predictions.csv")
    hits = answers.index < right * len(answers)
    answers["recovered"] = answers["label"].where(hits, (answers["label"] + 1) % 4)
    answers.to_csv(path / "predictions.csv", index=False)
    spent = {name: limit * results["full"][name] for name in ("latency_ms", "flops", "parameters")}
    pair = {"videos": 40, "right_to_wrong": 4, "wrong_to_right": 1, "p_value": 0.4}
    change(
        path, settings=settings, scope=scope, ckpt_digest=f"digest {seed}",
        budget={"limits": {"latency": limit}, "spent": {"latency": limit}},
        pruned=results["pruned"] | spent,
        recovered=results["pruned"] | spent | {"top1": right},
        recovery={"clips": 30, "seconds": 12, "paired": {"full": pair, "pruned": pair}},
    )  # fmt: skip


def write_input(
    sweep: Path, frames: int, size: int, share: float, top1: float, digest: str = "digest 0"
) -> None:
    """What evaluate.py leaves of another input."""
    path = sweep / "inputs" / f"{frames}-{size}-{digest}"
    path.mkdir(parents=True)
    pair = {"videos": 40, "right_to_wrong": 20, "wrong_to_right": 1, "p_value": 0.0}
    own = {"num_frames": 8, "image_size": 64, "top1": 0.975, "latency_ms": 10.0, "paired": pair}
    results = {
        "dataset": {"name": "dai"}, "model": {"name": "mvit"}, "ckpt_digest": digest,
        "settings": {"dataset": {"name": "dai"}, "frames": frames, "size": size},
        "clip_settings": {"num_frames": frames, "image_size": size},
        "top1": top1, "latency_ms": 10 * share, "own_input": own,
    }  # fmt: skip
    (path / "results.json").write_text(json.dumps(results))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for scope, limit, right in (
        ("layer", 0.75, 0.95), ("layer", 0.5, 0.8), ("head", 0.75, 0.9), ("head", 0.5, 0.6),
    ):  # fmt: skip
        write_budgeted(tmp_path, scope, limit, right)
    write_budgeted(tmp_path, "layer", 0.5, 0.5, "random")
    write_input(tmp_path, 4, 64, 0.4, 0.5)
    write_input(tmp_path, 4, 48, 0.3, 0.2)
    write_input(tmp_path, 16, 64, 1.9, 0.99)  # not cheaper
    write_input(tmp_path, 2, 64, 0.2, 0.9, "another")
    failed = tmp_path / "failed"
    settings = write_started(failed, "dai", "mvit", "R", "lowest", 5)
    started = {"settings": settings | {"budget": {"latency": 0.1}}, "overrides": []}
    (failed / "started.json").write_text(json.dumps(started))
    (failed / "failure.json").write_text('{"error": "budget.latency=0.1 cannot be reached"}')
    return tmp_path


def front_of(sweep: Path) -> Front:
    (found,) = read_fronts(read_sweep(sweep))
    return found


def test_every_model_is_a_point_of_its_way(sweep: Path) -> None:
    front = front_of(sweep)
    assert (front.heading, front.full_ms, front.name) == ("MViT on DAI", 20.0, "dai-mvit")
    found = {(str(p.way), p.command): (p.share, p.top1, p.size) for p in front.points}
    assert len(found) == 1 + 2 * 5 + 2
    words = "scope=head metric=R budget.latency=0.75 recover=linear"
    assert found["heads by R", words] == pytest.approx((0.75, 80, "4 heads"))
    assert found["heads by R, linear", words] == pytest.approx((0.75, 90, "4 heads"))
    words = "metric=random budget.latency=0.5 recover=linear"
    assert found["layers at random", words][1] == pytest.approx(40)
    assert found[FRAMES, "frames=4"] == pytest.approx((0.4, 50, "4 frames of 64 pixels"))
    assert (BOTH, "frames=4 size=48") in found
    assert found[FULL, ""] == pytest.approx((1.0, 97.5, ""))
    assert [row[1] for row in front_rows(front)] == [
        BOTH, FRAMES, "layers by R, linear", "layers by R, linear", FULL,
    ]  # fmt: skip


def test_what_is_no_point_says_why(sweep: Path) -> None:
    assert front_of(sweep).holes == {
        "failed": "budget.latency=0.1 cannot be reached",
        "inputs/2-64-another": "of another checkpoint or other videos than the sweep's cells",
    }
    table = build_table(read_sweep(sweep))
    labels = dict.fromkeys(row.group.label for row in table.rows)
    assert "MViT" in {label.split(" (")[0] for label in labels}
    assert not any("budget" in label for label in labels)


def test_seeds_are_one_point(sweep: Path) -> None:
    write_budgeted(sweep, "head", 0.5, 0.9, seed=1)
    front = front_of(sweep)
    points = {(str(p.way), p.command): p for p in front.points}
    words = "scope=head metric=R budget.latency=0.5 recover=linear"
    both = points["heads by R, linear", words]
    assert (both.top1, len(both.seeds)) == (pytest.approx(75), 2)
    assert len(points[FULL, ""].seeds) == 2
    # What is not there for both is none: seeds differ by more than ways do.
    assert len(points) == 3
    alone = "layers by R, linear (metric=R budget.latency=0.5 recover=linear)"
    assert front.holes[alone] == "of seed 0 alone, others of 0, 1"


def test_the_chart_tells_of_every_point_and_rings_the_best(sweep: Path, tmp_path: Path) -> None:
    front = front_of(sweep)
    chart = front_chart(front)
    assert "heads by R, linear, 4 heads: 90.00 % (" in chart.svg
    assert "fewer frames, 4 frames of 64 pixels: 50.00 %" in chart.svg
    for name in ("units by R", "units at random", "not recovered", "smaller images", "layers"):
        assert name in chart.svg
    assert "at 75.0 %, 15 ms" in chart.description


def test_the_report_shows_it(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(sweep)
    page = (sweep / "report.html").read_text()
    assert "What a faster model costs" in page
    assert 'id="front"' in page
    assert "No point: failed: budget.latency=0.1 cannot be reached" in page
    said = " ".join(capsys.readouterr().out.split())
    assert "MViT on DAI: 5 of 13 models are not dominated by another" in said
    assert (sweep / "front" / "dai-mvit.png").is_file()
    assert (sweep / "front" / "dai-mvit.svg").is_file()
    assert "| 5 | full model |" in (sweep / "front.md").read_text()
    assert len(pd.read_csv(sweep / "front.csv")) == 13
    # Layers and heads are not dropped in the same numbers: a chart of recovery each.
    assert [*recovery(read_sweep(sweep))] == ["MViT, DAI, heads", "MViT, DAI, layers"]


def test_a_sweep_over_metrics_alone_has_none(grid: Path) -> None:
    assert read_fronts(read_sweep(grid)) == []
    write_report(grid)
    assert not (grid / "front.md").exists()
    assert 'id="front"' not in (grid / "report.html").read_text()
