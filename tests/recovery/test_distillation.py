"""Distillation from the full model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor
from torch.utils.data import DataLoader

from vitprune.models import build_model
from vitprune.models.bridge import bridges
from vitprune.models.dropping import drop_layers
from vitprune.models.unit import Unit
from vitprune.recovery import Distillation, fit_bridges
from vitprune.recovery.distillation import seen, soft_divergence, unlike
from vitprune.training import VideoClassifier

CLASSES = ["drink", "text", "phone"]
SETTINGS = {"num_frames": 4, "image_size": 32}
DROPPED = [2, 5, 6]


def clips(count: int = 8, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 4, 32, 32, generator=torch.Generator().manual_seed(seed))


def pair(name: str = "mvit") -> tuple[VideoClassifier, VideoClassifier]:
    """A full classifier with answers that are not all alike, and a pruned one."""
    torch.manual_seed(0)
    model = build_model(name, "tiny", num_classes=3, **SETTINGS)
    model.initialise_for_scratch(gain=2.0)
    with torch.no_grad():
        model.head.weight *= 20
    full = VideoClassifier(model.eval(), CLASSES, SETTINGS)
    return full, full.with_model(drop_layers(model, DROPPED))


def loader(labels: list[int] | None = None) -> DataLoader:
    labels = labels or [i % 3 for i in range(8)]
    batch = [
        {"clips": clip[None], "label": label, "video": i}
        for i, (clip, label) in enumerate(zip(clips(), labels, strict=True))
    ]
    return DataLoader(batch, batch_size=4)  # type: ignore[arg-type]


def trainer(tmp_path: Path, epochs: int) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path,
        limit_val_batches=0,
    )  # fmt: skip


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
def test_the_divergence_is_the_definitions(temperature: float) -> None:
    draw = np.random.default_rng(0)
    ours, theirs = 4 * draw.normal(size=(2, 6, 5))
    p, q = softmax(theirs / temperature, axis=1), softmax(ours / temperature, axis=1)
    found = soft_divergence(torch.tensor(ours), torch.tensor(theirs), temperature)
    assert float(found) == pytest.approx(temperature**2 * entropy(p, q, axis=1).mean(), rel=1e-5)
    assert float(soft_divergence(torch.tensor(ours), torch.tensor(ours), temperature)) < 1e-6


def test_the_tokens_error_is_a_share_of_the_full_models() -> None:
    wanted = torch.randn(2, 5, 4)
    assert float(unlike(torch.zeros(2, 5, 4), wanted)) == pytest.approx(1)
    assert float(unlike(wanted, wanted)) == 0
    assert float(unlike(3 * wanted, wanted)) == pytest.approx(4)


@pytest.mark.parametrize("name", ["mvit", "videomae"])
def test_tokens_and_logits_are_those_of_a_forward(name: str) -> None:
    full, pruned = pair(name)
    with torch.no_grad():
        logits, tokens = seen(pruned.model.eval(), clips(2))
        torch.testing.assert_close(logits, pruned.model(clips(2)))
        assert tuple(tokens) == pruned.model.layers
        _, theirs = seen(full.model, clips(2), set(tokens))
    assert {k: x.shape for k, x in theirs.items()} == {k: x.shape for k, x in tokens.items()}
    # In front of the first gap both are the same.
    assert all(torch.allclose(theirs[k], tokens[k], atol=1e-5) for k in tokens if k < DROPPED[0])
    assert not torch.allclose(theirs[3], tokens[3], atol=1e-3)


def test_the_full_model_is_left_as_it_is_and_in_no_checkpoint(tmp_path: Path) -> None:
    full, pruned = pair()
    before = {name: value.clone() for name, value in full.state_dict().items()}
    module = Distillation(pruned, full.model, lr=1e-3)
    assert module.teacher is full.model
    assert module.state_dict().keys() == pruned.state_dict().keys()
    assert not set(map(id, module.parameters())) & set(map(id, full.parameters()))
    training = trainer(tmp_path, 1)
    training.fit(module.train(), loader())
    assert all(parameter.grad is None for parameter in full.parameters())
    assert not any(part.training for part in full.model.modules())
    assert all(torch.equal(value, before[name]) for name, value in full.state_dict().items())
    training.save_checkpoint(tmp_path / "lightning.ckpt")
    saved = torch.load(tmp_path / "lightning.ckpt", weights_only=True)
    assert saved["state_dict"].keys() == pruned.state_dict().keys()
    assert saved["vitprune"]["dropped"] == [*map(str, DROPPED)]


@pytest.mark.parametrize("features", [0.0, 1.0])
@pytest.mark.parametrize("name", ["timesformer", "videomae"])
def test_a_few_steps_lower_the_divergence(name: str, features: float, tmp_path: Path) -> None:
    full, pruned = pair(name)

    def divergence() -> float:
        with torch.no_grad():
            return float(soft_divergence(pruned.eval()(clips()), full(clips()), 2.0))

    before = divergence()
    module = Distillation(pruned, full.model, features=features, lr=1e-3, warmup=0.0)
    trainer(tmp_path, 10).fit(module.train(), loader())
    assert divergence() < 0.75 * before


@pytest.mark.parametrize("labels", [False, True])
def test_labels_are_looked_at_only_where_they_shall_be(labels: bool) -> None:
    full, pruned = pair()
    module = Distillation(pruned.eval(), full.model, labels=labels)
    one, other = torch.tensor([0, 1, 2, 0]), torch.tensor([2, 2, 0, 1])
    with torch.no_grad():
        losses = [module.objective(clips(4), target)[1] for target in (one, other)]
        assert bool(losses[0] == losses[1]) is not labels
        if labels:
            logits, loss = module.objective(clips(4), one)
            without = Distillation(pruned, full.model).eval().objective(clips(4), one)[1]
            torch.testing.assert_close(loss - without, module.loss(logits, one))


def test_the_tokens_count_as_much_as_the_answers() -> None:
    full, pruned = pair()
    with torch.no_grad():
        answers, both, twice = (
            Distillation(pruned.eval(), full.model, features=features)
            .eval()
            .objective(clips(4), torch.zeros(4, dtype=torch.long))[1]
            for features in (0.0, 1.0, 2.0)
        )
    assert float(answers) > 0
    torch.testing.assert_close(both, 2 * answers)
    torch.testing.assert_close(twice, 3 * answers)


def test_clips_are_mixed_for_both_models(tmp_path: Path) -> None:
    full, pruned = pair()
    shown: dict[str, list[Tensor]] = {"full": [], "pruned": []}
    for name, one in (("full", full), ("pruned", pruned)):
        embed = one.model.embed
        one.model.embed = (  # type: ignore[method-assign]
            lambda x, embed=embed, name=name: shown[name].append(x.clone()) or embed(x)
        )
    module = Distillation(pruned, full.model, mixup=0.8)
    trainer(tmp_path, 1).fit(module.train(), loader())
    assert len(shown["full"]) == len(shown["pruned"]) == 2
    assert all(map(torch.equal, shown["full"], shown["pruned"]))
    original = clips()
    mixed = torch.cat(shown["full"])
    assert not any(torch.equal(clip, own) for clip in mixed for own in original)


def test_what_is_saved_is_an_ordinary_checkpoint(tmp_path: Path) -> None:
    full, pruned = pair()
    bridged = fit_bridges(pruned.model, full.model, [clips(10)], kind="low_rank", rank=2).model
    module = Distillation(pruned.with_model(bridged), full.model, lr=1e-3)
    training = trainer(tmp_path, 1)
    training.fit(module.train(), loader())
    training.save_checkpoint(tmp_path / "lightning.ckpt")
    module.eval().save(tmp_path / "own.ckpt")
    for path in ("lightning.ckpt", "own.ckpt"):
        loaded = VideoClassifier.load(tmp_path / path)
        assert type(loaded) is VideoClassifier
        assert (loaded.class_names, loaded.clip_settings) == (CLASSES, SETTINGS)
        assert loaded.model.dropped == tuple(map(Unit, DROPPED))
        assert [bridge.place for bridge in bridges(loaded.model)] == [2, 6]
        with torch.no_grad():
            torch.testing.assert_close(loaded(clips()), module(clips()))
