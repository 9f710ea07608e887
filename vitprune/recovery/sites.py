"""Where a smaller model can be mended, and what is known there: what it has, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias, cast

from torch import Tensor

from vitprune.models.branches import Branch, PartedBranch, Residual, Tokens
from vitprune.models.bridge import reach
from vitprune.models.chain import VideoTransformer
from vitprune.models.places import blocks_of


@dataclass(frozen=True)
class Gap:
    """Whole layers or branches are gone; a bridge can stand where the last of them ended.

    Attributes:
        place: number of the layer that ended there in the unpruned model.
    """

    place: int

    def rows(
        self, smaller: VideoTransformer, full: VideoTransformer, clips: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The smaller model's tokens [B, N, C], and what they lack of the full one's, float64."""
        there, wanted = (reach(one, clips, self.place).x.double() for one in (smaller, full))
        return there, wanted - there


@dataclass(frozen=True)
class Projection:
    """Heads or groups of neurons are gone; the others' last linear layer can make up for them.

    Attributes:
        layer: number in the unpruned model.
        branch: whose last linear layer it is.
    """

    layer: int
    branch: str

    def __str__(self) -> str:
        return f"{self.layer}.{self.branch}"

    def rows(
        self, smaller: VideoTransformer, full: VideoTransformer, clips: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What goes into that layer, [B, N, P], and what the smaller model's tokens behind the
        branch lack of the full one's, [B, N, C], float64."""
        tokens, branch = self._reached(smaller, clips)
        assert isinstance(branch, PartedBranch)
        parts = branch.present(tokens)
        there = branch.skip(tokens).x + branch.project(parts)
        theirs, whole = self._reached(full, clips)
        lack = whole(theirs).x.double() - there.double()
        return parts[:, branch.acts_on].double(), lack[:, branch.acts_on]

    def add(self, smaller: VideoTransformer, weight: Tensor, bias: Tensor) -> None:
        """Have the branch add ``parts @ weight + bias`` to what it adds; in place."""
        (block,) = (block for block in blocks_of(smaller) if block.index == self.layer)
        branch = block.branches[self.branch]
        assert isinstance(branch, PartedBranch)
        branch.add(weight, bias)

    def _reached(self, model: VideoTransformer, clips: Tensor) -> tuple[Tokens, Branch]:
        """The branch, and what goes into it."""
        tokens = model.embed(clips)
        for block in blocks_of(model):
            if block.index < self.layer:
                tokens = block(tokens)
                continue
            tokens = block.before(tokens)
            for name, branch in cast("Iterable[tuple[str, Branch]]", block.branches.items()):
                if name == self.branch:
                    return tokens, branch
                tokens = branch(tokens)
        raise AssertionError(f"no branch {self}")


Site: TypeAlias = Gap | Projection


def sites(smaller: VideoTransformer, full: VideoTransformer) -> list[Site]:
    """All places where ``smaller`` can be mended, in order of execution.

    Args:
        smaller: ``full`` without some of its units.
        full: what it was made of.
    """
    theirs = {block.index: block for block in blocks_of(full)}
    there = blocks_of(smaller)
    ends = [*(block.index for block in there), full.num_layers]
    found: list[Site] = []
    if any(layer < ends[0] for layer in theirs):
        found.append(Gap(ends[0] - 1))
    for block, (start, end) in zip(there, pairwise(ends), strict=True):
        whole = theirs[block.index].branches
        own = block.branches
        found += [
            Projection(block.index, name)
            for name, branch in own.items()
            if isinstance(branch, PartedBranch) and branch.numbers != whole[name].numbers
        ]
        lacks_branch = any(
            isinstance(branch, Residual) and not isinstance(whole[name], Residual)
            for name, branch in own.items()
        )
        if lacks_branch or any(start < layer < end for layer in theirs):
            found.append(Gap(end - 1))
    return found


def gaps(smaller: VideoTransformer, full: VideoTransformer) -> list[Gap]:
    """The sites where a bridge can stand."""
    return [site for site in sites(smaller, full) if isinstance(site, Gap)]
