import pytest
import torch
from toy_chain import toy

from vitprune.importance import Unit, units_of
from vitprune.models import build_model


@pytest.mark.parametrize(
    ("unit", "text"),
    [(Unit(3), "3"), (Unit(22, 4), "22.4"), (Unit(3, 5, "time"), "3.time.5")],
)
def test_written_and_parsed(unit, text):
    assert str(unit) == text
    assert Unit.parse(text) == unit


def test_space_needs_no_name():
    assert Unit.parse("3.space.5") == Unit(3, 5) == Unit.parse("3.5")


@pytest.mark.parametrize("text", ["", "a", "1.", "1.time", "1.2.3", "1.time.2.3"])
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
