"""The pruning experiment as a callback of Lightning's test."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from vitprune.importance import SCOPES, Scores, Unit, score
from vitprune.models import VideoTransformer, build_model
from vitprune.pruning import ModelComparison, choose, drop_layers, drop_units
from vitprune.pruning.cost import costs
from vitprune.training import VideoClassifier

SETTINGS = {"num_frames": 4, "image_size": 32}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency is taken of five turns, and not of as many as there are in two seconds."""
    monkeypatch.setitem(costs.__kwdefaults__, "seconds", 0.0)


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


@pytest.mark.parametrize("scope", SCOPES)
def test_a_pruned_model_can_be_pruned_by_gradients_and_trained(scope: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model("mvit", "tiny", num_classes=3, **SETTINGS)
    classifier = VideoClassifier(model, ["a", "b", "c"], SETTINGS)

    def taylor(model: VideoTransformer) -> Scores:
        return score(model, loader(), scope, measure="taylor", progress=False)

    def rank(scores: Scores) -> list[Unit]:
        return scores.rank("taylor")

    plan = choose(classifier.model, 2, taylor, rank, at_once=1)
    pruned = classifier.with_model(drop_units(classifier.model, plan.dropped))
    comparison = ModelComparison({"pruned": pruned})
    trainer(tmp_path, comparison).test(classifier, loader(), verbose=False)
    before = {name: value.clone() for name, value in pruned.state_dict().items()}
    trainer(tmp_path, max_steps=2).fit(pruned.train(), loader(), loader())
    assert pruned.model.dropped == tuple(sorted(plan.dropped))
    assert any(not torch.equal(value, before[name]) for name, value in pruned.state_dict().items())


def test_every_model_answers_the_very_clips_of_the_test(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model("mvit", "tiny", num_classes=3, **SETTINGS)
    model.initialise_for_scratch(gain=3.0)  # so that dropping changes answers
    classifier = VideoClassifier(model, ["a", "b", "c"], SETTINGS)
    others = {
        name: classifier.with_model(drop_layers(model, layers))
        for name, layers in (("pruned", [1, 4]), ("recovered", [2]), ("third", [9, 10, 11]))
    }
    comparison = ModelComparison(others)
    with pytest.raises(RuntimeError, match="no outcome yet"):
        _ = comparison.outcome
    trainer(tmp_path, comparison).test(classifier, loader(), verbose=False)
    outcome = comparison.outcome
    assert list(outcome.test.models) == ["full", *others]
    clips = torch.cat([batch["clips"][:, 0] for batch in loader()])
    for name, one in {"full": classifier, **others}.items():
        with torch.no_grad():
            expected = one.eval()(clips).argmax(1)
        assert outcome.test.models[name].prediction.tolist() == expected.tolist()
    described = outcome.described()
    assert list(described) == ["full", *others]
    sizes = {name: described[name]["parameters"] for name in described}
    assert sizes["full"] > sizes["recovered"] > sizes["pruned"] > sizes["third"]
    assert all(0 <= one["top1"] <= one["top5"] <= 1 for one in described.values())
