"""Tokens of many batches on their way through models that are changed while they go."""

from __future__ import annotations

from torch import Tensor

from vitprune.models.branches import Tokens
from vitprune.models.bridge import Bridge
from vitprune.models.chain import VideoTransformer
from vitprune.models.walking import START, Point, walk

ROOM = 2**29
"""Bytes of tokens that are kept: 512 MiB, so that fitting takes at most twice scoring's memory."""


class Room:
    """What several walks may keep together.

    Attributes:
        left: bytes.
    """

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, tokens: Tokens) -> bool:
        """Whether there is still room for tokens, which is then less."""
        size = _bytes(tokens)
        if size > self.left:
            return False
        self.left -= size
        return True

    def give_back(self, tokens: Tokens) -> None:
        """Tokens are no longer kept."""
        self.left += _bytes(tokens)


class Walks:
    """Where batches are in one model, each as far as it was asked for.

    Going on from there, the model is gone through once, however many points are asked for. A batch
    for whose tokens there is no room starts with its clips each time.

    Args:
        model: may be changed behind the points that were asked for. Of a change at one it is to be
            told, see :meth:`through`.
        room: for what is kept.
    """

    def __init__(self, model: VideoTransformer, room: Room) -> None:
        self.model, self.room = model, room
        self._kept: dict[int, tuple[Point, Tokens]] = {}

    def to(self, batch: int, clips: Tensor | None, goal: Point) -> Tokens:
        """A batch's tokens at a point that is not in front of the last one that was asked for.

        Args:
            batch: its number.
            clips: [B, 3, T, H, W]; None if the batch is kept.
            goal: the point.
        """
        if batch in self._kept:
            start, tokens = self._kept.pop(batch)
            self.room.give_back(tokens)
        else:
            assert clips is not None
            start, tokens = START, self.model.embed(clips)
        tokens = walk(self.model, tokens, start, goal)
        if self.room.take(tokens):
            self._kept[batch] = goal, tokens
        return tokens

    def keeps(self, batches: int) -> bool:
        """Whether it has all of so many batches."""
        return len(self._kept) == batches

    def through(self, bridge: Bridge) -> None:
        """From now on the model has this bridge where all that is kept is."""
        self._kept = {
            batch: (point, bridge(tokens)) for batch, (point, tokens) in self._kept.items()
        }

    def of(self, model: VideoTransformer) -> Walks:
        """The same of a copy of the model, as far as there is room."""
        other = Walks(model, self.room)
        for batch, (point, tokens) in self._kept.items():
            if self.room.take(tokens):
                other._kept[batch] = point, tokens
        return other


def _bytes(tokens: Tokens) -> int:
    return tokens.x.numel() * tokens.x.element_size()
