"""A classifier -> a bundle, and a bundle -> answers.

A *bundle* is a directory with everything that is needed to run a model without vitprune or torch.
It is read by `bundle`, with `clips` (videos to clips), `runtimes` (files to models) and `verify`
(the command that runs a bundle against its own check); none of them needs torch. It is made by
`exporting`, with `program` (a model as a program, and the formats that it is written in),
`decompositions` (operators in other words), `translations` with `attention`, and `ranks` (what
runtimes and devices take of it), and `precision` with `quantisation` (int8). `formats` says what
can be in a bundle, `description` what `bundle.json` says. `measuring` compares bundles with each
other and with torch, each model in a `process` of its own, by `timing`. `module` makes a bundle a
model for vitprune's own evaluation.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitprune.deploy.bundle import Bundle
    from vitprune.deploy.exporting import export

__all__ = ["Bundle", "export"]

_PLACES = {"Bundle": "bundle", "export": "exporting"}


def __getattr__(name: str) -> Any:
    # Late: who reads bundles has no torch, which exporting needs.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
