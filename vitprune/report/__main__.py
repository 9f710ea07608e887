"""Tables and page of a sweep or a run: ``python -m vitprune.report DIR``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vitprune.errors import exit_on_bad_input
from vitprune.report.writing import write_report


@exit_on_bad_input
def main(arguments: Sequence[str] | None = None) -> None:
    """Read the cells below a directory and write what tells of them into it."""
    parser = argparse.ArgumentParser(
        prog="python -m vitprune.report",
        description="Write report.html, and of a sweep Table 1 as table.md, table.csv and "
        "table.tex, and agreement.csv.",
    )
    parser.add_argument("directory", metavar="DIR", help="of a sweep, or of a run")
    write_report(parser.parse_args(arguments).directory)


if __name__ == "__main__":
    main()
