"""Checkpoints that describe themselves, views, and the optimizer."""

import csv
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader

from vitprune.errors import InputError
from vitprune.models import build_model
from vitprune.models.unit import read_units
from vitprune.pruning import drop_layers, drop_units
from vitprune.training import VideoClassifier, view_probabilities

NAMES = ("timesformer", "video_swin", "mvit", "videomae", "vivit", "vjepa2", "videoprism")
CLASSES = ["drink", "text", "phone"]
SETTINGS = {"num_frames": 4, "image_size": 32}


def classifier(name: str = "mvit", **recipe: float) -> VideoClassifier:
    torch.manual_seed(0)
    model = build_model(name, "tiny", num_classes=3, **SETTINGS)
    return VideoClassifier(model, CLASSES, SETTINGS, **recipe)


def clips(n: int = 2) -> torch.Tensor:
    return torch.randn(n, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "dropped", ["", "0", "2,3,11", "1.mlp,11", "0.attention,3.0,3.mlp.7,9.mlp.0,9.mlp.2"]
)
def test_a_checkpoint_needs_nothing_but_itself(name: str, dropped: str, tmp_path: Path) -> None:
    full = classifier(name).eval()
    full.model.group_neurons(9)
    units = read_units(dropped) if dropped else []
    saved = full.with_model(drop_units(full.model, units))
    saved.eval().save(tmp_path / "model.ckpt")
    loaded = VideoClassifier.load(tmp_path / "model.ckpt")
    assert loaded.class_names == CLASSES
    assert loaded.clip_settings == SETTINGS
    assert loaded.model.dropped == tuple(units)
    assert loaded.model.neuron_groups == 9
    with torch.no_grad():
        torch.testing.assert_close(loaded(clips()), saved(clips()), rtol=0, atol=0)


def test_dropping_again_from_a_loaded_checkpoint(tmp_path: Path) -> None:
    full = classifier().eval()
    once = full.with_model(drop_layers(full.model, [1, 5]))
    once.save(tmp_path / "once.ckpt")
    twice = drop_units(VideoClassifier.load(tmp_path / "once.ckpt").model, "3,4.mlp,9.0")
    assert [*map(str, twice.dropped)] == ["1", "3", "4.mlp", "5", "9.0"]
    both = drop_units(full.model, "9.0,1,3,5,4.mlp")
    with torch.no_grad():
        torch.testing.assert_close(twice(clips()), both(clips()), rtol=0, atol=0)


def test_lightning_writes_and_resumes_the_same_format(tmp_path: Path) -> None:
    model = classifier()
    batch = [{"clips": clips(1), "label": i % 3, "video": i} for i in range(4)]
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_progress_bar=False,
        default_root_dir=tmp_path, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, DataLoader(batch, batch_size=2))  # type: ignore[arg-type]
    trainer.save_checkpoint(tmp_path / "lightning.ckpt")
    loaded = VideoClassifier.load(tmp_path / "lightning.ckpt")
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(clips()), model(clips()))


@pytest.mark.parametrize("run", ["validate", "test"])
def test_two_processes_find_what_one_does(run: str, tmp_path: Path) -> None:
    """Seven videos for two processes: one is handed out twice, and must count once."""
    model = classifier()
    draw = torch.Generator().manual_seed(2)
    videos = [
        {"clips": torch.randn(1, 3, 4, 32, 32, generator=draw), "label": i % 3, "video": i}
        for i in range(7)
    ]
    found = []
    for processes in ({"devices": 2, "strategy": "ddp_fork"}, {"devices": 1}):
        trainer = pl.Trainer(
            accelerator="cpu", logger=CSVLogger(str(tmp_path)), enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=tmp_path, **processes,
        )  # fmt: skip
        loader = DataLoader(videos, batch_size=2)  # type: ignore[arg-type]
        found += getattr(trainer, run)(model, loader, verbose=False)
    two, one = found
    for name in one.keys() - {"val/loss"}:
        assert two[name] == one[name], name
        assert 7 * one[name] == pytest.approx(round(7 * one[name]))
    if run == "validate":
        assert two["val/loss"] == pytest.approx(one["val/loss"], rel=1e-6)


