"""Ablating named heads, and random ones to compare with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vitprune.heads.causal import accuracy_per_class, probabilities_without, random_peers
from vitprune.importance import Unit, ablate, units_of, without
from vitprune.models import VideoTransformer, build_model

NAMES = ("timesformer", "video_swin", "mvit", "videomae", "vivit", "vjepa2", "videoprism")


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> VideoTransformer:
    torch.manual_seed(0)
    return build_model(request.param, "tiny", num_classes=4, num_frames=4, image_size=32)


def test_probabilities_are_those_of_the_engine(model: VideoTransformer) -> None:
    clips = torch.randn(3, 1, 3, 4, 32, 32)
    units = units_of(model, "head")[1::17]
    batches = [{"clips": clips[:2]}, {"clips": clips[2:]}]
    found = probabilities_without(model, batches, [(), *((unit,) for unit in units)])
    expected = ablate(model, clips[:, 0], "head", units=units)
    logits = torch.cat([expected.full[None], expected.ablated])
    np.testing.assert_allclose(found, logits.softmax(-1), atol=1e-5)
    assert model.training
    assert all(getattr(module, "part_gate", None) is None for module in model.modules())


def test_several_heads_at_once(model: VideoTransformer) -> None:
    units = units_of(model, "head")[-3:]
    with without(model, units):
        block = model.blocks[-1]
        gate = list(block.attentions.values())[-1].part_gate
        assert gate is not None
        assert gate.sum() == len(gate) - sum(u.branch == "" for u in units)
    with pytest.raises(ValueError, match=r"no head 99\.0"), without(model, [Unit(99, number=0)]):
        pass


def test_random_heads_come_from_the_same_layer(model: VideoTransformer) -> None:
    units = units_of(model, "head")
    last = [unit for unit in units if (unit.layer, unit.branch) == (units[-1].layer, "")]
    drawn, elsewhere = random_peers(model, last[:2], draws=5)
    assert elsewhere == 0
    others = len(last) - 2
    assert len(drawn) == len(set(drawn)) == min(5, others * (others - 1) // 2)
    for heads in drawn:
        assert len(heads) == 2
        assert set(heads) <= set(last[2:])
    assert drawn == random_peers(model, last[:2], draws=5).sets


def test_all_others_where_there_are_few() -> None:
    model = build_model("video_swin", "tiny", num_classes=4)
    drawn, _ = random_peers(model, [Unit(4, number=0)], draws=20)
    assert sorted(drawn) == [(Unit(4, number=1),), (Unit(4, number=2),), (Unit(4, number=3),)]
    # layer 0 has one head only: its share is drawn from all of the model
    drawn, elsewhere = random_peers(model, [Unit(0, number=0)], draws=20)
    assert (len(drawn), elsewhere) == (20, 1)
    assert (Unit(0, number=0),) not in drawn


def test_accuracy_per_class() -> None:
    probabilities = np.array([[[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]],
                              [[0.3, 0.7], [0.9, 0.1], [0.5, 0.5]]])  # fmt: skip
    top1, confidence = accuracy_per_class(probabilities, np.array([0, 0, 1]), 3)
    np.testing.assert_allclose(top1, [[0.5, 1, np.nan], [0.5, 0, np.nan]])
    np.testing.assert_allclose(confidence, [[0.65, 0.8, np.nan], [0.6, 0.5, np.nan]])
