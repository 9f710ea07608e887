"""Architectures by name: the one place in which each is registered.

An architecture is a package beside this file. Its class is decorated with :func:`architecture`,
which says all that the rest needs to know of it; ``vitprune/models/__init__.py`` imports it, and
``conf/model/<name>.yaml`` has its recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from vitprune.models.chain import VideoTransformer
from vitprune.models.formats import Format


class Variant(Protocol):
    """One size of an architecture: a dataclass with these defaults and what its class needs."""

    @property
    def num_frames(self) -> int: ...

    @property
    def image_size(self) -> int: ...


OfConfig = Callable[[Mapping[str, Any]], Variant]


@dataclass(frozen=True)
class Architecture:
    """What is known of an architecture.

    Attributes:
        build: the class; takes a :class:`ModelSpec` and one of ``variants``.
        variants: by name; the first is the default. One that is called ``tiny`` gets weights from
            which a small model learns in minutes.
        formats: of weights that others publish; see :class:`vitprune.models.formats.Format`.
        kinetics400: variant -> where a file in one of these formats is published, trained on
            Kinetics-400.
        of_config: a configuration of transformers to the variant that it describes, if models of
            the hub can be of this architecture.
    """

    build: Callable[..., VideoTransformer]
    variants: Mapping[str, Variant]
    formats: Sequence[Format] = ()
    kinetics400: Mapping[str, str] = field(default_factory=dict)
    of_config: OfConfig | None = None


ARCHITECTURES: dict[str, Architecture] = {}
"""By name; :func:`architecture` fills it."""

Model = TypeVar("Model", bound=type[VideoTransformer])


def architecture(
    name: str,
    *,
    title: str,
    variants: Mapping[str, Variant],
    formats: Sequence[Format] = (),
    kinetics400: Mapping[str, str] | None = None,
    of_config: OfConfig | None = None,
) -> Callable[[Model], Model]:
    """Registers a class that takes a spec (:class:`vitprune.models.chain.ModelSpec`) and a variant.

    Args:
        name: for :func:`vitprune.models.build_model` and ``model=``.
        title: for tables and pictures; the class has it as ``title``.
        variants: see :class:`Architecture`, as for the rest.
        formats: of weights that others publish.
        kinetics400: variant -> the address of weights.
        of_config: see :class:`Architecture`.

    Raises:
        ValueError: the name is taken.
    """

    def register(model: Model) -> Model:
        if name in ARCHITECTURES:
            raise ValueError(f"there is an architecture {name!r} already")
        model.title = title
        ARCHITECTURES[name] = Architecture(model, variants, formats, kinetics400 or {}, of_config)
        return model

    return register
