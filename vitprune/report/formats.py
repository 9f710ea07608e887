"""Table 1 and the comparison of metrics as Markdown, CSV, LaTeX and on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from vitprune.results.paper import counted, title
from vitprune.results.table1 import FIELDS, FULL, Table1, TableRow

MISSING = "—"
WORDS = {"missing": MISSING, "failed": "failed", "started": "unfinished"}
FULL_MODEL = "full model"
ALPHA = 0.05

HEADER = ("Model", "Pruned layer relevance", "Importance metric")
TEST_HEADER = (
    "Model", "Dataset", "Relevance", "Metrics", "Top-1 change", "Right with one only", "p",
    "p (Holm)",
)  # fmt: skip


def figure(value: float | None) -> str:
    """A percentage as the paper writes it; an em dash for none."""
    return MISSING if value is None else f"{value:.2f}"


def interval(entry: Any) -> str:
    """``95.8–100.0``, over several seeds ``± 1.20, 3 seeds``; empty where there is none."""
    if entry.spread is not None:
        return f"± {entry.spread:.2f}, {entry.seeds} seeds"
    return "" if entry.low is None else f"{entry.low:.1f}–{entry.high:.1f}"


def entry_text(entry: Any) -> str:
    """The figure with its interval, or why there is none."""
    if entry.state != "finished":
        return WORDS[entry.state]
    if entry.spread is not None:
        return f"{figure(entry.top1)} ± {entry.spread:.2f}"
    between = interval(entry)
    return figure(entry.top1) + (f" [{between}]" if between else "")


def p_text(p: float) -> str:
    """A p-value to two digits; an em dash for nan."""
    if pd.isna(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def p_said(p: float) -> str:
    """A p-value in a sentence: ``p = 0.03``, ``p < 0.001``."""
    text = p_text(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def header(table: Table1) -> list[str]:
    """The columns' names."""
    names = list(HEADER)
    for dataset in table.datasets:
        names.append(title(dataset))
        if dataset in table.from_paper:
            names.append(f"{title(dataset)}, paper")
    return names


def body(table: Table1) -> list[list[str]]:
    """Every row's texts; a model is named in its first row, a direction likewise."""
    lines = []
    before: TableRow | None = None
    for row in table.rows:
        same_group = before is not None and before.group == row.group
        same_direction = same_group and before is not None and before.direction == row.direction
        texts = [
            "" if same_group else row.group.label,
            "" if same_direction else FULL_MODEL if row.direction == FULL else row.direction,
            row.metric,
        ]
        for entry in row.entries:
            texts.append(entry_text(entry))
            if entry.dataset in table.from_paper:
                texts.append("" if row.direction == FULL else figure(entry.paper))
        lines.append(texts)
        before = row
    return lines


def notes(table: Table1, older: int = 0) -> list[str]:
    """What a reader must know to read the table, one sentence or two each."""
    videos = ", ".join(f"{count} of {title(name)}" for name, count in table.videos.items())
    lines = [
        f"Top-1 in percent on the test videos ({videos or 'none evaluated'}), with Wilson's 95 % "
        "interval. It takes the videos as drawn one by one: where several are of one driver or "
        "group, it is too narrow. It is about one trained model, not about training it again."
    ]
    if seeds := sorted(set(table.entries["seeds"][table.entries["spread"].notna()])):
        how_many = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        lines = [
            f"Top-1 in percent on the test videos ({videos}): the mean over {how_many} seeds, "
            "each a fine-tuning of its own, ± the standard deviation over them. Of a single seed "
            "with Wilson's 95 % interval."
        ]
    if table.on_test:
        lines.append(
            f"{table.on_test} cells measured relevance on the test split itself, so that their "
            "Top-1 is optimistic."
        )
    if table.from_paper:
        lines.append("Paper: the figure in Table 1 of the paper's supplement.")
    if count := table.count("missing"):
        lines.append(f"{count} of {table.count()} cells missing ({MISSING}).")
    if count := table.count("started"):
        lines.append(f"{count} of {table.count()} cells unfinished: started, without results.")
    if older:
        lines.append(f"{older} older cells with the same settings are not shown.")
    lines += [f"Leakage: {place}: {how}." for place, how in table.leakage]
    lines += [f"Left out: {place}: {how}." for place, how in table.left_out]
    lines += [f"Failed: {place}: {error}" for place, error in table.failures]
    return lines


