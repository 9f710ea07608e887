"""Table 1 and the comparison of metrics, from cells whose figures are known."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_cells import write_asked, write_cell, write_started

from vitprune.report.__main__ import main
from vitprune.report.formats import body, header, latex, markdown, notes
from vitprune.report.writing import write_report
from vitprune.results.agreement import compare_metrics
from vitprune.results.paper import table1
from vitprune.results.reading import read_sweep
from vitprune.results.statistics import mcnemar, proportion_interval
from vitprune.results.table1 import FULL, build_table


def test_rows_and_columns_are_the_papers(grid: Path) -> None:
    table = build_table(read_sweep(grid))
    assert header(table)[3:] == ["UCF101", "UCF101, paper", "DAI", "DAI, paper"]
    rows = [texts[:3] for texts in body(table)]
    assert rows[:8] == [
        ["TimeSformer (3 layers pruned)", "full model", ""],
        ["", "lowest", "JSD"],
        ["", "", "dProb"],
        ["", "", "R"],
        ["", "highest", "JSD"],
        ["", "", "dProb"],
        ["", "", "R"],
        ["MViT (5 layers pruned)", "full model", ""],
    ]
    assert len(rows) == 14


def test_missing_failed_and_started_cells_are_shown_as_such(grid: Path) -> None:
    table = build_table(read_sweep(grid))
    assert [table.count(s) for s in ("finished", "missing", "failed", "started")] == [18, 4, 1, 1]
    mvit = {row.metric: row.entries[0] for row in table.rows[7:] if row.direction == "highest"}
    assert {m: e.state for m, e in mvit.items()} == {
        "JSD": "failed", "dProb": "missing", "R": "started",
    }  # fmt: skip
    text = "\n".join(notes(table))
    assert "4 of 24 cells missing (—)" in text
    assert "1 of 24 cells unfinished" in text
    assert "ucf101/mvit/JSD-highest-k5: RuntimeError: no luck" in text


def test_clips_that_were_trained_on_are_told_in_table_and_report(tmp_path: Path) -> None:
    write_cell(tmp_path, leakage={"test": 12, "val": 3})
    write_cell(tmp_path, metric="JSD", leakage={"unknown": 1})
    write_cell(tmp_path, metric="dProb")
    sweep = read_sweep(tmp_path)
    lines = [line for line in notes(build_table(sweep)) if line.startswith("Leakage")]
    assert lines == [
        "Leakage: dai/mvit/JSD-lowest-k5: whether its checkpoint was trained on these clips is "
        "not known.",
        "Leakage: dai/mvit/R-lowest-k5: its checkpoint was trained on 12 test clips and 3 val "
        "clips: the figures are too high.",
    ]
    assert "trained on 12 test clips" in write_report(tmp_path).read_text()
    assert "trained on 12 test clips" in write_report(sweep.cells["path"].iloc[2]).read_text()


def test_a_model_of_which_nothing_is_finished_has_its_rows(grid: Path) -> None:
    write_asked(grid, model=["video_swin", "mvit", "timesformer"])
    table = build_table(read_sweep(grid))
    assert [row.group.label for row in table.rows[7:14]] == ["Video Swin"] * 7
    assert table.count("missing") == 4 + 12


def test_figures_intervals_and_the_papers_figures(grid: Path) -> None:
    table = build_table(read_sweep(grid))
    full, lowest = table.rows[7], table.rows[8]
    assert full.entries[1].top1 == pytest.approx(100 * 39 / 40)
    entry = lowest.entries[1]
    assert entry.top1 == pytest.approx(90)
    low, high = proportion_interval(36, 40)
    assert (entry.low, entry.high) == pytest.approx((100 * low, 100 * high))
    assert entry.paper == table1()["mvit", 5, "lowest", "JSD", "dai"] == 86.15


@pytest.mark.parametrize(
    "cell", [{"dataset": "demo_dai"}, {"k": 4}, {"variant": "tiny"}, {"metric": "cosine"}]
)
def test_the_papers_figure_stands_only_beside_the_papers_cells(
    tmp_path: Path, cell: dict[str, object]
) -> None:
    write_cell(tmp_path, **cell)  # type: ignore[arg-type]
    assert not build_table(read_sweep(tmp_path)).from_paper


def test_settings_that_differ_divide_the_rows(tmp_path: Path) -> None:
    for lr in (0.001, 0.002):
        write_cell(tmp_path, lr=lr, where=f"lr{lr}")
    table = build_table(read_sweep(tmp_path))
    labels = [row.group.label for row in table.rows if row.direction == FULL]
    assert labels == [f"MViT (5 layers pruned, model.recipe.lr={lr})" for lr in (0.001, 0.002)]
    assert table.count("missing") == 0


def write_seeds(sweep: Path, rights: dict[int, float], **cell: Any) -> None:
    for seed, right in rights.items():
        write_cell(sweep, seed=seed, right=right, where=f"{seed}-{len([*sweep.iterdir()])}", **cell)


def test_seeds_share_a_row_with_mean_and_spread(tmp_path: Path) -> None:
    write_seeds(tmp_path, {0: 0.9, 1: 0.8, 2: 0.7})
    table = build_table(read_sweep(tmp_path))
    full, lowest = (row.entries[0] for row in table.rows)
    assert [row.group.label for row in table.rows] == ["MViT (5 layers pruned)"] * 2
    assert (lowest.top1, lowest.spread, lowest.seeds) == (pytest.approx(80), pytest.approx(10), 3)
    assert (full.top1, full.spread) == (pytest.approx(97.5), pytest.approx(0))
    assert lowest.low is None
    assert lowest.paper is not None
    assert table.count() == table.count("finished") == 3
    assert "80.00 ± 10.00" in markdown(table, compare_metrics(read_sweep(tmp_path)))
    assert "the mean over 3 seeds" in notes(table)[0]
    page = write_report(tmp_path).read_text()
    assert "± 10.00, 3 seeds" in page
    (_, row) = csv.DictReader((tmp_path / "table.csv").open())
    assert (row["dai_spread"], row["dai_seeds"], row["dai_low"]) == ("10", "3", "")


def test_seeds_that_are_not_finished_are_counted_and_left_out_of_the_mean(tmp_path: Path) -> None:
    write_seeds(tmp_path, {0: 0.9, 1: 0.8})
    write_seeds(tmp_path, {1: 0.5}, metric="JSD")
    failed = tmp_path / "failed"
    write_started(failed, "dai", "mvit", "JSD", "lowest", 5, seed=0)
    (failed / "failure.json").write_text('{"error": "no luck", "overrides": []}')
    asked = {"metric": ["JSD", "R"], "direction": ["lowest"], "seed": ["0", "1", "2"]}
    (tmp_path / "sweep.json").write_text(json.dumps({"command": [], "asked": asked}))
    table = build_table(read_sweep(tmp_path))
    assert [table.count(s) for s in ("finished", "failed", "missing")] == [3, 1, 2]
    _, jsd, r = (row.entries[0] for row in table.rows)
    assert (jsd.state, jsd.top1, jsd.seeds, jsd.spread) == ("finished", pytest.approx(50), 1, None)
    assert (r.top1, r.seeds) == (pytest.approx(85), 2)
    assert jsd.low < 50 < jsd.high


def test_a_setting_that_follows_the_seed_still_divides_the_rows(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_cell(tmp_path, seed=seed, lr=0.001 * (1 + seed), where=str(seed))
    rows = build_table(read_sweep(tmp_path)).rows
    assert [row.entries[0].seeds for row in rows] == [1] * 4


def test_what_a_search_varies_is_named_once_and_by_its_shortest_name(tmp_path: Path) -> None:
    for model in ("mvit", "timesformer"):
        for lr in (1e-3, 5e-4):
            write_cell(tmp_path, model=model, variant=f"{model}-x", lr=lr, where=f"{model}-{lr}")
    table = build_table(read_sweep(tmp_path))
    labels = {row.group.label for row in table.rows}
    assert "MViT (5 layers pruned, model.recipe.lr=0.0005)" in labels
    assert len(labels) == 4


def test_metrics_are_compared_on_the_same_videos(tmp_path: Path) -> None:
    videos = np.arange(40)
    write_cell(tmp_path, metric="JSD", dropped=[1, 2, 3, 4, 5], right=videos >= 12)
    write_cell(tmp_path, metric="dProb", dropped=[1, 2, 3, 4, 6], right=videos >= 1)
    write_cell(tmp_path, metric="R", dropped=[5, 4, 3, 2, 1], right=videos >= 12)
    pairs = compare_metrics(read_sweep(tmp_path))
    first, second, third = pairs.itertuples()
    assert (first.first, first.second) == ("JSD", "dProb")
    assert (first.only_first, first.only_second) == (0, 11)
    assert first.top1_change == pytest.approx(100 * 11 / 40)
    assert first.p == pytest.approx(mcnemar(0, 11))
    assert first.p_holm == pytest.approx(2 * mcnemar(0, 11))
    assert first.jaccard == pytest.approx(4 / 6)
    assert (second.first, second.second, second.jaccard) == ("JSD", "R", 1.0)
    assert np.isnan(second.p)
    assert 0 < third.kendall_tau <= 1
    text = markdown(build_table(read_sweep(tmp_path)), pairs)
    assert "Of 3 pairs of metrics 1 drop the same units. Of the 2 tested, 2 differ" in text


def test_models_that_are_always_right_have_an_interval_and_a_change_of_none_has_not(
    tmp_path: Path,
) -> None:
    write_cell(tmp_path, metric="JSD", dropped=[1], k=1, right=1.0)
    write_cell(tmp_path, metric="R", dropped=[2], k=1, right=1.0)
    sweep = read_sweep(tmp_path)
    table, pairs = build_table(sweep), compare_metrics(sweep)
    entry = table.rows[1].entries[0]
    assert (entry.low, entry.high) == pytest.approx((91.24, 100), abs=0.01)
    (pair,) = pairs.itertuples()
    assert (pair.top1_change, pair.p) == (0, 1)
    assert np.isnan([pair.low, pair.high]).all()
    text = markdown(table, pairs)
    assert "| JSD → R | 0.00 | 0 / 0 | 1 | 1 |" in text
    assert "Wilson's 95 % interval" in text


def test_relevance_of_the_test_split_is_said_to_be_so(tmp_path: Path) -> None:
    write_cell(tmp_path, metric="JSD")
    path = write_cell(tmp_path) / "results.json"
    assert "optimistic" not in "".join(notes(build_table(read_sweep(tmp_path))))
    path.write_text(path.read_text().replace('{"split": "val"', '{"split": "test"'))
    said = "1 cells measured relevance on the test split itself"
    assert said in "".join(notes(build_table(read_sweep(tmp_path))))


def test_answers_to_other_videos_are_not_compared(tmp_path: Path) -> None:
    write_cell(tmp_path, metric="JSD", dropped=[1], k=1, videos=40)
    write_cell(tmp_path, metric="R", dropped=[2], k=1, videos=36)
    (pair,) = compare_metrics(read_sweep(tmp_path)).itertuples()
    assert np.isnan([pair.top1_change, pair.p]).all()


def test_the_command_writes_all_formats(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(grid)])
    assert "MViT (5" in capsys.readouterr().out
    text = (grid / "table.md").read_text()
    assert "|  | lowest | JSD | 90.00 [76.9–96.0] | 57.88 | 90.00 [76.9–96.0] | 52.75 |" in text
    rows = list(csv.DictReader((grid / "table.csv").open()))
    assert len(rows) == 14
    assert float(rows[1]["dai_paper"]) == 52.75
    assert rows[8]["ucf101_top1"] == "90"
    assert [row["ucf101_state"] for row in rows].count("missing") == 4
    assert len(list(csv.DictReader((grid / "agreement.csv").open()))) == 3 * 6
    assert not [path for path in grid.iterdir() if path.name.startswith(".")]


def test_latex_is_booktabs_with_every_character_escaped(grid: Path) -> None:
    sweep = read_sweep(grid)
    text = latex(build_table(sweep), compare_metrics(sweep))
    for command in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{lllrrrr}"):
        assert command in text
    assert text.isascii()
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in rows} == {6}


@pytest.mark.parametrize("what", ["missing", "empty"])
def test_nothing_to_show_is_one_line_and_status_2(what: str, tmp_path: Path) -> None:
    directory = tmp_path / "nowhere" if what == "missing" else tmp_path
    done = subprocess.run(
        [sys.executable, "-m", "vitprune.report", str(directory)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no ")
    assert list(tmp_path.iterdir()) == []


def test_tables_and_reports_do_without_torch() -> None:
    code = (
        "import sys, vitprune.report.__main__, vitprune.launch.reports;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
