"""Answers to the validation clips, for a search."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from vitprune.models import build_model
from vitprune.pruning import Compared, ModelComparison, drop_layers
from vitprune.training import VideoClassifier
from vitprune.training.classifier import view_probabilities

DROPPED = (1, 4, 9)
Batch = dict[str, Tensor]


def batches(videos: int, views: int, seed: int, repeated: int = 0) -> list[Batch]:
    """Noise in batches of two; the first ``repeated`` videos come again at the end."""
    draw = torch.Generator().manual_seed(seed)
    clips = torch.randn(videos, views, 3, 4, 32, 32, generator=draw)
    labels = torch.randint(3, (videos,), generator=draw)
    order = [*range(videos), *range(repeated)]
    return [
        {"clips": clips[part], "label": labels[part], "video": torch.tensor(part)}
        for part in (order[i : i + 2] for i in range(0, len(order), 2))
    ]


@pytest.fixture
def classifier() -> VideoClassifier:
    torch.manual_seed(0)
    model = build_model("mvit", "tiny", num_classes=3, num_frames=4, image_size=32)
    model.initialise_for_scratch(gain=3.0)  # so that dropping changes answers
    return VideoClassifier(model, ["a", "b", "c"], {})


def smaller(classifier: VideoClassifier) -> dict[str, VideoClassifier]:
    return {"pruned": classifier.with_model(drop_layers(classifier.model, DROPPED))}


def outcome_of(classifier: VideoClassifier, comparison: ModelComparison) -> Compared:
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[comparison],
    )  # fmt: skip
    trainer.test(classifier, DataLoader(batches(4, 1, 1), batch_size=None), verbose=False)
    return comparison.outcome


def test_a_search_gets_answers_to_the_validation_clips(classifier: VideoClassifier) -> None:
    given = batches(12, 2, 3, repeated=3)
    others = smaller(classifier)
    outcome = outcome_of(classifier, ModelComparison(others, lambda: given))
    assert outcome.test.videos == 4
    validation = outcome.val
    assert validation is not None
    assert validation.videos == 12
    with torch.no_grad():
        for name, one in {"full": classifier, **others}.items():
            found = validation.models[name].prediction
            answers = [view_probabilities(one.model.eval(), b["clips"]).argmax(1) for b in given]
            assert found.tolist() == torch.cat(answers)[:12].tolist()
    assert validation.label.tolist() == torch.cat([b["label"] for b in given])[:12].tolist()
    assert set(outcome.seconds) == {"validate", "evaluate", "cost"}
    changed = validation.models["full"].prediction != validation.models["pruned"].prediction
    assert changed.any()
    described = outcome.described()["val"]
    assert described["videos"] == 12
    assert described["pruned"] == validation.models["pruned"].accuracy()


def test_without_a_search_only_the_test_clips_are_answered(classifier: VideoClassifier) -> None:
    outcome = outcome_of(classifier, ModelComparison(smaller(classifier)))
    assert outcome.val is None
    assert set(outcome.seconds) == {"evaluate", "cost"}
    assert "val" not in outcome.described()
