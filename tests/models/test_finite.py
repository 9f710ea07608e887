"""Logits that are not finite are an error that says of which video, model and layer."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from vitprune.heads.attention import attention_maps, rollout
from vitprune.heads.causal import probabilities_without
from vitprune.importance import Unit, score
from vitprune.models import VideoTransformer, build_model
from vitprune.models.finite import NotFinite, first_not_finite
from vitprune.pruning import DropCurves, ModelComparison, drop_layers
from vitprune.results.curves import Order
from vitprune.training import VideoClassifier, view_probabilities

NAMES = ("timesformer", "video_swin", "mvit", "videomae", "vivit", "vjepa2", "videoprism")
SETTINGS = {"num_frames": 4, "image_size": 32}
HALF: Callable[[], AbstractContextManager] = partial(torch.autocast, "cpu", torch.float16)
TOO_LARGE = "use trainer.precision=bf16-mixed or trainer.precision=32-true"


def overflowing(name: str = "mvit", layer: int = 7) -> VideoTransformer:
    """A model with a layer whose activations float16 cannot hold, and float32 can."""
    torch.manual_seed(0)
    model = build_model(name, "tiny", num_classes=5, **SETTINGS).eval()
    with torch.no_grad():
        model.blocks[layer].branches["mlp"].fc1.weight *= 1e5
    return model


def clips(n: int = 3) -> Tensor:
    return torch.randn(n, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


def batch() -> dict:
    return {"clips": clips()[:, None], "label": torch.tensor([0, 1, 2]),
            "video": torch.arange(3), "name": ["a.mp4", "b.mp4", "c.mp4"]}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_overflows_in_a_layer_that_is_named(name: str) -> None:
    model = overflowing(name)
    with torch.no_grad():
        assert first_not_finite(model, clips()) is None
        with HALF():
            assert first_not_finite(model, clips()) == "layer 7"
            with pytest.raises(NotFinite) as caught:
                view_probabilities(model, clips(4).unflatten(0, (2, 2)), ["a.mp4", "b.mp4"])
    assert str(caught.value) == (
        "a.mp4: the logits of the full model are not finite, first in layer 7; 16-bit floats "
        f"end at 65504: {TOO_LARGE}"
    )


def test_embedding_and_classifier_are_named() -> None:
    model = overflowing()
    with torch.no_grad():
        model.head.bias[2] = -torch.inf  # alone it would pass for a probability of zero
        assert first_not_finite(model, clips()) == "the classifier"
        with pytest.raises(NotFinite, match=r"its weights have diverged .* model\.recipe\.lr"):
            view_probabilities(model, clips()[:, None])
    broken = clips()
    broken[1, 0, 0, 0, 0] = torch.nan
    assert first_not_finite(model, broken) == "the embedding"
    with torch.no_grad(), pytest.raises(NotFinite, match=r"^b: .* first in the embedding"):
        view_probabilities(overflowing(), broken[:, None], ["a", "b", "c"])


@pytest.mark.parametrize("measure", ["ablation", "cosine", "taylor"])
def test_scoring_refuses(measure: str) -> None:
    model = overflowing()
    assert len(score(model, [batch()], measure=measure, progress=False).clips) == 3
    with pytest.raises(NotFinite, match=r"^a\.mp4: the logits of the full model .*in layer 7;"):
        score(model, [batch()], measure=measure, progress=False, autocast=HALF)


def test_scoring_without_clips_refuses() -> None:
    model = overflowing()
    with torch.no_grad():
        model.blocks[3].branches["mlp"].fc1.weight[0, 0] = torch.nan
    with pytest.raises(NotFinite, match=r"^the scores \(magnitude\) of the full model, layer 3,"):
        score(model, [batch()], measure="magnitude", progress=False)


@pytest.mark.parametrize("scope", ["layer", "mlp", "attention", "head"])
def test_a_unit_without_which_the_model_breaks_is_named(scope: str) -> None:
    model = build_model("timesformer", "tiny", num_classes=5, **SETTINGS).eval().half()
    layers = [block.branches for block in model.blocks]
    large = 40000.0  # twice that is more than float16 holds, so layer 7 must take one off
    with torch.no_grad():
        for layer in (6, 8):
            layers[layer]["mlp"].fc2.bias[0] = large
        layers[9]["mlp"].fc2.bias[0] = -large
        if scope in ("layer", "mlp"):
            layers[7]["mlp"].fc2.bias[0] = -large
        else:
            attention = layers[7]["space"]
            width = attention.proj.in_features
            part = width // attention.num_heads
            attention.qkv.weight[2 * width : 2 * width + part] = 0
            attention.qkv.bias[2 * width : 2 * width + part] = 1
            attention.proj.weight[0] = 0
            attention.proj.weight[0, :part] = -large / part
        assert model(clips().half()).isfinite().all()
    unit = {"head": "head 7.0", "layer": "layer 7"}.get(scope, f"7.{scope}")
    with pytest.raises(NotFinite) as caught:
        score(model, [batch()], scope, progress=False)
    assert str(caught.value) == (
        "a.mp4: the scores (JSD, dProb/predicted, dProb/label) of the model with "
        f"{unit} ablated are not finite, first in layer 8; 16-bit floats end at 65504: "
        f"{TOO_LARGE}"
    )


class HalfTest(VideoClassifier):
    """Whose full model answers in float32, and what Lightning's callbacks add in float16."""

    def test_step(self, batch: dict, batch_idx: int) -> dict:
        with torch.autocast("cpu", enabled=False):
            return super().test_step(batch, batch_idx)


