"""What exporting gave, as a table."""

from io import StringIO
from typing import Any

from rich.console import Console

from vitprune.report.exported import HEADER, by_name, exported_rows, plain_table, print_exported

EXPORTED: dict[str, Any] = {
    "batch": 1,
    "measured": [
        {"model": "full", "runtime": "eager", "precision": "float32", "top1": 0.95,
         "top1_interval": [0.9, 0.98], "videos": 100, "deviation": 0.0, "latency_ms": 20.0,
         "latency_p95_ms": 25.0, "bytes": 9_000_000, "peak_bytes": 700_000_000},
        {"model": "pruned", "runtime": "openvino", "precision": "int8", "top1": 0.9,
         "top1_interval": [0.8, 0.97], "videos": 100, "deviation": 0.123, "latency_ms": 4.0,
         "latency_p95_ms": 5.0, "bytes": 1_230_000, "peak_bytes": 120_400_000,
         "paired": {"videos": 100, "right_to_wrong": 3, "wrong_to_right": 2, "p_value": 1.0},
         "of_full": {"latency": 0.7, "flops": 0.66}},
        {"model": "pruned", "runtime": "onnx", "precision": "float32", "deviation": 1e-6,
         "latency_ms": 4.0, "latency_p95_ms": 5.0, "bytes": 1_230_000, "peak_bytes": 60_000_000,
         "of_full": {"latency": 0.7, "flops": None}},
    ],
    "machine": {"processor": "Some CPU", "cpus": 2, "threads": 1},
    "quantised": {
        "onnx int8": {"clips": 128, "loss": 0.78125, "float_layers": [3, 7], "max_loss": 1.0},
        "openvino int8": {"clips": 128, "loss": 0.0, "float_layers": [], "max_loss": None,
                          "way": "smooth"},
    },
}  # fmt: skip


def test_a_row_for_every_model_in_every_runtime() -> None:
    eager, reduced, untested = exported_rows(EXPORTED)
    assert eager == ["full", "torch, eager", "95.00 (90.0–98.0)", "", "", "20", "25", "", "", "9",
                     "700"]  # fmt: skip
    assert reduced == ["pruned", "openvino int8", "90.00 (80.0–97.0)", "−3 +2, p = 1", "1e-01",
                       "4", "5", "0.70", "0.66", "1.23", "120"]  # fmt: skip
    assert untested == ["pruned", "onnx", "", "", "1e-06", "4", "5", "0.70", "", "1.23", "60"]
    assert len(eager) == len(HEADER)


def test_the_table_says_where_it_was_measured() -> None:
    out = StringIO()
    print_exported("runs/bundle", EXPORTED, Console(file=out, width=400))
    assert "Bundle runs/bundle" in out.getvalue()
    narrow = StringIO()
    print_exported("runs/bundle", EXPORTED, Console(file=narrow, width=80))
    for whole in ("openvino int8", "90.00 (80.0–97.0)", "−3 +2, p = 1", "torch, eager"):
        assert whole in narrow.getvalue()
    assert "Top-1 of 100 test videos" in out.getvalue()
    assert "latency of one clip" in out.getvalue()
    assert "on Some CPU with 1 thread;" in out.getvalue()
    assert (
        "onnx int8: layers 3, 7 in float; 0.8 % of the 128 calibration clips get another answer"
    ) in out.getvalue()
    assert "openvino int8: smoothed, no layer in float; 0.0 % of the 128" in out.getvalue()
    out = StringIO()
    machine = {**EXPORTED["machine"], "threads": 2}
    print_exported("b", {**EXPORTED, "batch": 4, "machine": machine}, Console(file=out, width=400))
    assert "latency of 4 clips at once" in out.getvalue()
    assert "with 2 threads;" in out.getvalue()


def test_the_same_as_plain_numbers() -> None:
    columns, rows = plain_table(EXPORTED["measured"])
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [row["top1_low"] for row in found] == [0.9, 0.8, None]
    assert [row["paired_right_to_wrong"] for row in found] == [None, 3, None]
    assert [row["of_full_flops"] for row in found] == [None, 0.66, None]
    named = by_name(EXPORTED["measured"])
    assert named["pruned"]["openvino_int8"]["peak_bytes"] == 120_400_000
    assert "runtime" not in named["pruned"]["onnx_float32"]
    assert list(named) == ["full", "pruned"]
