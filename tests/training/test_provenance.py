"""What a checkpoint says of how it came about."""

import json
from pathlib import Path

import pytest
import torch

from vitprune.models import build_model
from vitprune.models.bridge import Bridge, bridges, insert
from vitprune.models.dropping import drop_layers
from vitprune.models.unit import Unit
from vitprune.training import Provenance, VideoClassifier
from vitprune.training.provenance import DESCRIPTION, Excerpt

SETTINGS = {"num_frames": 4, "image_size": 32}
SEEN = [Excerpt("one"), Excerpt("two")]
FIRST = Provenance({"seed": 0}, {"train": "a list"}, SEEN)
HOW = {"recover": {"name": "linear", "clips": 5}, "dropped": [2]}


def test_after_a_recovery_it_has_seen_those_clips_too() -> None:
    later = FIRST.after(HOW, [Excerpt("two"), Excerpt("three")])
    assert [clip.digest for clip in later.trained_on] == ["one", "two", "three"]
    assert later.recovered == (HOW,)
    assert (later.settings, later.splits) == (FIRST.settings, FIRST.splits)
    assert later.seen([Excerpt("four"), Excerpt("three"), Excerpt("one")]) == [1, 2]
    # What it was before stays as it was.
    assert (list(FIRST.trained_on), FIRST.recovered) == (SEEN, ())
    again = {**HOW, "dropped": [2, 5]}
    assert later.after(again, []).recovered == (HOW, again)
    assert len(later.after(again, []).trained_on) == 3


def test_it_is_the_same_after_json() -> None:
    later = FIRST.after(HOW, [Excerpt("three")])
    for one in (FIRST, later):
        assert Provenance.of(json.loads(json.dumps(one.plain()))) == one


def classifier() -> VideoClassifier:
    torch.manual_seed(0)
    model = build_model("mvit", "tiny", num_classes=3, **SETTINGS)
    return VideoClassifier(model.eval(), ["a", "b", "c"], SETTINGS, provenance=FIRST)


def test_a_checkpoint_with_bridges_says_so(tmp_path: Path) -> None:
    full = classifier()
    smaller = full.with_model(drop_layers(full.model, [2, 3, 15]))
    width = smaller.model.head.in_features
    insert(smaller.model, Bridge(15, width, "low_rank", 2))
    smaller.eval().save(tmp_path / "bridged.ckpt")
    loaded = VideoClassifier.load(tmp_path / "bridged.ckpt")
    assert [bridge.described() for bridge in bridges(loaded.model)] == [
        {"place": 15, "width": width, "kind": "low_rank", "rank": 2}
    ]
    assert loaded.provenance == FIRST
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(clips), smaller(clips))


@pytest.mark.parametrize("dropped", [[], [1, 4]])
def test_an_older_checkpoint_still_loads(dropped: list[int], tmp_path: Path) -> None:
    full = classifier()
    saved = full.with_model(drop_layers(full.model, dropped)) if dropped else full
    saved.eval().save(tmp_path / "new.ckpt")
    content = torch.load(tmp_path / "new.ckpt", weights_only=True)
    assert content[DESCRIPTION].pop("bridges") == []
    assert content[DESCRIPTION]["provenance"].pop("recovered") == []
    content[DESCRIPTION]["dropped"] = dropped  # numbers of layers
    del content[DESCRIPTION]["neuron_groups"]
    torch.save(content, tmp_path / "old.ckpt")
    loaded = VideoClassifier.load(tmp_path / "old.ckpt")
    assert loaded.model.dropped == tuple(map(Unit, dropped))
    assert bridges(loaded.model) == []
    assert loaded.provenance == FIRST
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(clips), saved(clips))
