"""What exporting a model gave: every runtime beside torch, and every model beside the full one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from vitprune.report.formats import p_said
from vitprune.report.terminal import print_table

NAMES = ("Model", "Runtime")
HEADER = (
    *NAMES, "Top-1, %", "Against torch", "Deviation", "ms", "95th", "Of full", "FLOPs", "MB",
    "Peak MB",
)  # fmt: skip
EAGER = "eager"
"""The runtime of torch as vitprune itself runs it."""
KEYS = ("model", "runtime", "precision")
"""What tells rows apart."""

Rows = Sequence[Mapping[str, Any]]
"""As :func:`vitprune.deploy.measuring.measure` gives them."""


def print_exported(
    directory: str, exported: Mapping[str, Any], console: Console | None = None
) -> None:
    """The table on the terminal, in two parts, each as wide as terminals are: answers, and costs.

    Args:
        directory: of the bundle.
        exported: as ``results.json`` has it.
        console: where to.
    """
    rows, cut = exported_rows(exported), HEADER.index("ms")
    notes = [*exported_notes(exported), *quantised_so(exported)]
    print_table(f"Bundle {directory}", HEADER[:cut], [row[:cut] for row in rows], console)
    costs = [(*row[: len(NAMES)], *row[cut:]) for row in rows]
    print_table("What they cost", (*NAMES, *HEADER[cut:]), costs, console, notes)


def exported_rows(exported: Mapping[str, Any]) -> list[list[str]]:
    """Under :data:`HEADER`, a row for every model in every runtime and precision."""
    return [_row(row) for row in exported["measured"]]


def _row(row: Mapping[str, Any]) -> list[str]:
    shares, paired = row.get("of_full"), row.get("paired")
    return [
        row["model"],
        called(row),
        _top1(row) if "top1" in row else "",
        _changes(paired) if paired else "",
        "" if row["runtime"] == EAGER else f"{row['deviation']:.0e}",
        f"{row['latency_ms']:.3g}",
        f"{row['latency_p95_ms']:.3g}",
        f"{shares['latency']:.2f}" if shares else "",
        f"{shares['flops']:.2f}" if shares and shares["flops"] is not None else "",
        f"{row['bytes'] / 1e6:.3g}",
        f"{row['peak_bytes'] / 1e6:.0f}",
    ]


def called(row: Mapping[str, Any]) -> str:
    """A runtime and precision: ``torch, eager``, ``openvino int8``."""
    if row["runtime"] == EAGER:
        return "torch, eager"
    return " ".join(
        [row["runtime"], *([row["precision"]] if row["precision"] != "float32" else [])]
    )


def _top1(row: Mapping[str, Any]) -> str:
    low, high = row["top1_interval"]
    return f"{100 * row['top1']:.2f} ({100 * low:.1f}–{100 * high:.1f})"


def _changes(paired: Mapping[str, Any]) -> str:
    return f"−{paired['right_to_wrong']} +{paired['wrong_to_right']}, {p_said(paired['p_value'])}"


def exported_notes(exported: Mapping[str, Any]) -> list[str]:
    """What the columns mean, and where it was measured."""
    machine, batch = exported["machine"], exported["batch"] or 1
    threads = f"{machine['threads']} thread" + ("s" if machine["threads"] > 1 else "")
    clips = "one clip" if batch == 1 else f"{batch} clips at once"
    counts = sorted({row["videos"] for row in exported["measured"] if "videos" in row})
    top1 = [
        f"Top-1 of {count} test videos, with its 95 % interval (Wilson); against torch: how many "
        "of the same videos turned wrong (−) and right (+), and McNemar's exact p"
        for count in counts
    ]
    return [
        *top1,
        "Deviation: the largest difference of a logit from eager torch's, in float32",
        f"ms: latency of {clips}, median and 95th percentile, measured in turns, each in a process "
        f"of its own, on {machine['processor']} with {threads}; of full: its share of the full "
        "model's in the same runtime, beside that of FLOPs",
        "MB: on disk; at its peak, of the whole process: Python, NumPy, the runtime and the model",
    ]


def plain_table(measured: Rows) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of plain numbers, for a table that is sorted and filtered elsewhere."""
    flat = [_flat(row) for row in measured]
    columns = [*dict.fromkeys(column for row in flat for column in row)]
    return columns, [[row.get(column) for column in columns] for row in flat]


def by_name(measured: Rows) -> dict[str, dict[str, dict[str, Any]]]:
    """Name of a model -> runtime and precision -> its figures."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in measured:
        key = "_".join([row["runtime"], row["precision"]])
        figures = {name: value for name, value in _flat(row).items() if name not in KEYS}
        found.setdefault(row["model"], {})[key] = figures
    return found


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without nesting: what is nested has its place in its name."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name == "top1_interval":
            found["top1_low"], found["top1_high"] = value
        elif isinstance(value, Mapping):
            found |= {f"{name}_{inner}": one for inner, one in value.items()}
        else:
            found[name] = value
    return found


def quantised_so(exported: Mapping[str, Any]) -> list[str]:
    """Of every model in int8 what stayed in float, and what it changes, in words."""
    return [
        f"{name}: {'smoothed, ' * (known.get('way') == 'smooth')}{_in_float(known['float_layers'])}"
        f"{', the rest in bfloat16' * (known.get('rest') == 'bfloat16')}"
        f"; {known['loss']:.1f} % of the {known['clips']} calibration clips get another answer "
        "than in float32"
        for name, known in exported.get("quantised", {}).items()
    ]


def _in_float(layers: Sequence[int]) -> str:
    if not layers:
        return "no layer in float"
    return f"layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))} in float"
