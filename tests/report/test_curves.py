"""Curves of a sweep's cells, as tables and charts."""

import csv
from pathlib import Path

import pytest
from made_up_cells import write_cell

from vitprune.report.curves import curve_tables
from vitprune.report.writing import write_report
from vitprune.results.curves import read_curves
from vitprune.results.reading import read_sweep


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two seeds of MViT on DAI, and one of TimeSformer on UCF101."""
    for seed in (0, 1):
        write_cell(tmp_path, curves=True, seed=seed, where=f"mvit-{seed}")
    write_cell(tmp_path, "ucf101", "timesformer", k=3, curves=True)
    return tmp_path


def test_seeds_are_one_and_cells_with_the_same_curves_count_once(sweep: Path) -> None:
    write_cell(sweep, curves=True, metric="JSD", where="another-metric")
    found = {one.place: one.seeds for one in read_curves(read_sweep(sweep))}
    assert found == {"TimeSformer on UCF101": [0], "MViT on DAI": [0, 1]}


def test_lines_of_seeds_lie_beside_each_other_and_random_ones_in_every_panel(sweep: Path) -> None:
    (mvit,) = (one for one in read_curves(read_sweep(sweep)) if one.group.model == "mvit")
    panels = mvit.top1()
    assert [*panels] == ["oneshot", "greedy"]
    assert len(panels["oneshot"]["lowest", "R"]) == 16
    assert len(panels["oneshot"]["lowest", "R"][3]) == 2
    assert len(panels["greedy"]["random", ""][3]) == 2 * 3
    assert ("lowest", "magnitude") not in panels["greedy"]


def test_tables_say_what_was_found(sweep: Path) -> None:
    _, mvit = curve_tables(read_curves(read_sweep(sweep)))
    assert mvit.name.startswith("MViT on DAI, lowest first, 2 seeds: full Top-1 ")
    rows = {tuple(row[:2]): row[2:] for row in mvit.rows}
    assert rows["oneshot", "R"][1:3] == ["—", "—"]
    assert rows["oneshot", "random"][1].startswith("−")
    assert "±" in rows["greedy", "cosine"][0]
    assert {len(row) for row in mvit.rows} == {len(mvit.header)}


def test_the_report_of_a_sweep_writes_tables_and_charts(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = write_report(sweep).read_text()
    assert "MViT on DAI, lowest first, 2 seeds" in capsys.readouterr().out
    names = ["dai-mvit-lowest", "ucf101-timesformer-lowest"]
    files = [f"{name}.{ending}" for name in names for ending in ("png", "svg")]
    assert sorted(path.name for path in (sweep / "curves").iterdir()) == files
    assert "| oneshot | R |" in (sweep / "curves.md").read_text()
    rows = list(csv.DictReader((sweep / "curves.csv").open()))
    assert len(rows) == 2 * 10
    assert {(row["model"], row["seeds"]) for row in rows} == {("mvit", "0 1"), ("timesformer", "0")}
    assert 'aria-label="Top-1 over dropped layers: MViT on DAI"' in page
    assert page.count("<h3>MViT on DAI, lowest first") == 1


def test_without_curves_nothing_is_said_of_them(tmp_path: Path) -> None:
    write_cell(tmp_path)
    write_cell(tmp_path, metric="JSD")
    assert 'id="curves"' not in write_report(tmp_path).read_text()
    assert not (tmp_path / "curves.csv").exists()
