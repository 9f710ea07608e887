"""The chain around a model of transformers."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from vitprune.errors import InputError
from vitprune.models.chain import Block, ModelSpec, Tokens, VideoTransformer
from vitprune.models.hub.branches import INTERFACE, attention_interface
from vitprune.models.registry import architecture

OLDEST = 5, 23
"""The version of transformers whose names the adapters know."""
UNDECAYED = re.compile(r"cls_token|position_embeddings|query_tokens|pooling_attention_query")


@dataclass(frozen=True)
class HubVariant:
    """One size of a class of transformers.

    Attributes:
        config: values of its configuration; the rest are transformers' defaults.
        num_frames: of a clip.
        image_size: of a clip, in pixels.
    """

    config: Mapping[str, Any]
    num_frames: int
    image_size: int


class HubModel(VideoTransformer):
    """A model of transformers as a chain; its adapters are the subclasses.

    An adapter writes :meth:`adopt` and :meth:`read_out`.

    Args:
        spec: its sizes and number of classes go before the variant's.
        variant: of which configuration.
        original: transformers' model, which is taken apart; built anew if not given.

    Raises:
        InputError: transformers is not installed, or takes no such configuration.
    """

    model_type: ClassVar[str]
    """transformers' name of the class."""
    auto: ClassVar[str] = "AutoModelForVideoClassification"
    """Which of transformers' factories makes it."""
    frames_key: ClassVar[str] = "num_frames"
    size_key: ClassVar[str] = "image_size"
    any_frames: ClassVar[bool] = False
    """Whether clips may have another number of frames than the model was built for."""
    any_size: ClassVar[bool] = False
    """The same of their height and width."""
    embeddings: nn.Module
    """Frames [B, T, 3, H, W] to tokens [B, N, C]."""

    def __init__(
        self, spec: ModelSpec, variant: HubVariant, original: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.spec = spec
        if original is None:
            sizes = {self.frames_key: spec.num_frames, self.size_key: spec.image_size}
            config = {**variant.config, **sizes, "num_labels": spec.num_classes}
            original = built(self.auto, self.model_type, config)
        self.blocks = nn.ModuleList(self.adopt(original, original.config))
        self.num_layers = len(self.blocks)
        for key, (length, step) in {
            "num_frames": (spec.num_frames, self.patch[0]),
            "image_size": (spec.image_size, self.patch[1]),
        }.items():
            if length % step:
                raise InputError(
                    f"{key}={length} is no multiple of {self.title}'s patch size, {step}"
                )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Of a copy: in another process transformers may not know our attention yet."""
        library()
        super().__setstate__(state)

    @abstractmethod
    def adopt(self, original: Any, config: Any) -> Iterable[Block]:
        """Take what is needed out of transformers' model: its layers as blocks, in order.

        Sets ``patch``, ``embeddings`` and ``head`` besides what :meth:`read_out` needs.
        """

    def embed(self, clips: Tensor) -> Tokens:
        """Clips [B, 3, T, H, W] to tokens.

        Raises:
            InputError: the model has no positions for clips of their size.
        """
        frames, height, width = clips.shape[2:]
        own = self.spec.num_frames, self.spec.image_size
        if (frames != own[0] and not self.any_frames) or (
            {height, width} != {own[1]} and not self.any_size
        ):
            raise InputError(
                f"{self.title} was built for clips of {own[0]} frames of {own[1]} x {own[1]} "
                f"pixels, and these have {frames} of {height} x {width}"
            )
        t, h, w = self.patch
        grid = (max(1, frames // t), height // h, width // w)
        return Tokens(self.embeddings(clips.transpose(1, 2)), grid)

    def initialise_for_scratch(self, gain: float = 1.0) -> None:
        super().initialise_for_scratch(gain)
        for module in self.embeddings.modules():
            if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1:
                self.see_change_first(module)

    def no_weight_decay(self) -> set[str]:
        return {name for name, _ in self.named_parameters() if UNDECAYED.search(name)}


def built(auto: str, model_type: str, config: Mapping[str, Any]) -> Any:
    """A new model of transformers.

    Args:
        auto: the factory that makes it.
        model_type: transformers' name of its class.
        config: values of its configuration.

    Raises:
        InputError: transformers is not there, or takes no such configuration.
    """
    transformers = library()
    from huggingface_hub.errors import StrictDataclassError  # comes with transformers

    values: Any = {key: value for key, value in config.items() if key != "model_type"}
    try:
        values = transformers.AutoConfig.for_model(model_type, **values)
        return getattr(transformers, auto).from_config(values, attn_implementation=INTERFACE)
    except (ValueError, TypeError, KeyError, StrictDataclassError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
        raise InputError(f"transformers takes no such {model_type}: {line}") from error


def library() -> Any:
    """The package transformers, which calls our attention.

    Raises:
        InputError: it is not installed, or too old.
    """
    try:
        import transformers
    except ImportError:
        raise InputError(
            "models of the hub need packages that are not installed: pip install 'vitprune[hub]'"
        ) from None
    if tuple(map(int, transformers.__version__.split(".")[:2])) < OLDEST:
        raise InputError(
            f"transformers is {transformers.__version__}, and models of the hub need "
            f"{'.'.join(map(str, OLDEST))} or later: pip install -U transformers"
        )
    transformers.AttentionInterface.register(INTERFACE, attention_interface)
    return transformers


Model = TypeVar("Model", bound=type[HubModel])


def hub_architecture(
    name: str, *, title: str, base: Mapping[str, Any], tiny: Mapping[str, Any]
) -> Callable[[Model], Model]:
    """Registers an adapter, as :func:`vitprune.models.registry.architecture` does.

    Args:
        name: for :func:`vitprune.models.build_model`.
        title: for tables and pictures.
        base: configuration of its ``base``, which must name frames and size.
        tiny: the same of its ``tiny``.
    """

    def register(model: Model) -> Model:
        def variant(config: Mapping[str, Any]) -> HubVariant:
            for key in (model.frames_key, model.size_key):
                if not isinstance(config.get(key), int):
                    raise InputError(f"{key}={config.get(key)}: {title} takes a whole number")
            return HubVariant(config, config[model.frames_key], config[model.size_key])

        variants = {"base": variant(base), "tiny": variant(tiny)}
        registered = architecture(name, title=title, variants=variants, of_config=variant)
        return registered(model)

    return register