def verdict(pairs: pd.DataFrame) -> str:
    """Whether the metrics differ, in one or two sentences."""
    if pairs.empty:
        return "No two metrics to compare."
    same, tested = (pairs["jaccard"] == 1).sum(), pairs["p_holm"].dropna()
    word = "pair" if len(pairs) == 1 else "pairs"
    text = f"Of {len(pairs)} {word} of metrics {same} drop the same units."
    if len(tested):
        text += (
            f" Of the {len(tested)} tested, {(tested < ALPHA).sum()} differ in Top-1 at the "
            f"{100 * ALPHA:.0f} % level after Holm's correction (smallest p "
            f"{p_text(tested.min())})."
        )
    return text


def tests(pairs: pd.DataFrame) -> list[list[str]]:
    """The rows of the table of paired tests: pairs of metrics that drop different units."""
    rows = []
    for pair in pairs[pairs["jaccard"] < 1].itertuples():
        change = both = MISSING
        if pd.notna(pair.top1_change):
            between = f" [{signed(pair.low, 1)}, {signed(pair.high, 1)}]"
            change = signed(pair.top1_change, 2) + (between if pd.notna(pair.low) else "")
            both = f"{pair.only_first} / {pair.only_second}"
        place = [pair.group.name, title(pair.dataset), pair.direction]
        metrics = f"{pair.first} → {pair.second}"
        rows.append([*place, metrics, change, both, p_text(pair.p), p_text(pair.p_holm)])
    return rows


