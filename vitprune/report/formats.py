"""Table 1 and the comparison of metrics as Markdown, CSV, LaTeX and on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from vitprune.results.agreement import MetricPair
from vitprune.results.paper import title
from vitprune.results.table1 import Entry, Row, Table1

MISSING = "—"
WORDS = {"missing": MISSING, "failed": "failed", "started": "unfinished"}
ALPHA = 0.05

HEADER = ("Model", "Pruned layer relevance", "Importance metric")
TEST_HEADER = (
    "Model", "Dataset", "Relevance", "Metrics", "Top-1 change", "Right with one only", "p",
    "p (Holm)",
)  # fmt: skip


def figure(value: float | None) -> str:
    """A percentage as the paper writes it; an em dash for none."""
    return MISSING if value is None else f"{value:.2f}"


def interval(entry: Entry) -> str:
    """``95.8–100.0``; empty where there is none."""
    return "" if entry.interval is None else "{:.1f}–{:.1f}".format(*entry.interval)


def entry_text(entry: Entry) -> str:
    """The figure with its interval, or why there is none."""
    if entry.state != "finished":
        return WORDS[entry.state]
    between = interval(entry)
    return figure(entry.top1) + (f" [{between}]" if between else "")


def p_text(p: float | None) -> str:
    """A p-value to two digits; an em dash for none."""
    if p is None:
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def header(table: Table1) -> list[str]:
    """The columns' names."""
    names = list(HEADER)
    for dataset in table.datasets:
        names.append(title(dataset))
        if dataset in table.from_paper:
            names.append(f"{title(dataset)}, paper")
    return names


def body(table: Table1) -> list[tuple[Row, list[str]]]:
    """Every row with its texts; a model is named in its first row, a direction likewise."""
    lines = []
    before: Row | None = None
    for row in table.rows:
        same_group = before is not None and before.group == row.group
        same_direction = same_group and before is not None and before.direction == row.direction
        texts = [
            "" if same_group else row.group.label,
            "" if same_direction else row.direction or "full model",
            row.metric or "",
        ]
        for dataset, entry in zip(table.datasets, row.entries, strict=True):
            texts.append(entry_text(entry))
            if dataset in table.from_paper:
                texts.append("" if row.metric is None else figure(entry.paper))
        lines.append((row, texts))
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
    lines += [f"Failed: {place}: {error}" for place, error in table.failures]
    return lines


def verdict(comparisons: Sequence[MetricPair]) -> str:
    """Whether the metrics differ, in one or two sentences."""
    if not comparisons:
        return "No two metrics to compare."
    same = sum(c.overlap == 1 for c in comparisons)
    tested = [c.p_holm for c in comparisons if c.p_holm is not None]
    pairs = "pair" if len(comparisons) == 1 else "pairs"
    text = f"Of {len(comparisons)} {pairs} of metrics {same} drop the same layers."
    if tested:
        different = sum(p < ALPHA for p in tested)
        text += (
            f" Of the {len(tested)} tested, {different} differ in Top-1 at the "
            f"{100 * ALPHA:.0f} % level after Holm's correction (smallest p {p_text(min(tested))})."
        )
    return text


def tests(comparisons: Sequence[MetricPair]) -> list[list[str]]:
    """The rows of the table of paired tests: pairs of metrics that drop different layers."""
    rows = []
    for c in comparisons:
        if c.overlap == 1:
            continue
        change = MISSING
        if c.change is not None:
            between = [signed(x, 1) for x in c.interval or ()]
            change = signed(c.change, 2) + (f" [{', '.join(between)}]" if between else "")
        both = MISSING if c.change is None else f"{c.only_first} / {c.only_second}"
        place = [c.group.name, title(c.dataset), c.direction, f"{c.first} → {c.second}"]
        rows.append([*place, change, both, p_text(c.p), p_text(c.p_holm)])
    return rows


