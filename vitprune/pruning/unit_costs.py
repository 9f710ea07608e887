"""What dropping each unit alone saves: parameters, bytes, FLOPs, latency.

Every branch is looked at by itself in the course of a forward, once whole and once with half of its
parts really gone. What a head or a group of neurons saves is the difference for its share of the
columns that went; what a branch saves beside all of its parts (norms, what comes with any number of
heads) is the branch's alone. So the figures add up: units that do not contain each other save
together what each of them saves. FLOPs and parameters do so exactly.
"""

from __future__ import annotations

import copy
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from math import isfinite
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vitprune.files import replacing
from vitprune.importance.engine import Autocast, evaluating
from vitprune.importance.store import Store, fingerprint
from vitprune.models.chain import Branch, PartedBranch, Tokens, VideoTransformer
from vitprune.models.places import blocks_of, places
from vitprune.models.unit import Unit, outermost
from vitprune.pruning.cost import Cost, wait_for


def unit_costs(model: VideoTransformer, clip: Tensor) -> dict[Unit, Cost]:
    """What dropping each unit saves for ``clip`` [1, 3, T, H, W]; its latency is nan.

    Counted as :func:`vitprune.pruning.cost.counted` does, without computing anything. The bytes are
    those of the tensors: what ``torch.save`` writes besides is no unit's.
    """
    model = copy.deepcopy(model).to("meta")
    halved = _halved(model)
    flops: dict[Branch, float] = {}
    with evaluating(model), torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        tokens = model.embed(clip.to("meta"))
        for block in blocks_of(model):
            tokens = block.before(tokens)
            for branch in cast("Iterable[Branch]", block.branches.values()):
                skipped = _flops(branch.skip, tokens)
                for one in filter(None, (branch, halved.get(branch))):
                    flops[one] = _flops(one, tokens) - skipped
                tokens = branch(tokens)

    def held(size: Callable[[nn.Module], int]) -> dict[Unit, float]:
        found: dict[Branch, float] = {}
        for branch in [*_branches(model), *halved.values()]:
            left = branch.leftover()
            found[branch] = size(branch) - (0 if left is None else size(left))
        return _shared(model, halved, found)

    parameters = held(lambda module: sum(p.numel() for p in module.parameters()))
    kept = held(lambda module: sum(t.nbytes for t in module.state_dict().values()))
    counted = _shared(model, halved, flops)
    return {
        unit: Cost(round(parameters[unit]), round(kept[unit]), round(counted[unit]), float("nan"))
        for unit in counted
    }


def latency_shares(
    model: VideoTransformer,
    clip: Tensor,
    autocast: Autocast = nullcontext,
    *,
    seconds: float = 1.0,
    least: int = 5,
) -> dict[Unit, float]:
    """The share of a model's latency for ``clip`` [1, 3, T, H, W] that dropping each unit saves.

    Medians of what branches take, less what their residual paths do, over the sum of the medians of
    all steps of a forward: so whatever else the machine does strikes both alike.

    Args:
        model: whose units they are.
        clip: as above.
        autocast: gives the context of each forward, for mixed precision.
        seconds: how long it goes on, for ``least`` turns in any case.
    """
    halved = _halved(model)
    steps: dict[Any, list[float]] = {}
    beside: dict[Any, list[float]] = {}

    def turn() -> None:
        tokens = _timed(model.embed, clip, steps)
        for block in blocks_of(model):
            tokens = _timed(block.before, tokens, steps)
            for branch in cast("Iterable[Branch]", block.branches.values()):
                _timed(branch.skip, tokens, beside)
                if branch in halved:
                    _timed(halved[branch], tokens, beside)
                tokens = _timed(branch, tokens, steps)
        _timed(model.classify, tokens, steps)

    with evaluating(model), torch.inference_mode(), autocast():
        turn()  # warms up
        steps.clear()
        beside.clear()
        turns, end = 0, time.perf_counter() + seconds
        while turns < least or time.perf_counter() < end:
            turn()
            turns += 1
    taken = {step: statistics.median(found) for step, found in (steps | beside).items()}
    whole = sum(taken[step] for step in steps)
    found: dict[Branch, float] = {}
    for branch in _branches(model):
        for one in filter(None, (branch, halved.get(branch))):
            found[one] = (taken[one] - taken[branch.skip]) / whole
    return {unit: max(0.0, saved) for unit, saved in _shared(model, halved, found).items()}


