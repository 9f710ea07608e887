"""What can be ablated: a layer, one of its branches, or one attention head."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import total_ordering

from vitprune.models.chain import Attention, Block, Branch, VideoTransformer

SCOPES = ("layer", "attention", "mlp", "head")


WRITTEN = re.compile(r"(\d+)(?:(?:\.|h|\.([^\W\d]\w*)\.h?)(\d+))?", re.ASCII)
"""Layer; layer and head; layer, attention and head."""


@total_ordering
@dataclass(frozen=True)
class Unit:
    """A unit, written ``layer``, ``layer.head`` or ``layer.attention.head``.

    Units sort in order of execution: by layer, then by attention, then by head.

    Attributes:
        layer: the layer's number in the unpruned model.
        head: the head, in scope ``head``.
        attention: the name of the attention that the head belongs to, where the layer has several;
            empty for the layer's last one.

    Example:
        >>> str(Unit(22, 4)), str(Unit(3, 5, "time"))
        ('22.4', '3.time.5')
        >>> [str(unit) for unit in sorted(map(Unit.parse, ["10.0", "3.5", "3.time.5"]))]
        ['3.time.5', '3.5', '10.0']
    """

    layer: int
    head: int | None = None
    attention: str = ""

    def __str__(self) -> str:
        parts = [str(self.layer), self.attention, "" if self.head is None else str(self.head)]
        return ".".join(part for part in parts if part)

    def __lt__(self, other: Unit) -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[int, bool, str, int]:
        head = -1 if self.head is None else self.head
        return (self.layer, not self.attention, self.attention, head)

    @classmethod
    def parse(cls, text: str) -> Unit:
        """The unit that is written ``text``: ``3``, ``22.10`` or ``3.time.5``.

        An ``h`` may mark a head's number: ``22h10`` is ``22.10``, and ``3.time.h5`` is
        ``3.time.5``. So no reader of configurations takes head 22.10 for the number 22.1.

        A layer's last attention may be named as well; :func:`resolved` takes the name off.

        Raises:
            ValueError: it is none of these.
        """
        if not (found := WRITTEN.fullmatch(text)):
            raise ValueError(f"{text!r} is no unit; write 3, 3.5 (or 3h5) or 3.time.5")
        layer, attention, head = found.groups()
        return cls(int(layer), None if head is None else int(head), attention or "")


def check_scope(scope: str) -> None:
    """Raises ValueError, naming the scopes, if ``scope`` is none of them."""
    if scope not in SCOPES:
        raise ValueError(f"scope={scope!r} is not one of {', '.join(SCOPES)}")


def units_of(model: VideoTransformer, scope: str = "layer") -> list[Unit]:
    """All units of ``model`` in a scope, in order of execution.

    In the scopes ``layer``, ``attention`` and ``mlp`` there is one per layer that the model has;
    a layer without such a branch is left out.

    Raises:
        ValueError: an unknown scope.
    """
    check_scope(scope)
    blocks = blocks_of(model)
    if scope != "head":
        return [Unit(block.index) for block in blocks if branches_of(block, scope)]
    return [
        Unit(block.index, head, name)
        for block in blocks
        for name, attention in named_attentions(block).items()
        for head in range(attention.num_heads)
    ]


def resolved(model: VideoTransformer, unit: Unit) -> Unit:
    """The unit as ``model`` calls it: without the name of its layer's last attention.

    ``3.space.5`` is ``3.5`` where layer 3 ends in an attention that is called ``space``. Whether
    the model has such a unit is not looked at.
    """
    for block in blocks_of(model):
        if block.index == unit.layer and unit.attention == next(reversed(block.attentions), None):
            return replace(unit, attention="")
    return unit


def blocks_of(model: VideoTransformer) -> list[Block]:
    """The blocks of a model, typed."""
    return [block for block in model.blocks if isinstance(block, Block)]


def branches_of(block: Block, scope: str) -> list[Branch]:
    """The branches that a block's unit in scope ``layer``, ``attention`` or ``mlp`` is made of."""
    if scope == "layer":
        kept = list(block.branches.values())
    elif scope == "attention":
        kept = list(block.attentions.values())
    else:
        kept = [branch for name, branch in block.branches.items() if name == "mlp"]
    return [branch for branch in kept if isinstance(branch, Branch)]


def named_attentions(block: Block) -> dict[str, Attention]:
    """The attentions of a block by the names that units call them: the last one has none."""
    attentions = block.attentions
    last = next(reversed(attentions), None)
    return {"" if name == last else name: module for name, module in attentions.items()}
