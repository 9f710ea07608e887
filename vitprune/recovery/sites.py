"""Where a smaller model can be mended, and what is known there: what it has, and what it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from torch import Tensor

from vitprune.models.branches import PartedBranch, Residual, Tokens
from vitprune.models.chain import VideoTransformer
from vitprune.models.places import blocks_of
from vitprune.models.walking import Point, branch_start, layer_end


@dataclass(frozen=True)
class Gap:
    """Whole layers or branches are gone; a bridge can stand where the last of them ended.

    Attributes:
        place: number of the layer that ended there in the unpruned model.
    """

    place: int

    def start(self, smaller: VideoTransformer) -> Point:
        """Where the smaller model's tokens are asked for."""
        return layer_end(smaller, self.place)

    def goal(self, full: VideoTransformer) -> Point:
        """Where the full model's tokens are asked for."""
        return layer_end(full, self.place)

    def rows(
        self, smaller: VideoTransformer, there: Tokens, wanted: Tokens
    ) -> tuple[Tensor, Tensor]:
        """The smaller model's tokens [B, N, C], and what they lack of the full one's, float64."""
        x = there.x.double()
        return x, wanted.x.double() - x


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

    def start(self, smaller: VideoTransformer) -> Point:
        """Where the smaller model's tokens are asked for: in front of the branch."""
        return branch_start(smaller, self.layer, self.branch)

    def goal(self, full: VideoTransformer) -> Point:
        """Where the full model's tokens are asked for: behind the branch."""
        block, step = branch_start(full, self.layer, self.branch)
        return block, step + 1

    def rows(
        self, smaller: VideoTransformer, there: Tokens, wanted: Tokens
    ) -> tuple[Tensor, Tensor]:
        """What goes into that layer, [B, N, P], and what the smaller model's tokens behind the
        branch lack of the full one's, [B, N, C], float64."""
        branch = self._branch(smaller)
        parts = branch.present(there)
        behind = branch.skip(there).x + branch.project(parts)
        lack = wanted.x.double() - behind.double()
        return parts[:, branch.acts_on].double(), lack[:, branch.acts_on]

    def add(self, smaller: VideoTransformer, weight: Tensor, bias: Tensor) -> None:
        """Have the branch add ``parts @ weight + bias`` to what it adds; in place."""
        self._branch(smaller).add(weight, bias)

    def _branch(self, model: VideoTransformer) -> PartedBranch:
        (block,) = (block for block in blocks_of(model) if block.index == self.layer)
        branch = block.branches[self.branch]
        assert isinstance(branch, PartedBranch)
        return branch


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
