"""What dropping each unit saves: counted exactly, measured with parts really gone, and kept."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_chain import CLIP, toy

from vitprune.importance import units_of
from vitprune.models import VideoTransformer, build_model
from vitprune.models.dropping import drop_layers, drop_units
from vitprune.models.unit import Unit
from vitprune.pruning import unit_costs as module
from vitprune.pruning.cost import counted
from vitprune.pruning.unit_costs import (
    LatencyStore,
    latency_entry,
    latency_shares,
    unit_costs,
    without,
)


def model_and_clip(name: str) -> tuple[VideoTransformer, torch.Tensor]:
    if name == "toy":
        return toy(), torch.randn(1, *CLIP)
    model = build_model(name, "tiny", num_classes=3, num_frames=4, image_size=32)
    few = drop_layers(model, range(6, model.num_layers - 1))  # layers of every kind are left
    return few.eval(), torch.randn(1, 3, 4, 32, 32)


@pytest.mark.parametrize("name", ["toy", "mvit", "video_swin", "timesformer"])
def test_counts_are_those_of_the_smaller_model(name: str) -> None:
    model, clip = model_and_clip(name)
    whole, saved = counted(model, clip), unit_costs(model, clip)
    units = units_of(model, "any")
    assert [*saved] == units
    draw = random.Random(0)
    sets = [[unit] for unit in draw.sample(units, 8)] + [draw.sample(units, 12)]
    for gone in sets:
        really, told = counted(drop_units(model, gone), clip), without(whole, saved, gone)
        assert (told.parameters, told.flops) == (really.parameters, really.flops)
        # torch.save writes a few hundred bytes about every tensor, and rounds its place up.
        slack = 600 * (1 + len(model.state_dict()) - len(drop_units(model, gone).state_dict()))
        assert abs(told.checkpoint_bytes - really.checkpoint_bytes) <= slack


def test_shares_of_latency_are_of_branches_as_they_really_get_smaller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, clip = model_and_clip("mvit")
    model = drop_units(model, "4.1,5.mlp.3")

    turns = []

    def timed(step: Any, given: Any, times: dict[Any, list[float]]) -> Any:
        turns.append(step == model.embed)
        times.setdefault(step, []).append(module._flops(step, given))
        return step(given)

    monkeypatch.setattr(module, "_timed", timed)
    found = latency_shares(model.train(), clip, seconds=0.0)
    assert model.training
    assert sum(turns) == 6  # one of them warms up
    # Fused attention is counted, too, but on one path in full precision alone: look at the MLPs.
    counts = unit_costs(model, clip)
    mlps = [unit for unit in found if unit.branch == "mlp"]
    ratios = {found[unit] / counts[unit].flops for unit in mlps}
    assert max(ratios) == pytest.approx(min(ratios))
    assert 0 < sum(found[unit] for unit in found if unit.scope == "layer") < 1


def test_measured_latencies_are_of_all_units_and_of_none_below_nothing() -> None:
    model, clip = model_and_clip("toy")
    found = latency_shares(model, clip, seconds=0.0)
    assert [*found] == units_of(model, "any")
    assert min(found.values()) >= 0
    layers = [found[unit] for unit in found if unit.scope == "layer"]
    assert min(layers) > 0
    assert sum(layers) < 1


def test_latencies_are_measured_once_for_a_form_a_size_and_a_device(tmp_path: Path) -> None:
    model, clip = model_and_clip("toy")
    name = latency_entry(model, clip, "a processor", "32-true")
    assert name == latency_entry(toy(seed=1), clip, "a processor", "32-true")
    others = [
        latency_entry(drop_units(model, "0.1"), clip, "a processor", "32-true"),
        latency_entry(model, clip[..., :4], "a processor", "32-true"),
        latency_entry(model, clip, "another", "32-true"),
        latency_entry(model, clip, "a processor", "bf16-mixed"),
    ]
    assert len({name, *others}) == 5
    store, measured = LatencyStore(tmp_path), {Unit(3): 1.5, Unit(3, "mlp", 2): 0.25}
    assert store.get(name, lambda: measured) == measured
    assert store.get(name, pytest.fail) == measured


@pytest.mark.parametrize("damage", ["", "[1, 2]", '{"3": null}', '{"3.what": 1.0}', '{"3": NaN}'])
def test_a_damaged_table_is_measured_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "entry.json").write_text(damage)
    store, measured = LatencyStore(tmp_path), {Unit(3): 1.5}
    assert store.get("entry", lambda: measured) == measured
    assert "computing its latencies again" in caplog.text
    assert store.get("entry", pytest.fail) == measured