def quiet_trainer(tmp_path: Path, *callbacks: pl.Callback, **settings: object) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=tmp_path, callbacks=list(callbacks),
        **settings,  # type: ignore[arg-type]
    )  # fmt: skip


def half_trainer(tmp_path: Path, callback: pl.Callback) -> pl.Trainer:
    """With 16-mixed as on a GPU; on a CPU Lightning would take bfloat16 instead."""
    trainer = quiet_trainer(tmp_path, callback)
    trainer.precision_plugin.forward_context = HALF  # type: ignore[method-assign]
    return trainer


def loader() -> DataLoader:
    names = ("a.mp4", "b.mp4", "c.mp4")
    rows = zip(clips()[:, None], range(3), names, strict=True)
    return DataLoader(
        [{"clips": c, "label": i, "video": i, "name": n} for c, i, n in rows],  # type: ignore[arg-type]
        batch_size=2,
    )


def test_the_full_model_refuses_in_tests_and_validation(tmp_path: Path) -> None:
    classifier = VideoClassifier(overflowing(), list("abcde"), SETTINGS)
    message = r"^a\.mp4: the logits of the full model are not finite, first in layer 7;"
    for run in ("test", "validate"):
        getattr(quiet_trainer(tmp_path), run)(classifier, loader(), verbose=False)
        with pytest.raises(NotFinite, match=message):
            getattr(quiet_trainer(tmp_path, precision="16-true"), run)(
                classifier, loader(), verbose=False
            )
        classifier.float()


def test_the_pruned_model_refuses(tmp_path: Path) -> None:
    classifier = HalfTest(overflowing(), list("abcde"), SETTINGS)
    pruned = classifier.with_model(drop_layers(classifier.model, [3, 5]))
    message = r"^a\.mp4: the logits of the model without layers 3, 5 are .* in layer 7;"
    with pytest.raises(NotFinite, match=message):
        half_trainer(tmp_path, ModelComparison({"pruned": pruned})).test(
            classifier, loader(), verbose=False
        )


def test_curves_refuse(tmp_path: Path) -> None:
    classifier = HalfTest(overflowing(), list("abcde"), SETTINGS)
    orders = [Order("R", "oneshot", ("7", "3")), Order("random", "oneshot", ("3", "7"))]
    curves = DropCurves(lambda: orders, loader)
    message = r"^a\.mp4: the logits of the full model are not finite, first in layer 7;"
    with pytest.raises(NotFinite, match=message):
        half_trainer(tmp_path, curves).test(classifier, loader(), verbose=False)


def test_training_names_epoch_and_step(tmp_path: Path) -> None:
    classifier = VideoClassifier(overflowing().train(), list("abcde"), SETTINGS, lr=1e30)
    trainer = quiet_trainer(tmp_path, max_epochs=3)
    message = r"^fine-tuning: the loss is (nan|inf) in epoch 1, step 2; its weights have diverged"
    with pytest.raises(NotFinite, match=message):
        trainer.fit(classifier, loader())


@pytest.mark.parametrize("look", ["maps", "rollout", "causal"])
def test_what_heads_do_refuses(look: str) -> None:
    model = overflowing()
    names = ["a.mp4", "b.mp4", "c.mp4"]
    head = Unit(9, number=0)
    looks = {
        "maps": lambda: attention_maps(model, clips(), [head], names=names),
        "rollout": lambda: rollout(model, clips(), names),
        "causal": lambda: probabilities_without(model, [batch()], [(head,)]),
    }
    looks[look]()
    which = "the model with head 9.0 ablated" if look == "causal" else "the full model"
    message = rf"^a\.mp4: the logits of {which} are not finite, first in layer 7;"
    with HALF(), pytest.raises(NotFinite, match=message):
        looks[look]()
