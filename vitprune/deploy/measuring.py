"""The table that people want of deployed models: how good, how far off, how fast, how large.

Every model, as torch runs it and in every format and precision of its bundle, is opened in a
process of its own (:mod:`vitprune.deploy.process`). They take turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitprune.deploy.bundle import read_check
from vitprune.deploy.clips import normalised
from vitprune.deploy.description import Description
from vitprune.deploy.process import EAGER, ModelProcess, Opening
from vitprune.deploy.timing import latencies
from vitprune.errors import InputError
from vitprune.files import content_size
from vitprune.models.chain import VideoTransformer
from vitprune.results.statistics import mcnemar, proportion_interval

Videos = Iterable[tuple[int, NDArray[np.float32]]]
"""Label of each, and its views as normalised clips [V, 3, T, H, W]."""
FULL = "full"
"""The model that the latency of others is a share of."""


@dataclass(frozen=True)
class Candidate:
    """A model that is measured.

    Attributes:
        name: ``full``, ``pruned``, ``recovered``.
        model: as torch runs it, on the CPU and in float32.
        bundle: the directory of what it was exported to.
        flops: of one clip; None if unknown.
    """

    name: str
    model: VideoTransformer
    bundle: Path
    flops: int | None = None


@dataclass(eq=False)
class _Row:
    """A candidate in one runtime and precision, and what was found of it so far."""

    candidate: Candidate
    runtime: str
    precision: str
    bytes: int
    process: ModelProcess
    deviation: float = 0.0
    latency_ms: float = np.nan
    latency_p95_ms: float = np.nan
    peak_bytes: int = 0
    right: list[bool] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """What tells the rows of a candidate apart."""
        return self.runtime, self.precision

    def plain(self) -> dict[str, Any]:
        """What does not depend on other rows."""
        videos = len(self.right)
        top1: dict[str, Any] = {}
        if videos:
            right = sum(self.right)
            interval = list(proportion_interval(right, videos))
            top1 = {"top1": right / videos, "top1_interval": interval, "videos": videos}
        return {
            "model": self.candidate.name,
            "runtime": self.runtime,
            "precision": self.precision,
            **top1,
            "deviation": self.deviation,
            "latency_ms": self.latency_ms,
            "latency_p95_ms": self.latency_p95_ms,
            "bytes": self.bytes,
            "peak_bytes": self.peak_bytes,
        }

    def paired(self, eager: _Row) -> dict[str, Any]:
        """How many videos change sides from eager torch, with McNemar's exact p."""
        pairs = list(zip(eager.right, self.right, strict=True))
        lost, won = pairs.count((True, False)), pairs.count((False, True))
        return {
            "videos": len(pairs),
            "right_to_wrong": lost,
            "wrong_to_right": won,
            "p_value": mcnemar(lost, won),
        }

    def of(self, full: _Row) -> dict[str, Any]:
        """What share of the full model's latency and FLOPs these are."""
        own, whole = self.candidate.flops, full.candidate.flops
        return {
            "latency": self.latency_ms / full.latency_ms,
            "flops": own / whole if own and whole else None,
        }


def measure(
    candidates: Sequence[Candidate], videos: Videos = (), *, seconds: float = 2.0
) -> list[dict[str, Any]]:
    """Measure models beside each other, each as torch runs it and as all that its bundle has.

    Args:
        candidates: whose bundles take the same clips, each by a name of its own.
        videos: on which Top-1 is measured, gone through once for all; none for no Top-1.
        seconds: for how long latency is measured, for each row.

    Returns:
        Rows, each with ``model``, ``runtime`` and ``precision``; ``deviation``, the largest
        difference of a logit from eager torch's, over the clips of the bundle's check and the
        videos; ``latency_ms`` and ``latency_p95_ms`` of what the bundle takes at once, or of one
        clip; ``bytes`` on disk, and ``peak_bytes`` of memory up to then. Where there are videos,
        ``top1`` with ``top1_interval`` and ``videos``, and ``paired`` with eager torch on the very
        same. Beside a candidate that is called :data:`FULL`, ``of_full``, shares of its ``latency``
        in the same runtime and of its ``flops``.

    Raises:
        InputError: a model cannot be opened or run, its process ended, or a logit is not finite.
    """
    about, (pixels, _) = Description.read(candidates[0].bundle), read_check(candidates[0].bundle)
    clips = normalised(pixels, about.clip)
    beside = candidates[-1].bundle.parent
    with ExitStack() as stack:
        place = stack.enter_context(TemporaryDirectory(dir=beside, prefix=".measured-"))
        tables = {one.name: list(_opened(one, Path(place), stack)) for one in candidates}
        rows = [row for table in tables.values() for row in table]
        for row in rows:
            row.process.ready()
        for clip in clips:
            for _ in _answer(tables, clip[None]):
                pass
        _time(rows, np.repeat(clips[:1], about.batch or 1, axis=0), seconds)
        for label, views in videos:
            for row, logits in _answer(tables, views):
                row.right.append(_best(logits) == label)
    return [*_plain(tables)]


def _opened(one: Candidate, place: Path, stack: ExitStack) -> Iterator[_Row]:
    """The rows of a candidate, eager torch's first; their models may still be opening."""
    description, threads = Description.read(one.bundle), torch.get_num_threads()
    eager = place / f"{one.name}.pt"
    torch.save(one.model, eager)
    everything = [(eager, EAGER, "float32", "float32", content_size(eager))]
    everything += [
        (one.bundle / file.files[0], file.runtime, file.precision, file.rest, file.bytes)
        for file in description.models
    ]
    for path, runtime, precision, rest, size in everything:
        opening = Opening(path, runtime, rest, description.input_shape, threads)
        process = ModelProcess(f"{one.name}, {runtime} {precision}", opening)
        yield _Row(one, runtime, precision, size, stack.enter_context(process))


def _answer(
    tables: Mapping[str, Sequence[_Row]], clips: NDArray[np.float32]
) -> Iterator[tuple[_Row, NDArray[np.float32]]]:
    """Every row's logits for the same clips, and how far they are from eager torch's."""
    for eager, *others in tables.values():
        expected = eager.process(clips)
        yield eager, expected
        for row in others:
            logits = row.process(clips)
            if not np.isfinite(logits).all():
                raise InputError(f"{row.process.name}: a logit is not finite")
            row.deviation = max(row.deviation, float(np.abs(logits - expected).max()))
            yield row, logits


def _time(rows: Sequence[_Row], clips: NDArray[np.float32], seconds: float) -> None:
    for row in rows:
        row.process.latency(clips)
    found = latencies({row: row.process.latency for row in rows}, seconds=seconds * len(rows))
    for row, (median, p95) in found.items():
        row.latency_ms, row.latency_p95_ms = median, p95
        row.peak_bytes = row.process.peak()


def _best(logits: NDArray[np.float32]) -> int:
    """The class that the mean of the softmax over views puts first, of logits [V, C]."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return int((odds / odds.sum(axis=1, keepdims=True)).mean(axis=0).argmax())


def _plain(tables: Mapping[str, Sequence[_Row]]) -> Iterator[dict[str, Any]]:
    full = {row.key: row for row in tables.get(FULL, ())}
    for name, table in tables.items():
        for row in table:
            found = row.plain()
            if row.right and row is not table[0]:
                found["paired"] = row.paired(table[0])
            if name != FULL and row.key in full:
                found["of_full"] = row.of(full[row.key])
            yield found
