import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_chain import CLIP, toy

from vitprune.importance import Unit, ablate, units_of, without
from vitprune.models import build_model
from vitprune.models.places import resolved
from vitprune.models.unit import SCOPES, in_words, read_units

layers = st.integers(0, 99)
numbers = st.integers(0, 99)
names = st.sampled_from(["time", "space", "attention", "mlp", "cross_2"])
UNITS = st.one_of(
    st.builds(Unit, layers),
    st.builds(Unit, layers, st.sampled_from(["attention", "mlp"])),
    st.builds(Unit, layers, st.just("") | names, numbers),
)


@pytest.mark.parametrize(
    ("unit", "text"),
    [(Unit(3), "3"), (Unit(22, number=10), "22.10"), (Unit(3, "time", 5), "3.time.5")],
)
def test_written_and_parsed(unit, text):
    assert str(unit) == text
    assert Unit.parse(text) == unit


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("3", "layer"), ("3.attention", "attention"), ("3.mlp", "mlp"), ("3.7", "head"),
        ("3.time.7", "head"), ("3.mlp.5", "neurons"),
    ],
)  # fmt: skip
def test_a_unit_alone_says_what_it_is(text, scope):
    assert Unit.parse(text).scope == scope
    assert str(Unit.parse(text)) == text


@given(UNITS)
def test_every_unit_is_read_as_it_is_written(unit):
    assert Unit.parse(str(unit)) == unit
    assert unit.scope in SCOPES


@given(st.lists(UNITS))
def test_lists_are_read_as_they_are_written(units):
    assert read_units(units) == units
    if units:
        assert read_units(", ".join(map(str, units))) == units


@given(UNITS, UNITS, UNITS)
def test_units_have_one_order(one, other, third):
    assert (one < other) + (other < one) + (one == other) == 1
    if one < other < third:
        assert one < third


def test_units_in_words():
    units = read_units("3,5,2.attention,1.4,1.mlp.0,1.mlp.1")
    assert in_words(units) == "layers 3, 5, 2.attention, head 1.4, 1.mlp.0, 1.mlp.1"


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
    assert unit == Unit(2, number=1)
    with without(model, "2.space.1"):
        assert model.blocks[2].attentions["space"].part_gate.tolist() == [1, 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "1.",
        "1.time",
        "1.2.3",
        "1.time.2.3",
        "1h",
        "h1",
        "1.h2",
        "1.mlp.",
        "mlp",
        "1.mlph2",
    ],
)
def test_what_is_no_unit(text):
    with pytest.raises(ValueError, match="is no unit"):
        Unit.parse(text)


def test_units_sort_in_order_of_execution():
    for scope in (*SCOPES, "any"):
        units = units_of(toy(), scope)
        assert sorted(reversed(units)) == units
        assert len(set(units)) == len(units)
        assert {unit.scope for unit in units} == ({*SCOPES} if scope == "any" else {scope})
    assert [str(unit) for unit in units if unit.layer == 2] == [
        "2",
        "2.attention",
        *(f"2.time.{head}" for head in range(4)),
        *(f"2.{head}" for head in range(2)),
        "2.mlp",
        *(f"2.mlp.{group}" for group in range(8)),
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
