"""What a job exports is called by what it is."""

from __future__ import annotations

from dataclasses import replace

from vitprune.models import build_model
from vitprune.pruning import drop_layers
from vitprune.tasks.export import stage_of
from vitprune.training import VideoClassifier
from vitprune.training.provenance import Provenance


def test_a_model_alone_has_the_name_of_its_stage() -> None:
    model = build_model("timesformer", "tiny", num_classes=2, config={"depth": 2})
    full = VideoClassifier(model, ["a", "b"], {"num_frames": 4, "image_size": 32})
    assert stage_of(full) == "full"
    pruned = full.with_model(drop_layers(model, [1]))
    assert stage_of(pruned) == "pruned"
    known = Provenance({}, {}, ())
    pruned.provenance = known
    assert stage_of(pruned) == "pruned"
    pruned.provenance = replace(known, recovered=({"name": "linear"},))
    assert stage_of(pruned) == "recovered"
