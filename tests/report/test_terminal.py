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
