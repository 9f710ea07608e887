"""What is printed on a terminal that is not wide."""

from io import StringIO

from rich.console import Console

from vitprune.reporting import print_table


def test_names_are_folded_not_cut() -> None:
    out = StringIO()
    names = ["phone_with_the_right_hand", "phone_with_the_left_hand"]
    print_table("", ["class", "Top-1"], [[name, "100 %"] for name in names],
                Console(file=out, width=24))  # fmt: skip
    assert "…" not in out.getvalue()
    first_column = "".join(line.split("│")[1].strip() for line in out.getvalue().splitlines()
                           if line.startswith("│"))  # fmt: skip
    assert first_column == "".join(names)
