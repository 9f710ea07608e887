"""What exporting gave, as a table."""

from io import StringIO

from rich.console import Console

from vitprune.report.exported import HEADER, exported_rows, print_exported

EXPORTED = {
    "measured": [
        {"model": "torch, eager", "deviation": 0.0, "bytes": None, "latency_ms": 20.0,
         "latency_p95_ms": 25.0},
        {"model": "openvino int8", "deviation": 0.123, "bytes": 1_230_000, "latency_ms": 4.0,
         "latency_p95_ms": 5.0, "top1": 0.9},
    ],
    "machine": {"processor": "Some CPU", "cpus": 2, "threads": 1},
    "quantised": {
        "onnx int8": {"clips": 128, "loss": 0.78125, "float_layers": [3, 7], "max_loss": 1.0},
        "openvino int8": {"clips": 128, "loss": 0.0, "float_layers": [], "max_loss": None},
    },
}  # fmt: skip


def test_torch_has_no_deviation_and_no_file() -> None:
    by_torch, reduced = exported_rows(EXPORTED)
    assert by_torch == ["torch, eager", "", "20 ms", "25 ms", "", ""]
    assert reduced == ["openvino int8", "1.2e-01", "4 ms", "5 ms", "1.23 MB", "90.00 %"]
    assert len(by_torch) == len(HEADER)


def test_the_table_says_where_it_was_measured() -> None:
    out = StringIO()
    print_exported("runs/bundle", EXPORTED, Console(file=out, width=200))
    assert "Bundle runs/bundle" in out.getvalue()
    assert "on Some CPU with 1 thread\n" in out.getvalue()
    assert (
        "onnx int8: layers 3, 7 in float; 0.8 % of the 128 calibration clips get another answer"
    ) in out.getvalue()
    assert "openvino int8: no layer in float; 0.0 % of the 128" in out.getvalue()
