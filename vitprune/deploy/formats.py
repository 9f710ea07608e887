"""The formats that a model can be exported to, and which packages write and run them.

Nothing here imports any of them, so that a missing one is told of at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec

from vitprune.errors import InputError

EXTRA = "pip install 'vitprune[deploy]'"


@dataclass(frozen=True)
class Format:
    """One way in which a model is kept in a bundle.

    Attributes:
        file: what is opened to run it.
        beside: what lies beside that file and belongs to it.
        writers: packages that writing it needs.
        runners: packages that running it needs.
    """

    file: str
    beside: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    runners: tuple[str, ...] = ()


FORMATS = {
    "onnx": Format("model.onnx", writers=("onnx", "onnxscript"), runners=("onnxruntime",)),
    "openvino": Format(
        "model.xml", ("model.bin",), ("onnx", "onnxscript", "openvino"), ("openvino",)
    ),
    "torch": Format("model.pt2", runners=("torch",)),
}
"""By the name of the runtime that runs it; the first that can be run is a bundle's default."""
REDUCED = {"float16": (), "bfloat16": (), "int8": ("nncf",)}
"""Precisions that OpenVINO's models can have besides float32, and which packages make them."""


def runs(name: str) -> bool:
    """Whether what runs a format is installed."""
    return not _missing(FORMATS[name].runners)


def check_installed(names: Iterable[str], *, write: bool) -> None:
    """Refuse formats whose packages are not installed.

    Args:
        names: of the formats.
        write: whether they are written, and then checked, or only run.

    Raises:
        InputError: says which packages are missing and how to get them.
    """
    for name in names:
        one = FORMATS[name]
        if missing := _missing((*one.writers, *one.runners) if write else one.runners):
            what = "export" if write else "runtime"
            several = "are" if len(missing) > 1 else "is"
            raise InputError(
                f"{what}={name} needs {' and '.join(missing)}, which {several} not installed: "
                + EXTRA
            )


def check_precisions(precisions: Iterable[str], formats: Iterable[str]) -> None:
    """Refuse precisions that cannot be made.

    Args:
        precisions: names of :data:`REDUCED`.
        formats: that a model is exported to.

    Raises:
        InputError: OpenVINO is not among the formats, or a package is not installed.
    """
    formats = tuple(formats)
    for name in precisions:
        if "openvino" not in formats:
            raise InputError(f"deploy.precision=[{name}] is OpenVINO's; add openvino to export")
        if missing := _missing(REDUCED[name]):
            raise InputError(
                f"deploy.precision=[{name}] needs {missing[0]}, which is not installed: {EXTRA}"
            )


def _missing(packages: Iterable[str]) -> list[str]:
    return [package for package in dict.fromkeys(packages) if find_spec(package) is None]
