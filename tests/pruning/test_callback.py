"""The pruning experiment as a callback of Lightning's test."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from vitprune.importance import Scores, score
from vitprune.models import VideoTransformer, build_model
from vitprune.pruning import STRATEGIES, LayerPruning, Plan, drop, drop_layers
from vitprune.training import VideoClassifier

SETTINGS = {"num_frames": 4, "image_size": 32}


def trainer(directory: Path, *callbacks: pl.Callback, **settings: int) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=directory, callbacks=list(callbacks),
        **settings,
    )  # fmt: skip


def loader() -> DataLoader:
    draw = torch.Generator().manual_seed(1)
    videos = [
        {"clips": torch.randn(1, 3, 4, 32, 32, generator=draw), "label": i % 3, "video": i}
        for i in range(4)
    ]
    return DataLoader(videos, batch_size=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["timesformer", "video_swin", "mvit"])
def test_a_model_pruned_in_inference_mode_is_an_ordinary_one(name: str) -> None:
    with torch.inference_mode():
        model = build_model(name, "tiny", num_classes=3, **SETTINGS)
        smaller = drop_layers(model, [0, 3])
    tensors = [*smaller.parameters(), *smaller.buffers()]
    assert not any(tensor.is_inference() for tensor in tensors)
    smaller(torch.randn(1, 3, 4, 32, 32)).sum().backward()


def test_a_pruned_model_can_be_pruned_by_gradients_and_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model("mvit", "tiny", num_classes=3, **SETTINGS)
    classifier = VideoClassifier(model, ["a", "b", "c"], SETTINGS)

    def taylor(model: VideoTransformer) -> Scores:
        return score(model, loader(), measure="taylor", progress=False)

    def rank(scores: Scores) -> list[int]:
        return [unit.layer for unit in scores.rank("taylor")]

    def greedy(classifier: VideoClassifier) -> tuple[Plan, VideoClassifier]:
        plan = STRATEGIES["greedy"](classifier.model, 2, taylor, rank)
        return plan, drop(classifier, plan)

    pruning = LayerPruning(greedy)
    trainer(tmp_path, pruning).test(classifier, loader(), verbose=False)
    pruned = pruning.outcome.pruned
    before = {name: value.clone() for name, value in pruned.state_dict().items()}
    trainer(tmp_path, max_steps=2).fit(pruned.train(), loader(), loader())
    assert pruned.model.dropped == tuple(sorted(pruning.outcome.plan.dropped))
    assert any(not torch.equal(value, before[name]) for name, value in pruned.state_dict().items())