class LatencyStore(Store[dict[Unit, float]]):
    """What :func:`latency_shares` gives by :func:`latency_entry`: measured once on a machine."""

    what, ending = "latencies", ".json"

    def read(self, path: Path) -> dict[Unit, float]:
        found = json.loads(path.read_text())
        if not isinstance(found, dict) or not all(
            isinstance(ms, float) and isfinite(ms) for ms in found.values()
        ):
            raise ValueError("no finite value for every unit")
        return {Unit.parse(text): ms for text, ms in found.items()}

    def write(self, kept: dict[Unit, float], path: Path) -> None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({str(unit): ms for unit, ms in kept.items()}))


def latency_entry(model: VideoTransformer, clip: Tensor, device: str, precision: str) -> str:
    """The name that latencies are kept under: the same where they should be the same.

    Args:
        model: its form counts, not its weights.
        clip: its size counts.
        device: the name of what computes.
        precision: of the arithmetic.
    """
    threads = torch.get_num_threads() if clip.device.type == "cpu" else 0
    form = fingerprint(model, bits=False)
    inputs = [form, [*clip.shape], device, threads, precision, torch.__version__]
    digest = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
    return f"{model.spec.name}-latency-{digest[:24]}"


def without(full: Cost, saved: Mapping[Unit, Cost], units: Iterable[Unit]) -> Cost:
    """What a model costs without some units, as far as can be told without making it.

    Args:
        full: what it costs with them.
        saved: what each of its units saves.
        units: some of them; parts of others among them count once.
    """
    gone = [saved[unit] for unit in outermost([*units], saved)]
    return Cost(
        full.parameters - sum(cost.parameters for cost in gone),
        full.checkpoint_bytes - sum(cost.checkpoint_bytes for cost in gone),
        full.flops - sum(cost.flops for cost in gone),
        full.latency_ms - sum(cost.latency_ms for cost in gone),
    )


def _branches(model: VideoTransformer) -> list[Branch]:
    return [
        branch
        for block in blocks_of(model)
        for branch in cast("Iterable[Branch]", block.branches.values())
    ]


def _halved(model: VideoTransformer) -> dict[Branch, PartedBranch]:
    """Copies of branches without half of their parts, rounded up."""
    found: dict[Branch, PartedBranch] = {}
    for branch in _branches(model):
        if isinstance(branch, PartedBranch) and branch.numbers:
            found[branch] = copy.deepcopy(branch).eval()
            found[branch].drop(branch.numbers[len(branch.numbers) // 2 :])
    return found


def _shared(
    model: VideoTransformer, halved: Mapping[Branch, PartedBranch], found: Mapping[Branch, float]
) -> dict[Unit, float]:
    """What each unit saves, by what branches and their halved copies take."""
    shares: dict[Unit, float] = {}
    for unit, place in places(model).items():
        if unit.number is None:
            shares[unit] = sum(found[branch] for branch in place.branches)
            continue
        parted = place.parted
        half = halved[parted]
        per_column = (found[parted] - found[half]) / (sum(parted.widths) - sum(half.widths))
        shares[unit] = per_column * parted.widths[place.part]
    return shares


def _flops(step: Callable[[Tokens], Tokens], tokens: Tokens) -> int:
    with FlopCounterMode(display=False) as counter:
        step(tokens)
    return counter.get_total_flops()


def _timed(step: Callable[[Any], Any], given: Any, times: dict[Any, list[float]]) -> Any:
    """What a step makes of tokens or clips; adds the seconds that it takes to its times."""
    where = given.x if isinstance(given, Tokens) else given
    wait_for(where)
    start = time.perf_counter()
    made = step(given)
    wait_for(where)
    times.setdefault(step, []).append(time.perf_counter() - start)
    return made