def agreement(pairs: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of agreement: tau and overlaps of every pair of metrics."""
    directions = list(pairs["direction"].unique())
    names = ["Model", "Dataset", "Metrics", "Kendall τ", *(f"Overlap, {d}" for d in directions)]
    rows = []
    for place, found in pairs.groupby(["group", "dataset", "first", "second"], sort=False):
        group, dataset, first, second = place
        overlaps = found.set_index("direction")["jaccard"].reindex(directions)
        figures = [found["kendall_tau"].bfill().iloc[0], *overlaps]
        texts = [MISSING if pd.isna(value) else f"{value:.2f}" for value in figures]
        rows.append([group.name, title(dataset), f"{first}, {second}", *texts])
    return names, rows


TESTS = (
    "Top-1 change: from the first metric to the second, in percentage points, with its 95 % "
    "bootstrap interval over the same videos; none where all change alike, as resampling then "
    "tells nothing of other videos. Right with one only: how many videos only the first, or only "
    "the second, gets right. p: McNemar's exact test; Holm: corrected for all tests of this table."
)
AGREEMENT = (
    "Kendall's τ of the relevances of all units, and how much the sets of dropped units overlap "
    "(Jaccard index), by direction."
)


def markdown(table: Table1, pairs: pd.DataFrame, older: int = 0) -> str:
    """Both tables with their notes."""
    parts = [
        "# Table 1",
        markdown_table(header(table), body(table), len(HEADER)),
        "\n".join(f"- {_plain(note)}" for note in notes(table, older)),
    ]
    if len(pairs):
        parts += ["## Do the metrics differ?", verdict(pairs)]
        if rows := tests(pairs):
            parts += [markdown_table(TEST_HEADER, rows, 4), TESTS]
        parts += [markdown_table(*agreement(pairs), 3), AGREEMENT]
    return "\n\n".join(parts) + "\n"


def table_csv(table: Table1) -> str:
    """``table.csv``: plain figures, empty where there are none."""
    by_dataset = [
        table.entries[table.entries["dataset"] == name].reset_index(drop=True)
        for name in table.datasets
    ]
    rows = named(by_dataset[0]) if by_dataset else pd.DataFrame()
    columns = [rows.filter(["model", "k", "settings", "direction", "metric"])]
    columns += [
        entries[FIELDS].add_prefix(f"{name}_")
        for name, entries in zip(table.datasets, by_dataset, strict=True)
    ]
    return as_csv(pd.concat(columns, axis=1))


def agreement_csv(pairs: pd.DataFrame) -> str:
    """``agreement.csv``."""
    return as_csv(named(pairs))


def named(rows: pd.DataFrame) -> pd.DataFrame:
    """With a column each for what tells a group from another, in front."""
    groups = pd.DataFrame(
        [(group.model, group.k, " ".join(group.varying)) for group in rows["group"]],
        rows.index,
        ["model", "k", "settings"],
    )
    return groups.astype({"k": "Int64"}).join(rows.drop(columns="group"))


def as_csv(rows: pd.DataFrame) -> str:
    """Plain figures, empty where there are none."""
    return rows.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def latex(table: Table1, pairs: pd.DataFrame, older: int = 0) -> str:
    """Table 1 as a LaTeX table, shrunk to the text's width where it is wider.

    It needs the packages booktabs and graphicx.
    """
    columns = "lll" + "r" * (len(header(table)) - len(HEADER))
    lines = [
        r"% \usepackage{booktabs,graphicx}",
        r"\begin{table}",
        r"\centering",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(_latex, header(table))) + r" \\",
    ]
    for texts in body(table):
        if texts[0]:
            lines.append(r"\midrule")
        elif texts[1]:
            lines.append(rf"\cmidrule(l){{2-{len(texts)}}}")
        row = [r"$\Delta$Prob" if text == "dProb" else _latex(text) for text in texts]
        lines.append(" & ".join(row) + r" \\")
    caption = " ".join(map(_latex, [*notes(table, older), verdict(pairs)]))
    lines += [r"\bottomrule", r"\end{tabular}}", rf"\caption{{{caption}}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def print_tables(table: Table1, pairs: pd.DataFrame, older: int = 0) -> None:
    """Both tables with their notes, on the terminal."""
    console = Console()
    print_grid(console, "Table 1", header(table), body(table), len(HEADER))
    for note in notes(table, older):
        console.print(f"- {note}", highlight=False, markup=False)
    if len(pairs):
        console.print()
        if tested := tests(pairs):
            print_grid(console, "Paired tests of metrics", TEST_HEADER, tested, 4)
        print_grid(console, "Agreement of metrics", *agreement(pairs), 3)
        console.print(verdict(pairs), highlight=False)


def print_grid(
    console: Console, name: str, names: Sequence[str], rows: Sequence[Sequence[str]], left: int
) -> None:
    """Rows under their names, with a rule where the first column changes."""
    grid = Table(
        *names, title=name, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for column in grid.columns[left:]:
        column.justify = "right"
    before = ""
    for row in rows:
        if before and row[0] not in ("", before):
            grid.add_section()
        before = row[0] or before
        grid.add_row(*row)
    console.print(grid)


def signed(value: float, digits: int) -> str:
    """A change with its sign, and without one where it rounds to 0."""
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else f"{0:.{digits}f}"


def markdown_table(names: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """Rows under their names, all but the ``left`` first columns set right."""
    rule = ["---"] * left + ["---:"] * (len(names) - left)
    lines = [names, rule, *([_plain(text) for text in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _plain(text: str) -> str:
    return text.replace("|", r"\|")


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "—": "---",
    "–": "--", "→": r"$\to$", "−": "$-$", "τ": r"$\tau$", "<": r"\textless{}",
    ">": r"\textgreater{}",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def what_went(results: Mapping[str, Any]) -> str:
    """``5 layers with the lowest R dropped``, or ``5 layers found by a search and dropped``.

    Args:
        results: of a job.
    """
    units = counted(results["k"], results["scope"])
    if results.get("search"):
        return f"{units} found by a search and dropped"
    return f"{units} with the {results['direction']} {results['metric']} dropped"
