"""What is printed on a terminal."""

import json
from io import StringIO
from pathlib import Path

from made_up_cells import write_cell
from rich.console import Console

from vitprune.report.terminal import interval_of, print_comparison, print_table


def test_names_are_folded_not_cut() -> None:
    out = StringIO()
    names = ["phone_with_the_right_hand", "phone_with_the_left_hand"]
    print_table("", ["class", "Top-1"], [[name, "100 %"] for name in names],
                Console(file=out, width=24))  # fmt: skip
    assert "…" not in out.getvalue()
    first_column = "".join(line.split("│")[1].strip() for line in out.getvalue().splitlines()
                           if line.startswith("│"))  # fmt: skip
    assert first_column == "".join(names)


def test_top1_comes_with_its_interval_also_where_all_answers_are_right(tmp_path: Path) -> None:
    path = write_cell(tmp_path, right=1.0)
    out = StringIO()
    results = json.loads((path / "results.json").read_text())
    print_comparison(results, Console(file=out, width=100))
    (line,) = [line for line in out.getvalue().splitlines() if "95 % interval" in line]
    full, pruned = (column.strip() for column in line.split("│")[2:4])
    assert (full, pruned) == ("87.1 to 99.6", "91.2 to 100.0")
    assert interval_of(results["full"]["top1"], 40) == full


def test_classes_that_lose_are_named(tmp_path: Path) -> None:
    for right, expected in (
        (0.8, "5 points: b 100 to 80 % (10 videos, p = 1), c 100 to 80 %"),
        (1.0, "Classes that lost more than 5 points: none Expected calibration error 2.0 to 8.1 %"),
    ):
        path, out = write_cell(tmp_path / str(right), right=right), StringIO()
        print_comparison(json.loads((path / "results.json").read_text()), Console(file=out))
        assert expected in " ".join(out.getvalue().split())


def test_a_search_says_what_it_came_to(tmp_path: Path) -> None:
    results = json.loads((write_cell(tmp_path) / "results.json").read_text())
    results["search"] = {"evaluated": 129, "divergence": {"start": 0.0582, "found": 0.0317}}
    out = StringIO()
    print_comparison(results, Console(file=out, width=100))
    assert "Search: 129 sets of units, divergence 0.0582 to 0.0317 bits" in out.getvalue()
    assert "5 layers found by a search and dropped" in out.getvalue()


def test_a_recovered_model_has_a_column_and_its_tests(tmp_path: Path) -> None:
    path = write_cell(tmp_path, right=0.5)
    results = json.loads((path / "results.json").read_text())
    plain = StringIO()
    print_comparison(results, Console(file=plain, width=120))
    assert "recovered" not in plain.getvalue().lower()
    results["recover"] = {"name": "distill"}
    results["recovered"] = {**results["pruned"], "top1": 0.9, "parameters": 1.05e6}
    results["recovery"] = {
        "seconds": 61.2,
        "clips": 170,
        "paired": {
            "pruned": {"right_to_wrong": 3, "wrong_to_right": 17, "p_value": 0.00258},
            "full": {"right_to_wrong": 2, "wrong_to_right": 1, "p_value": 1.0},
        },
    }
    results["views"] = {"left": {"videos": 20, "full": 0.9, "pruned": 0.5, "recovered": 0.8}}
    out = StringIO()
    print_comparison(results, Console(file=out, width=120))
    text = " ".join(out.getvalue().split())
    assert "recovered by distill" in text
    rows = {
        cells[0].strip(): [cell.strip() for cell in cells[1:5]]
        for cells in (line.split("│")[1:] for line in out.getvalue().splitlines() if "│" in line)
    }
    share = 100 * results["pruned"]["top1"]
    change = 90 - 100 * results["full"]["top1"]
    assert rows["Top-1"][1:] == [f"{share:.2f} %", "90.00 %", f"{change:+.2f}"]
    assert rows["left (20)"] == ["90.00 %", "50.00 %", "80.00 %", "-10.00"]
    assert rows["Parameters"][2:] == ["1.05 M", "+5.0 %"]
    assert (
        "Recovered in 61 s from 170 clips: from the pruned model 3 went from right to wrong and "
        "17 from wrong to right (McNemar's exact p = 0.00258); from the full model 2 went from "
        "right to wrong and 1 from wrong to right (McNemar's exact p = 1)"
    ) in text
