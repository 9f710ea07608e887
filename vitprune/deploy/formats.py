"""The formats that a model can be exported to, their precisions, and what writes and runs them.

Nothing here imports any of them, so that a missing one is told of at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

from vitprune.errors import InputError, in_one_line

Reduced = Literal["float16", "bfloat16", "int8"]
"""The precisions besides float32, which every format has."""
EXTRA = "pip install 'vitprune[deploy]'"


@dataclass(frozen=True)
class Format:
    """One way in which a model is kept in a bundle.

    Attributes:
        file: what is opened to run it.
        beside: what lies beside that file and belongs to it.
        writers: packages that writing it needs.
        runners: packages that running it needs.
        reduced: its precisions besides float32, and which packages they need besides the writers.
    """

    file: str
    beside: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    runners: tuple[str, ...] = ()
    reduced: Mapping[Reduced, tuple[str, ...]] = field(default_factory=dict)

    @property
    def files(self) -> tuple[str, ...]:
        """All of them in float32, that which is opened first."""
        return (self.file, *self.beside)

    def files_in(self, precision: str) -> tuple[str, ...]:
        """What files of their own would be called in another precision."""
        return tuple(file.replace(".", f"-{precision}.") for file in self.files)


FORMATS = {
    "onnx": Format(
        "model.onnx",
        writers=("onnx", "onnxscript"),
        runners=("onnxruntime",),
        reduced={"int8": ()},
    ),
    "openvino": Format(
        "model.xml",
        ("model.bin",),
        writers=("onnx", "onnxscript", "openvino"),
        runners=("openvino",),
        reduced={"float16": (), "bfloat16": (), "int8": ("nncf",)},
    ),
    "torch": Format("model.pt2", runners=("torch",)),
}
"""By the name of the runtime that runs it; the first that can be run is a bundle's default."""


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


def having(precision: str, names: Iterable[str]) -> list[str]:
    """Those of some formats that have a precision besides float32."""
    return [name for name in names if precision in FORMATS[name].reduced]


def check_precisions(precisions: Iterable[Reduced], formats: Iterable[str]) -> None:
    """Refuse precisions that cannot be made.

    Args:
        precisions: besides float32.
        formats: that a model is exported to.

    Raises:
        InputError: none of the formats has the precision, or a package is not installed.
    """
    formats = tuple(formats)
    for precision in precisions:
        there = having(precision, formats)
        if not there:
            others = " or ".join(having(precision, FORMATS))
            raise InputError(f"deploy.precision=[{precision}] is of {others}; add it to export")
        if missing := _missing(p for name in there for p in FORMATS[name].reduced[precision]):
            raise InputError(
                f"deploy.precision=[{precision}] needs {missing[0]}, which is not installed: "
                + EXTRA
            )


def _missing(packages: Iterable[str]) -> list[str]:
    return [package for package in dict.fromkeys(packages) if find_spec(package) is None]


PLACES = re.compile(r"Exception from \S+|Check '.*?' failed at \S+")
"""Lines of OpenVINO's own source, which its messages begin with."""


def said_by(error: BaseException) -> str:
    """What an exporter or a runtime says of what it cannot do, in one line that is not too long."""
    return (" ".join(PLACES.sub("", str(error)).split()) or in_one_line(error))[:300]