class Witness(pl.callbacks.Checkpoint):
    """Notes what has been logged by the time when an epoch's checkpoint is written."""

    def __init__(self) -> None:
        self.logged: list[list[str]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert trainer.log_dir is not None
        rows = csv.DictReader((Path(trainer.log_dir) / "metrics.csv").open())
        self.logged.append([row["step"] for row in rows if row["train/top1"]])


def test_an_epoch_is_logged_before_its_checkpoint_is_written(tmp_path: Path) -> None:
    batch = [{"clips": clips(1), "label": i % 3, "video": i} for i in range(4)]
    witness = Witness()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, logger=CSVLogger(str(tmp_path)), callbacks=[witness],
        enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(classifier(), DataLoader(batch, batch_size=2))  # type: ignore[arg-type]
    assert witness.logged == [["1"], ["1", "3"]]


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    classifier().save(tmp_path / "model.ckpt")
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    VideoClassifier.load(tmp_path / "model.ckpt")
    assert torch.equal(torch.rand(3), expected)


def test_bad_checkpoints_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    with pytest.raises(InputError, match="does not exist"):
        VideoClassifier.load(path)
    classifier().save(path)
    whole = path.read_bytes()
    for size in (0, 100, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="truncated") as caught:
            VideoClassifier.load(path)
        assert "\n" not in str(caught.value)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(InputError, match="does not say which model"):
        VideoClassifier.load(path)


def test_probabilities_are_averaged_over_views() -> None:
    model = classifier().eval()
    views = torch.stack([clips(2), clips(2).flip(-1)], dim=1)
    with torch.no_grad():
        found = view_probabilities(model, views)
        each = torch.stack([model(views[:, i]).softmax(-1) for i in range(2)])
    torch.testing.assert_close(found, each.mean(0))


def optimizer_of(model: VideoClassifier, monkeypatch: pytest.MonkeyPatch) -> torch.optim.Optimizer:
    """As a fine-tuning of ten steps has it."""
    trainer = pl.Trainer(accelerator="cpu", max_steps=1, logger=False)
    trainer.strategy.connect(model)
    monkeypatch.setattr(pl.Trainer, "estimated_stepping_batches", 10)
    model.trainer = trainer
    return model.configure_optimizers()["optimizer"]


def layers_above(name: str, layers: int) -> int:
    """How many come after a parameter; the read-out goes with the last of them."""
    first, *rest = name.split(".")
    if first == "blocks":
        return layers - 1 - int(rest[0])
    return 0 if first.startswith(("norm", "head")) else layers


@pytest.mark.parametrize("name", NAMES)
def test_learning_rates_decay_with_depth(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier(name, lr=1e-3, layer_decay=0.5)
    groups = {
        id(p): group["lr_scale"]
        for group in optimizer_of(model, monkeypatch).param_groups
        for p in group["params"]
    }
    layers = len(model.model.blocks)
    parameters = dict(model.model.named_parameters())
    assert {key: groups[id(p)] for key, p in parameters.items()} == {
        key: pytest.approx(0.5 ** layers_above(key, layers)) for key in parameters
    }
    assert {layers_above(key, layers) for key in parameters} == set(range(layers + 1))
    assert len(groups) == len(parameters)


def test_positions_and_tokens_of_the_hubs_models_do_not_decay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = {
        "videomae": (),
        "vivit": ("cls_token", "position_embeddings"),
        "vjepa2": ("query_tokens",),
        "videoprism": ("position_embeddings", "position_embeddings", "pooling_attention_query"),
    }
    for name, special in expected.items():
        model = classifier(name)
        kept = {
            id(p)
            for group in optimizer_of(model, monkeypatch).param_groups
            if group["weight_decay"] == 0
            for p in group["params"]
        }
        named = model.model.named_parameters()
        tables = [key for key, p in named if id(p) in kept and p.dim() > 1]
        assert sorted(key.split(".")[-1] for key in tables) == sorted(special)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_lowers_the_loss(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier(name).eval()
    optimizer = optimizer_of(model, monkeypatch)
    for group in optimizer.param_groups:
        group["lr"] = 1e-5  # AdamW's first step is as long in every direction
    losses = []
    for _ in range(2):
        loss = model.loss(model(clips(3)), torch.arange(3))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[1] < losses[0]


def test_mixup_trains() -> None:
    model = classifier(mixup=0.2, label_smoothing=0.1)
    label = torch.tensor([0, 1, 2, 0])
    batch = {"clips": clips(4)[:, None], "label": label, "video": torch.arange(4)}
    model.log = lambda *a, **k: None  # type: ignore[method-assign]
    loss = model.training_step(batch, 0)
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_changes_memory_and_nothing_else(name: str) -> None:
    model = classifier(name).model.train()
    gradients = []
    for model.checkpointing in (False, True):
        model.zero_grad()
        model(clips()).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


ALIKE = {
    "timesformer": [2, *range(4, 12)],
    "video_swin": [*range(5, 22), 23],
    "mvit": [*range(4, 14), 15],
    "videomae": [2, *range(4, 12)],
    "vivit": [2, *range(4, 12)],
    "vjepa2": [2, *range(4, 24)],
    "videoprism": [*range(4, 12), *range(13, 16)],
}
"""Layers that are built as those before them are: they cost a compiler time and tell nothing."""


@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_model_is_one_graph_and_can_be_pruned(name: str) -> None:
    model = drop_layers(classifier(name).model, ALIKE[name]).eval()
    with torch.no_grad():
        expected, smaller = model(clips()), drop_layers(model, [3])(clips())
        model.compile(backend="eager", fullgraph=True, dynamic=False)
        torch.testing.assert_close(model(clips()), expected)
        torch.testing.assert_close(drop_layers(model, [3])(clips()), smaller)
    assert not any("_orig_mod" in key for key in model.state_dict())


@pytest.mark.parametrize(
    ("name", "checkpointing"),
    [(name, name == "mvit") for name in NAMES],
)
def test_a_compiled_model_trains_as_the_plain_one_does(name: str, checkpointing: bool) -> None:
    model = drop_layers(classifier(name).model, ALIKE[name]).train()
    model.checkpointing = checkpointing
    gradients = []
    for compiled in (False, True):
        if compiled:
            # torch 2.6 leaves its graph for a block that it checkpoints
            model.compile(backend="aot_eager", fullgraph=not checkpointing, dynamic=False)
        model.zero_grad()
        model(clips()).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for plain, of_graph in zip(*gradients, strict=True):
        torch.testing.assert_close(of_graph, plain, atol=1e-4, rtol=1e-3)
