"""What a checkpoint format is: how to know it by its keys, and its names in terms of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

State = dict[str, Tensor]
"""A state dict: name -> tensor."""

Rule = tuple[str, str | None]
"""A pattern and its replacement; None drops every key in which the pattern is found."""


def _as_it_is(state: State) -> State:
    return state


@dataclass(frozen=True)
class Format:
    """One way in which others write the weights of one of our architectures.

    Args:
        name: for messages, as in "NAME weights".
        marks: a state dict is in this format if each of these patterns is found in a key of it.
        rules: applied to every key, all of them, in order.
        prepare: what rules cannot do, before them: the whole state dict to another.
        fresh: pattern of those of our names that the format does not have and that therefore
            keep the values they were initialised with.
        variant: the only :attr:`ModelSpec.variant` that they are for, if there is only one.
        refusal: why weights in this format cannot be loaded, if they cannot.
    """

    name: str
    marks: tuple[str, ...]
    rules: tuple[Rule, ...] = ()
    prepare: Callable[[State], State] = _as_it_is
    fresh: str | None = None
    variant: str | None = None
    refusal: str | None = None

    def matches(self, keys: Iterable[str]) -> bool:
        """Whether a state dict with these keys is in this format."""
        keys = list(keys)
        return all(any(re.search(mark, key) for key in keys) for mark in self.marks)

    def convert(self, state: State) -> State:
        """The same weights under our names; a key that no rule knows keeps its own."""
        converted = {}
        for key, value in self.prepare(state).items():
            if (name := self._rename(key)) is not None:
                converted[name] = value
        return converted

    def _rename(self, key: str) -> str | None:
        for pattern, replacement in self.rules:
            if replacement is not None:
                key = re.sub(pattern, replacement, key)
            elif re.search(pattern, key):
                return None
        return key
