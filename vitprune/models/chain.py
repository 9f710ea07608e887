"""The one interface everything hangs on: a video transformer is a chain of blocks.

A :class:`VideoTransformer` embeds clips into :class:`Tokens`, passes them through its ``blocks``
and classifies what comes out. A :class:`Block` is a chain of residual :class:`Branch` es
(attention, MLP; see ``branches.py``), and each of them can say what is left without it. That is
enough to ablate and drop layers and to reuse prefixes without knowing any architecture::

    a block, its shortcut, and what it leaves behind when it is dropped

                                attention              MLP
        tokens ---> before --+--> update --(+)---+--> update --(+)---> tokens     forward
                             |              |    |              |
                             +---> skip ----+    +---> skip ----+

        tokens ---> before -------> skip --------------> skip -------> tokens     shortcut

    dropping layer 1 of a chain: its leftover, the modules that compute its shortcut, goes into
    ``before`` of the next layer, or into ``after`` of the model where no layer follows

        embed --> [before 0] --> [before 1] --> [before 2] --> after --> read_out
        embed --> [before 0] ---> [leftover 1, before 2] ----> after --> read_out

A skip is the identity in most branches and then leaves nothing over. It has parameters of its own
where a branch changes width or resolution (MViT). ``before`` has what is part of no layer, such as
Swin's patch merging, and stays whatever is dropped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vitprune.models.branches import (
    NEURON_GROUPS,
    Attention,
    Branch,
    Grid,
    Mlp,
    PartedBranch,
    Residual,
    Tokens,
)
from vitprune.models.grids import nearest
from vitprune.models.unit import ATTENTION, MLP, Unit


class Block(nn.Module):
    """A layer: its branches in order of execution, and what precedes it.

    Args:
        index: the layer's number in the unpruned model.
        branches: name -> branch, in order of execution. An MLP is called ``mlp``; an attention as
            its architecture calls it, ``attention`` where there is but one.
        before: Tokens -> Tokens modules that run first and are no part of the layer: Swin's
            patch merging, and what stays of layers that were dropped just before this one.
        stride: how many embedded tokens, along height and width, make one of its tokens.
    """

    def __init__(
        self,
        index: int,
        branches: Mapping[str, Branch],
        before: Sequence[nn.Module] = (),
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.index = index
        self.stride = stride
        self.before = nn.Sequential(*before)
        self.own = len(self.before)  # of what precedes it; in front of that, what stays of others
        self.branches = nn.ModuleDict(branches)
        self.attention_names = tuple(n for n, b in branches.items() if isinstance(b, Attention))
        """Of the unpruned layer. A head of the last one is written without its name: ``3.5``."""

    @property
    def attentions(self) -> dict[str, Attention]:
        """The attention branches that are there by name, in order of execution."""
        return {n: b for n, b in self.branches.items() if isinstance(b, Attention)}

    def units(self) -> dict[Unit, list[Branch]]:
        """The layer's units of every scope, in order of execution, and the branches that they have.

        One that was dropped has no branch; parts of branches that were dropped are left out.
        """
        there = {n: b for n, b in self._named() if not isinstance(b, Residual)}
        found = {Unit(self.index): list(there.values())}
        if names := self.attention_names:
            found[Unit(self.index, ATTENTION)] = [there[n] for n in names if n in there]
        for name, branch in self._named():
            if name == MLP:
                found[Unit(self.index, MLP)] = [there[MLP]] if MLP in there else []
            if isinstance(branch, PartedBranch):
                called = "" if (name,) == names[-1:] else name
                for number in range(branch.num_parts):
                    has_it: list[Branch] = [branch] if number in branch.numbers else []
                    found[Unit(self.index, called, number)] = has_it
        return found

    def drop(self, units: Collection[Unit]) -> None:
        """Let go of branches and of their parts for good, in place; of a branch, its skip stays.

        Args:
            units: of the layer, which it has; not the layer itself.
        """
        own = self.units()
        whole = [branch for unit in units if unit.number is None for branch in own[unit]]
        numbers: dict[Branch, list[int]] = {}
        for unit in units:
            if unit.number is not None:
                (branch,) = own[unit]
                numbers.setdefault(branch, []).append(unit.number)
        for name, branch in self._named():
            if branch in whole:
                self.branches[name] = Residual(branch.leftover())
            elif isinstance(branch, PartedBranch) and branch in numbers:
                branch.drop(numbers[branch])

    def _named(self) -> list[tuple[str, Branch]]:
        return list(cast("Mapping[str, Branch]", self.branches).items())

    def _steps(self) -> Iterable[Branch]:
        # In quotes, as torch 2.6 cannot compile the type.
        return cast("Iterable[Branch]", self.branches.values())

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = self.before(tokens)
        for branch in self._steps():
            tokens = branch(tokens)
        return tokens

    def shortcut(self, tokens: Tokens) -> Tokens:
        """What is left without the layer: the residual paths of its branches."""
        tokens = self.before(tokens)
        for branch in self._steps():
            tokens = branch.skip(tokens)
        return tokens

    def leftover(self) -> list[nn.Module]:
        """Modules that together compute :meth:`shortcut`; none where it is the identity."""
        branches = (branch.leftover() for branch in self._steps())
        return [*self.before, *(module for module in branches if module is not None)]


@dataclass(frozen=True)
class ModelSpec:
    """All that :func:`vitprune.models.build_model` needs to build the same model again.

    Attributes:
        name: of the architecture.
        variant: of it.
        num_classes: width of the classifier.
        num_frames: of a clip.
        image_size: of a clip, in pixels.
        config: where it is not the variant as registered, in JSON's types: what a model of the hub
            says of itself, or values that go before the variant's.
    """

    name: str
    variant: str
    num_classes: int
    num_frames: int
    image_size: int
    config: Mapping[str, Any] | None = None


class VideoTransformer(nn.Module, ABC):
    """The chain: clips -> tokens -> blocks -> logits.

    Subclasses write :meth:`embed` and :meth:`read_out` and set ``spec``, ``blocks``,
    ``norm``, ``head``, ``num_layers`` and ``patch``.
    """

    title: str
    """What it is called in tables and pictures; :func:`vitprune.models.registry.architecture`
    sets it."""
    spec: ModelSpec
    blocks: nn.ModuleList
    norm: nn.LayerNorm
    last_norm: str | None = "norm"
    """The name of what :attr:`feature_norm` gives."""
    head: nn.Linear
    """The classifier."""
    after: nn.Sequential
    """What stays of dropped layers that no layer follows."""
    num_layers: int
    """Of the unpruned model."""
    neuron_groups: int = NEURON_GROUPS
    """Into how many groups the hidden neurons of each MLP go; see :meth:`group_neurons`."""
    patch: Grid
    """Frames, rows and columns of pixels from one embedded token to the next."""
    centred: bool = False
    """Whether tokens lie around their pixels rather than cover a patch; see ``models/grids.py``."""
    class_names: tuple[str, ...] | None = None
    """What the classes of a classifier are called that came with the weights, if they say."""
    checkpointing: bool = False
    """Whether training keeps only what passes between blocks, and computes the rest of their
    activations again in the backward pass: less memory, about a quarter more time."""

    def __init__(self) -> None:
        super().__init__()
        self.after = nn.Sequential()

    @abstractmethod
    def embed(self, clips: Tensor) -> Tokens:
        """Clips, float [B, 3, T, H, W] normalised, to tokens."""

    def absorb(self, weight: Tensor, bias: Tensor) -> bool:
        """Let :meth:`embed` give ``x @ weight + bias`` for each of its tokens x; in place.

        Args:
            weight: [C, C] for tokens of width C.
            bias: [C].

        Returns:
            Whether it can, with the parameters that it has.
        """
        return False

    @abstractmethod
    def read_out(self, tokens: Tokens) -> Tensor:
        """The final norm, pooling and classifier: logits [B, num_classes]."""

    def classify(self, tokens: Tokens) -> Tensor:
        """What comes out of the last block to logits [B, num_classes]."""
        return self.read_out(self.after(tokens))

    def forward(self, clips: Tensor) -> Tensor:
        """Clips, float [B, 3, T, H, W] normalised, to logits [B, num_classes]."""
        tokens = self.embed(clips)
        for block in self.blocks:
            if self.checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
        return self.classify(tokens)

    def pixel_axes(self, block: Block, grid: Grid, size: Grid) -> tuple[Tensor, Tensor, Tensor]:
        """Which of a block's tokens each frame, row and column of pixels belongs to.

        Args:
            block: of this model.
            grid: of the tokens that go into its attention, (t, h, w).
            size: of the clip, (T, H, W).

        Returns:
            [T, t], [H, h] and [W, w], for :func:`vitprune.models.grids.spread`.
        """
        t, h, w = (
            nearest(pixels, tokens, pitch * stride, self.centred)
            for pixels, tokens, pitch, stride in zip(
                size, grid, self.patch, (1, block.stride, block.stride), strict=True
            )
        )
        return t, h, w

    @property
    def feature_norm(self) -> nn.LayerNorm | None:
        """The norm whose output, at most averaged, goes into the classifier, if there is one that
        scales by its weight."""
        return None if self.last_norm is None else getattr(self, self.last_norm)

    @property
    def layers(self) -> tuple[int, ...]:
        """The numbers of the layers that are there."""
        return tuple(block.index for block in cast("Iterable[Block]", self.blocks))

    @property
    def dropped(self) -> tuple[Unit, ...]:
        """What was dropped, in order of execution; of what is gone altogether, not its parts."""
        gone = [Unit(layer) for layer in set(range(self.num_layers)) - set(self.layers)]
        for block in cast("Iterable[Block]", self.blocks):
            gone += [unit for unit, branches in block.units().items() if not branches]
        return tuple(sorted(gone))

    def group_neurons(self, groups: int) -> None:
        """Divide every MLP's hidden neurons into so many groups, as scope ``neurons`` means them.

        Raises:
            ValueError: groups of another division were dropped.
        """
        if groups == self.neuron_groups:
            return
        mlps = [module for module in self.modules() if isinstance(module, Mlp)]
        if not all(mlp.whole for mlp in mlps):
            raise ValueError(
                f"groups of neurons are gone of {self.neuron_groups} in each MLP, so they stay "
                f"{self.neuron_groups}, not {groups}"
            )
        for mlp in mlps:
            mlp.group(groups)
        self.neuron_groups = groups

    def initialise_for_scratch(self, gain: float = 1.0) -> None:
        """Draw weights from which a small model learns in minutes: a ``tiny`` variant's.

        The originals' are made for long schedules, and for starting from an image model that does
        not know time: with them a small model learns too slowly, or never tells a motion from its
        reverse.

        Args:
            gain: how large what branches add to the residual stream begins.
        """
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                ends_branch = name.endswith((".proj", ".fc2"))
                nn.init.xavier_uniform_(module.weight, gain if ends_branch else 1.0)

    @torch.no_grad()
    def order_classes(self, names: Sequence[str]) -> None:
        """Put the classifier's classes in the order of ``names``, if it came with the same ones.

        Args:
            names: of the classes that the logits are to be for.
        """
        own = self.class_names
        if own is None or sorted(own) != sorted(names) or len(set(own)) < len(own):
            return
        rows = [own.index(name) for name in names]
        for parameter in self.head.parameters():
            parameter.copy_(parameter[rows])
        self.class_names = tuple(names)

    @staticmethod
    def see_change_first(patches: nn.Conv3d) -> None:
        """Redraw patches that span several frames, of a model that norms them, for scratch.

        Norms blow up the noise of still patches, which say nothing: biases of about the size of
        what moves keep those quiet, and the filters answer to change before anything else.
        """
        assert patches.bias is not None
        with torch.no_grad():
            patches.weight -= 0.9 * patches.weight.mean(dim=2, keepdim=True)
            patches.weight *= 3
        nn.init.normal_(patches.bias, std=1.0)

    def fit_positions(self, state: dict[str, Tensor]) -> None:
        """Interpolate, in place, position embeddings of another input size, as the original does.

        Args:
            state: weights by the model's names, of another number of frames or resolution. What
                cannot be interpolated stays as it is.
        """

    def fit_classifier(self, state: dict[str, Tensor]) -> None:
        """Give the classifier, in place, the form of one that users have rebuilt.

        Args:
            state: weights by the model's names. ``spec`` says from then on what was changed.
        """

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay must leave alone, besides biases and norms."""
        return set()

    def group_matcher(self, coarse: bool = False) -> dict[str, object]:
        """How parameters group by depth, for timm's layer-wise learning-rate decay."""
        return {
            "stem": r"^(?!blocks|after|norm|head)",
            "blocks": [(r"^blocks\.(\d+)", None), (r"^(?:after|norm|head)", (99999,))],
        }


__all__ = [
    "Attention",
    "Block",
    "Branch",
    "Grid",
    "Mlp",
    "ModelSpec",
    "PartedBranch",
    "Tokens",
    "VideoTransformer",
]