def agreement(comparisons: Sequence[MetricPair]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of agreement: tau and overlaps of every pair of metrics."""
    directions = list(dict.fromkeys(c.direction for c in comparisons))
    names = ["Model", "Dataset", "Metrics", "Kendall τ", *(f"Overlap, {d}" for d in directions)]
    by_place: dict[tuple[str, str, tuple[str, str]], dict[str, MetricPair]] = {}
    for c in comparisons:
        place = (c.group.name, c.dataset, (c.first, c.second))
        by_place.setdefault(place, {})[c.direction] = c
    rows = []
    for (group, dataset, (first, second)), found in by_place.items():
        tau = next((c.tau for c in found.values() if c.tau is not None), None)
        overlaps = [f"{found[d].overlap:.2f}" if d in found else MISSING for d in directions]
        shown = MISSING if tau is None else f"{tau:.2f}"
        rows.append([group, title(dataset), f"{first}, {second}", shown, *overlaps])
    return names, rows


TESTS = (
    "Top-1 change: from the first metric to the second, in percentage points, with its 95 % "
    "bootstrap interval over the same videos; none where all change alike, as resampling then "
    "tells nothing of other videos. Right with one only: how many videos only the first, or only "
    "the second, gets right. p: McNemar's exact test; Holm: corrected for all tests of this table."
)
AGREEMENT = (
    "Kendall's τ of the relevances of all layers, and how much the sets of dropped layers overlap "
    "(Jaccard index), by direction."
)


def markdown(table: Table1, comparisons: Sequence[MetricPair], older: int = 0) -> str:
    """Both tables with their notes."""
    parts = [
        "# Table 1",
        _markdown_table(header(table), [texts for _, texts in body(table)], len(HEADER)),
        "\n".join(f"- {_plain(note)}" for note in notes(table, older)),
    ]
    if comparisons:
        parts += ["## Do the metrics differ?", verdict(comparisons)]
        if rows := tests(comparisons):
            parts += [_markdown_table(TEST_HEADER, rows, 4), TESTS]
        parts += [_markdown_table(*agreement(comparisons), 3), AGREEMENT]
    return "\n\n".join(parts) + "\n"


def table_rows(table: Table1) -> tuple[list[str], list[list[object]]]:
    """Header and rows of ``table.csv``: plain figures, empty where there are none."""
    names = ["model", "k", "settings", "direction", "metric"]
    fields = ("state", "top1", "low", "high", "paper", "error")
    names += [f"{dataset}_{field}" for dataset in table.datasets for field in fields]
    rows = []
    for row in table.rows:
        group = row.group
        settings = " ".join(group.settings)
        line: list[object] = [
            group.model, group.k, settings, row.direction or "full", row.metric
        ]  # fmt: skip
        for entry in row.entries:
            between = entry.interval or (None, None)
            line += [entry.state, *map(_number, (entry.top1, *between, entry.paper)), entry.error]
        rows.append(line)
    return names, rows


def comparison_rows(comparisons: Sequence[MetricPair]) -> tuple[list[str], list[list[object]]]:
    """Header and rows of ``agreement.csv``."""
    names = [
        "model", "k", "settings", "dataset", "direction", "first", "second", "top1_change", "low",
        "high", "only_first", "only_second", "p", "p_holm", "kendall_tau", "jaccard",
    ]  # fmt: skip
    rows: list[list[object]] = []
    for c in comparisons:
        between = c.interval or (None, None)
        counts = (None, None) if c.change is None else (c.only_first, c.only_second)
        settings = " ".join(c.group.settings)
        place = [c.group.model, c.group.k, settings, c.dataset, c.direction, c.first, c.second]
        figures = [*map(_number, (c.change, *between)), *counts]
        rows.append([*place, *figures, *map(_number, (c.p, c.p_holm, c.tau, c.overlap))])
    return names, rows


def latex(table: Table1, comparisons: Sequence[MetricPair], older: int = 0) -> str:
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
    for row, texts in body(table):
        if texts[0]:
            lines.append(r"\midrule")
        elif texts[1]:
            lines.append(rf"\cmidrule(l){{2-{len(texts)}}}")
        metric = [r"$\Delta$Prob" if row.metric == "dProb" else _latex(texts[2])]
        lines.append(
            " & ".join([*map(_latex, texts[:2]), *metric, *map(_latex, texts[3:])]) + r" \\"
        )
    caption = " ".join(map(_latex, [*notes(table, older), verdict(comparisons)]))
    lines += [r"\bottomrule", r"\end{tabular}}", rf"\caption{{{caption}}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def print_tables(
    table: Table1,
    comparisons: Sequence[MetricPair],
    older: int = 0,
    console: Console | None = None,
) -> None:
    """Both tables with their notes, on the terminal."""
    console = console or Console()
    rows = [texts for _, texts in body(table)]
    _print(console, "Table 1", header(table), rows, len(HEADER))
    for note in notes(table, older):
        console.print(f"- {note}", highlight=False, markup=False)
    if comparisons:
        console.print()
        if tested := tests(comparisons):
            _print(console, "Paired tests of metrics", TEST_HEADER, tested, 4)
        _print(console, "Agreement of metrics", *agreement(comparisons), 3)
        console.print(verdict(comparisons), highlight=False)


def _print(
    console: Console, name: str, names: Sequence[str], rows: Sequence[Sequence[str]], left: int
) -> None:
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


def _markdown_table(names: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
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


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
