"""Recovered models in Table 1, the report and its chart, from cells whose figures are known."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_up_cells import write_cell

from vitprune.report import sections
from vitprune.report.formats import body, p_text
from vitprune.report.terminal import print_comparison
from vitprune.report.writing import write_report
from vitprune.results.reading import read_sweep
from vitprune.results.table1 import build_table


def write_recovered(sweep: Path, name: str, k: int, hits: int, **settings: Any) -> Path:
    """A finished cell of which so many of 40 videos are right once it is recovered."""
    label = "-".join([name, *(f"{key}{value}" for key, value in settings.items())])
    path = write_cell(sweep, k=k, right=1 - k / 20, where=f"{k}-{label}")
    results = json.loads((path / "results.json").read_text())
    recover = {"name": name, "share": 0.25, **settings}
    results["settings"]["recover"] = results["recover"] = recover
    results["recovered"] = {**results["pruned"], "top1": hits / 40}
    pair = {"videos": 40, "right_to_wrong": 1, "wrong_to_right": 5, "p_value": 0.2}
    results["recovery"] = {"clips": 30, "seconds": 12, "paired": {"full": pair, "pruned": pair}}
    (path / "results.json").write_text(json.dumps(results))
    answers = pd.read_csv(path / "predictions.csv")
    right = answers.index < hits
    answers["recovered"] = answers["label"].where(right, (answers["label"] + 1) % 4)
    answers.to_csv(path / "predictions.csv", index=False)
    return path


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for k, hits in ((5, 38), (10, 34)):
        write_recovered(tmp_path, "linear", k, hits - 2)
        write_recovered(tmp_path, "distill", k, hits)
    write_recovered(tmp_path, "distill", 5, 39, share=0.5)
    return tmp_path


def test_recovered_models_stand_below_what_was_dropped(sweep: Path) -> None:
    table = build_table(read_sweep(sweep))
    rows = [(texts[1], texts[2], texts[-2]) for texts in body(table)]
    assert [row[:2] for row in rows[:5]] == [
        ("full model", ""),
        ("lowest", "R"),
        ("", "R, distill, share=0.25"),
        ("", "R, distill, share=0.5"),
        ("", "R, linear"),
    ]
    assert [row[2].split()[0] for row in rows[:5]] == ["97.50", "75.00", "95.00", "97.50", "90.00"]
    assert (table.count(), table.count("finished")) == (5, 5)


def test_the_chart_has_a_line_for_what_was_dropped_and_for_each_recovery(sweep: Path) -> None:
    ((place, chart),) = sections.recovery(read_sweep(sweep)).items()
    assert place == "MViT, DAI"
    for line in (
        "as dropped: 5 dropped 75.0 %; 10 dropped 50.0 %",
        "linear: 5 dropped 90.0 %; 10 dropped 80.0 %",
        "distill, share=0.25: 5 dropped 95.0 %; 10 dropped 85.0 %",
        "distill, share=0.5: 5 dropped 97.5 %",
    ):
        assert line in chart.description


def test_the_report_tells_of_the_recovered_models_card(tmp_path: Path) -> None:
    path = write_recovered(tmp_path, "linear", 5, 38)
    results = json.loads((path / "results.json").read_text())
    assert sections.safety(read_sweep(path)) is None  # of the pruned model alone
    results["safety"]["recovered"] = results["safety"]["pruned"]
    (path / "results.json").write_text(json.dumps(results))
    found = sections.safety(read_sweep(path))
    assert found is not None
    header, rows = found.tables["By class"]
    assert header[3] == "Recovered"
    card = results["safety"]["recovered"]
    assert [row[0] for row in rows] == [one["name"] for one in card["groups"]["class"]]
    assert [row[-1] for row in rows] == [p_text(one["p_holm"]) for one in card["groups"]["class"]]
    assert len(found.flips) == len(card["flips"]) > 0
    write_report(path)
    page = (path / "report.html").read_text()
    assert 'id="safety"' in page
    assert f"The {len(card['flips'])} videos that turned wrong" in page
    # A page of a sweep has a row for each of its cells.
    write_cell(tmp_path, k=3, where="another")
    whole = sections.safety(read_sweep(tmp_path))
    assert whole is not None
    ((_, rows),) = whole.tables.values()
    assert sorted(row[3] for row in rows) == ["R", "R, linear"]


def test_a_sweep_without_recovery_has_none_of_it(tmp_path: Path) -> None:
    write_cell(tmp_path)
    assert sections.recovery(read_sweep(tmp_path)) == {}


def test_the_report_says_what_was_won_back(sweep: Path) -> None:
    write_report(sweep)
    page = (sweep / "report.html").read_text()
    assert "What recovery gives back" in page
    assert "Top-1 before and after recovery" in page
    single = next(sweep.glob("10-linear"))
    write_report(single)
    page = (single / "report.html").read_text()
    assert "recovered by linear" in page
    assert "as dropped 50.00 %, recovered by linear in 12 s" in page


def test_the_terminal_shows_all_three(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(json.loads((sweep / "10-linear" / "results.json").read_text()))
    shown = " ".join(capsys.readouterr().out.split())
    assert "│ Top-1 │ 97.50 % │ 50.00 % │ 80.00 % │ -17.50 │" in shown
    assert "Recovered in 12 s from 30 clips" in shown
