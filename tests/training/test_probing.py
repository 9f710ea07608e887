"""Linear probing before fine-tuning: the best linear classifier of what the model begins with."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader

from vitprune.models import build_model
from vitprune.training import VideoClassifier
from vitprune.training.probing import PENALTY, LinearProbing, fit_linear, standardise

NAMES = ("timesformer", "video_swin", "mvit", "videomae", "vivit")
CLASSES = ["drink", "text", "phone"]
SETTINGS = {"num_frames": 4, "image_size": 32}


class Clips(pl.LightningDataModule):
    """Clips that are the brighter the higher their label is."""

    def __init__(self, count: int = 24) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.items = [
            {
                "clips": torch.randn(1, 3, 4, 32, 32, generator=draw) + 2 * (i % 3),
                "label": i % 3,
                "video": i,
            }
            for i in range(count)
        ]

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.items, batch_size=6)  # type: ignore[arg-type]


def classifier(name: str) -> VideoClassifier:
    torch.manual_seed(0)
    model = build_model(name, "tiny", num_classes=3, **SETTINGS)
    return VideoClassifier(model, CLASSES, SETTINGS, lr=1e-9)


def fit(module: VideoClassifier, data: Clips, tmp_path: Path, **keys: object) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_progress_bar=False,
        default_root_dir=tmp_path, enable_model_summary=False, callbacks=[LinearProbing()],
    )  # fmt: skip
    trainer.fit(module, datamodule=data, **keys)  # type: ignore[arg-type]
    return trainer


def test_it_is_the_logistic_regression_of_scikit_learn() -> None:
    draw = torch.Generator().manual_seed(3)
    features = torch.randn(200, 12, generator=draw)
    labels = (features[:, :4] + torch.randn(200, 4, generator=draw)).argmax(1)
    weight, bias = fit_linear(features, labels, 4)
    theirs = LogisticRegression(C=1 / (2 * len(labels) * PENALTY), tol=1e-8, max_iter=1000)
    theirs.fit(features.numpy(), labels.numpy())
    ours = (features @ weight.T + bias).softmax(1)
    expected = torch.tensor(theirs.predict_proba(features.numpy()), dtype=torch.float32)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-3)


def features_of(module: VideoClassifier, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What goes into the classifier [N, D], and the class that comes out of it [N]."""
    seen: list[torch.Tensor] = []
    hook = module.model.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        told = module.eval()(clips).argmax(1)
    hook.remove()
    return seen[0].reshape(len(clips), -1), told


@pytest.mark.parametrize("name", NAMES)
def test_features_are_standardised_and_what_they_say_is_told(name: str, tmp_path: Path) -> None:
    module, data = classifier(name), Clips()
    clips = torch.cat([item["clips"] for item in data.items])
    labels = torch.tensor([item["label"] for item in data.items])
    chance = (features_of(module, clips)[1] == labels).float().mean()
    fit(module, data, tmp_path)
    features, told = features_of(module, clips)
    assert features.mean(0).abs().max() < 1e-2
    varied = features.std(0)
    torch.testing.assert_close(varied, torch.ones_like(varied), rtol=0, atol=1e-2)
    theirs = LogisticRegression(C=1 / (2 * len(labels) * PENALTY), max_iter=1000)
    theirs.fit(features.numpy(), labels.numpy())
    assert told.tolist() == theirs.predict(features.numpy()).tolist()
    assert (told == labels).float().mean() > chance


@pytest.mark.parametrize("name", ["vjepa2", "videoprism"])
def test_without_an_ordinary_norm_the_classifier_standardises_by_itself(
    name: str, tmp_path: Path
) -> None:
    module, data = classifier(name), Clips()
    assert module.model.feature_norm is None
    clips = torch.cat([item["clips"] for item in data.items])
    labels = torch.tensor([item["label"] for item in data.items])
    before, _ = features_of(module, clips)
    fit(module, data, tmp_path)
    features, told = features_of(module, clips)
    torch.testing.assert_close(features, before, rtol=0, atol=1e-3)
    x = (before - before.mean(0)) / before.std(0)
    theirs = LogisticRegression(C=1 / (2 * len(labels) * PENALTY), max_iter=1000)
    theirs.fit(x.numpy(), labels.numpy())
    assert told.tolist() == theirs.predict(x.numpy()).tolist()


def test_standardising_changes_features_by_an_affine_map_only() -> None:
    module = classifier("video_swin").eval()
    clips = torch.cat([item["clips"] for item in Clips(6).items])
    before: list[torch.Tensor] = []
    hook = module.model.head.register_forward_pre_hook(lambda _, inputs: before.append(inputs[0]))
    with torch.no_grad():
        module(clips)
        mean, deviation = before[0].mean(0), before[0].std(0)
        weight, bias = torch.randn(3, mean.numel()), torch.randn(3)
        standardise(module.model, mean, deviation, weight, bias)
        logits = module(clips)
    hook.remove()
    expected = (before[0] - mean) / deviation @ weight.T + bias
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)


def test_a_fine_tuning_that_goes_on_is_not_fitted_again(tmp_path: Path) -> None:
    module, data = classifier("mvit"), Clips()
    trainer = fit(module, data, tmp_path)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    module.model.head.weight.data.zero_()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_progress_bar=False,
        default_root_dir=tmp_path, enable_model_summary=False, callbacks=[LinearProbing()],
    )  # fmt: skip
    kept = torch.load(tmp_path / "last.ckpt", weights_only=False)["state_dict"]["model.head.weight"]
    trainer.fit(module, datamodule=data, ckpt_path=tmp_path / "last.ckpt")
    torch.testing.assert_close(module.model.head.weight.data, kept, rtol=0, atol=1e-5)
