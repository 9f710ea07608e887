import pytest
import torch
from toy_chain import CLIP, toy

from vitprune.importance import Unit, ablate, units_of, without_heads
from vitprune.importance.unit import resolved
from vitprune.models import build_model


@pytest.mark.parametrize(
    ("unit", "text"),
    [(Unit(3), "3"), (Unit(22, 10), "22.10"), (Unit(3, 5, "time"), "3.time.5")],
)
def test_written_and_parsed(unit, text):
    assert str(unit) == text
    assert Unit.parse(text) == unit


@pytest.mark.parametrize(
    ("text", "same"), [("22h10", "22.10"), ("3.time.h5", "3.time.5"), ("03h05", "3.5")]
)
def test_an_h_may_mark_the_head(text, same):
    assert Unit.parse(text) == Unit.parse(same)


@pytest.mark.parametrize(
    ("name", "text", "same"),
    [
        ("timesformer", "3.space.2", "3.2"),
        ("timesformer", "3.time.2", "3.time.2"),
        ("mvit", "3.attention.0", "3.0"),
        ("mvit", "3.space.0", "3.space.0"),
        ("mvit", "99.attention.0", "99.attention.0"),
    ],
)
def test_the_last_attention_of_a_layer_needs_no_name(name, text, same):
    with torch.device("meta"):
        model = build_model(name, "tiny")
    assert str(resolved(model, Unit.parse(text))) == same


def test_ablating_takes_the_last_attention_by_its_name():
    model = toy()
    clips = torch.randn(2, *CLIP)
    (unit,) = ablate(model, clips, "head", units=[Unit.parse("2.space.1")]).units
    assert unit == Unit(2, 1)
    with without_heads(model, [Unit.parse("2.space.1")]):
        assert model.blocks[2].attentions["space"].head_gate.tolist() == [1, 0]


@pytest.mark.parametrize(
    "text", ["", "a", "1.", "1.time", "1.2.3", "1.time.2.3", "1h", "h1", "1.h2"]
)
def test_what_is_no_unit(text):
    with pytest.raises(ValueError, match="is no unit"):
        Unit.parse(text)


def test_units_sort_in_order_of_execution():
    for scope in ("layer", "attention", "mlp", "head"):
        units = units_of(toy(), scope)
        assert sorted(reversed(units)) == units
        assert len(set(units)) == len(units)
    assert [str(unit) for unit in units if unit.layer == 2] == [
        *(f"2.time.{head}" for head in range(4)),
        *(f"2.{head}" for head in range(2)),
    ]


@pytest.mark.parametrize(
    ("name", "layers", "first"),
    [("timesformer", 12, "0.time.0"), ("video_swin", 24, "0.0"), ("mvit", 16, "0.0")],
)
def test_real_architectures(name, layers, first):
    with torch.device("meta"):
        model = build_model(name, "tiny")
    assert [str(unit) for unit in units_of(model)] == [str(i) for i in range(layers)]
    assert str(units_of(model, "head")[0]) == first
