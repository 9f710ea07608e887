"""The one interface everything hangs on: a video transformer is a chain of blocks.

A :class:`VideoTransformer` embeds clips into :class:`Tokens`, passes them through its ``blocks``
and classifies what comes out. A :class:`Block` is a chain of residual :class:`Branch` es
(attention, MLP), and each of them can say what is left without it. That is enough to ablate and
drop layers and to reuse prefixes without knowing any architecture::

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

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vitprune.models.grids import nearest

Grid = tuple[int, int, int]


class Tokens(NamedTuple):
    """A batch of token sequences and the space-time grid that they fill.

    ``x`` is [B, N, C]. The patch tokens lie in the order of ``grid`` = (T, H, W), W fastest; a
    class token, if the model has one, comes first, so N is T*H*W or T*H*W + 1.
    """

    x: Tensor
    grid: Grid


class Branch(nn.Module, ABC):
    """One residual step of a block: ``skip(tokens) + update(tokens)``.

    Subclasses write :meth:`update`, and :meth:`skip` with :meth:`leftover` where the residual
    path is not the identity.
    """

    gate: Tensor | None = None
    """Scales the update where it is set: a scalar, or [B, 1, 1]. Zero ablates the branch."""

    def __init__(self, drop_path: nn.Module | None = None) -> None:
        super().__init__()
        self.drop_path = drop_path or nn.Identity()

    @abstractmethod
    def update(self, tokens: Tokens) -> Tensor:
        """What the branch adds to its residual path: [B, N', C'], shaped as ``skip(tokens).x``."""

    def skip(self, tokens: Tokens) -> Tokens:
        """The residual path alone: what is left of the step without its branch."""
        return tokens

    def leftover(self) -> nn.Module | None:
        """A module that computes :meth:`skip` with its own parameters; None for the identity."""
        return None

    def forward(self, tokens: Tokens) -> Tokens:
        skip = self.skip(tokens)
        update = self.drop_path(self.update(tokens))
        if self.gate is not None:
            update = update * self.gate
        return Tokens(skip.x + update, skip.grid)  # torch 2.6 cannot compile _replace


class Attention(Branch):
    """Multi-head self-attention as a residual branch; the base of every architecture's.

    Subclasses write :meth:`heads` (calling :func:`vitprune.models.attention.attend` with
    ``observe=self.observer``) and name their output projection ``proj``.
    """

    num_heads: int
    proj: nn.Linear
    head_gate: Tensor | None = None
    """Scales each head's slice of the projection's input where it is set: [H] or [B, H]."""
    observer: Callable[[Tensor], None] | None = None
    """Is handed the attention weights [..., H, queries, keys] of every call where it is set."""

    @abstractmethod
    def heads(self, tokens: Tokens) -> Tensor:
        """What every head puts into the output projection, ungated: [B, N', H, D].

        Its tokens are in the order of ``skip(tokens)``'s, not of windows or frames.
        """

    @abstractmethod
    def received(self, weights: Tensor, queries: Tensor, grid: Grid) -> Tensor:
        """How much attention each token that comes in receives, per head: [B, H, N].

        It undoes how :meth:`heads` lays out tokens for attention: windows are put back where
        they were, pooled keys go to the positions that they were pooled from, copies of the class
        token are added up. Attention to padding is cut off, so a head's row sums to ``queries``'
        sum less what went to padding.

        Args:
            weights: as the ``observer`` gets them.
            queries: how much each token that goes out counts as a query, [B, N'].
            grid: of the tokens that come in.
        """

    def project(self, heads: Tensor) -> Tensor:
        """The output projection, with its bias: [B, N', H, D] -> [B, N', C']."""
        return self.proj(heads.flatten(2))

    def contribution(self, heads: Tensor, head: int) -> Tensor:
        """What ``head`` alone adds to ``project(heads)``, without the bias: [B, N', C'].

        ``project(heads) - contribution(heads, h)`` is the projection with head h ablated.
        """
        width = heads.shape[-1]
        weight = self.proj.weight[:, head * width : (head + 1) * width]
        return nn.functional.linear(heads[:, :, head], weight)

    def update(self, tokens: Tokens) -> Tensor:
        heads = self.heads(tokens)
        if self.head_gate is not None:
            gate = self.head_gate if self.head_gate.dim() == 2 else self.head_gate[None]
            heads = heads * gate[:, None, :, None].to(heads.dtype)
        return self.project(heads)


class Mlp(Branch):
    """Norm, linear, GELU, linear."""

    def __init__(
        self,
        dim: int,
        hidden: int,
        out: int | None = None,
        *,
        norm: nn.Module,
        dropout: float = 0.0,
        drop_path: nn.Module | None = None,
    ) -> None:
        super().__init__(drop_path)
        self.norm = norm
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, out or dim)
        self.dropout = nn.Dropout(dropout)

    def update(self, tokens: Tokens) -> Tensor:
        hidden = self.dropout(self.act(self.fc1(self.norm(tokens.x))))
        return self.dropout(self.fc2(hidden))


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

    @property
    def attentions(self) -> dict[str, Attention]:
        """The attention branches by name, in order of execution; the last one is the default.

        A head of the default attention is written without its name: ``3.5``.
        """
        return {n: b for n, b in self.branches.items() if isinstance(b, Attention)}

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
    def dropped(self) -> tuple[int, ...]:
        """The numbers of the layers that were dropped, ascending."""
        return tuple(sorted(set(range(self.num_layers)) - set(self.layers)))

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


@torch.inference_mode(False)
def drop_layers(model: VideoTransformer, layers: Sequence[int]) -> VideoTransformer:
    """A smaller copy of ``model`` without ``layers``; ``model`` is left as it was.

    What stays of a dropped layer (see :meth:`Block.leftover`) goes in front of the next one, so
    the logits equal those of the model with the same layers ablated together. The copy can be
    trained, also if it is made in inference mode, as Lightning's tests are.

    Args:
        model: full, or already without some layers.
        layers: numbers in the unpruned model.

    Raises:
        ValueError: a layer that the model does not have, or none would be left.

    Example:
        >>> from vitprune.models import build_model
        >>> smaller = drop_layers(build_model("mvit", "tiny"), range(2, 14))
        >>> smaller.layers, drop_layers(smaller, [14]).layers
        ((0, 1, 14, 15), (0, 1, 15))
    """
    drop = set(layers)
    if missing := sorted(drop - set(model.layers)):
        raise ValueError(f"the model has no layer {missing}; it has {list(model.layers)}")
    if len(drop) == len(model.layers):
        raise ValueError(f"cannot drop all {len(drop)} layers; at least one must stay")
    blocks = model.blocks
    model.blocks = nn.ModuleList()  # keep the copy small: only what stays is copied
    try:
        smaller = copy.deepcopy(model)
    finally:
        model.blocks = blocks
    kept: list[nn.Module] = []
    carried: list[nn.Module] = []
    for block in cast("Iterable[Block]", blocks):
        if block.index in drop:
            carried += copy.deepcopy(block.leftover())
            continue
        block = copy.deepcopy(block)
        if carried:
            block.before = nn.Sequential(*carried, *block.before)
            carried = []
        kept.append(block)
    smaller.blocks = nn.ModuleList(kept)
    smaller.after = nn.Sequential(*carried, *smaller.after)
    return smaller


__all__ = [
    "Attention",
    "Block",
    "Branch",
    "Grid",
    "Mlp",
    "ModelSpec",
    "Tokens",
    "VideoTransformer",
    "drop_layers",
]
