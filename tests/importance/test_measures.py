import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, cross_entropy
from torch.utils.data import DataLoader
from toy_chain import close, toy
from toy_job import Clips

from vitprune.importance import MEASURES, SCOPES, ablate, measure_of, score, units_of
from vitprune.models import build_model


@pytest.fixture
def batch():
    return next(iter(DataLoader(Clips(4), batch_size=4)))


def values(measure, batch, scope="layer", model=None, **settings):
    scores = score(model or toy(), [batch], scope, measure=measure, progress=False, **settings)
    return scores.per_clip(measure)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("measure", [name for name in MEASURES if name != "ablation"])
def test_every_control_scores_every_scope(batch, measure, scope):
    model = toy().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainable = [parameter.requires_grad for parameter in model.parameters()]
    scores = score(model, [batch], scope, measure=measure, progress=False)
    assert scores.metrics == (measure,)
    assert scores.rank(measure)[0] == scores.lowest(1, measure)[0]
    found = scores.per_clip(measure)
    assert found.shape[1] == len(units_of(model, scope))
    assert np.isfinite(found).all()
    assert (found >= -1e-6).all()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], atol=0, rtol=0)
    assert [parameter.requires_grad for parameter in model.parameters()] == trainable
    assert all(parameter.grad is None for parameter in model.parameters())
    ablate(model, batch["clips"][:, 0])  # refuses a model with gates left on


def test_csv_of_a_control(tmp_path, batch):
    score(toy(), [batch], measure="random", seed=3, progress=False).to_csv(tmp_path / "scores.csv")
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[0] == "unit,random,random_se"
    assert len(lines) == 6


def test_random_follows_its_seed(batch):
    assert (values("random", batch, seed=1) == values("random", batch, seed=1)).all()
    assert (values("random", batch, seed=1) != values("random", batch, seed=2)).all()


def test_cosine_is_block_influence(batch):
    model = toy()
    with torch.no_grad():
        before = model.embed(batch["clips"][:, 0])
        after = model.blocks[0](before)
    expected = 1 - cosine_similarity(before.x, after.x, dim=-1).mean(1)
    np.testing.assert_allclose(values("cosine", batch)[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("scope", SCOPES)
def test_taylor_is_the_slope_of_the_loss(batch, scope):
    """Against a central difference in double precision, gates moved by hand."""
    model = toy().double()
    clips, labels = batch["clips"][:, 0].double(), batch["label"]
    unit = units_of(model, scope)[-2]
    block = model.blocks[unit.layer]

    def loss(gate):
        open_again = close(block, unit, gate)
        with torch.no_grad():
            found = cross_entropy(model(clips), labels, reduction="none")
        open_again()
        return found

    step = 1e-5
    expected = ((loss(1 + step) - loss(1 - step)) / (2 * step)).abs()
    found = values("taylor", {**batch, "clips": batch["clips"].double()}, scope, model)
    np.testing.assert_allclose(found[:, -2], expected, atol=1e-7)


def test_taylor_works_inside_inference_mode(batch):
    model = toy()
    outside = values("taylor", batch, model=model)
    with torch.inference_mode():
        cloned = {name: value.clone() for name, value in batch.items()}
        inside = values("taylor", cloned, model=model)
    np.testing.assert_allclose(inside, outside, atol=1e-7)


def test_magnitude():
    model = toy()
    scores = score(model, [], measure="magnitude", progress=False)
    flat = torch.cat([p.detach().flatten() for p in model.blocks[3].branches.parameters()])
    assert scores.mean("magnitude")[3] == pytest.approx(flat.abs().mean().item())
    heads = score(model, [], "head", measure="magnitude", progress=False)
    columns = model.blocks[0].branches["attention"].proj.weight.detach()[:, 4:8]
    assert heads.mean("magnitude")[1] == pytest.approx(columns.abs().mean().item())


@pytest.mark.parametrize("name", ["timesformer", "video_swin", "mvit"])
@pytest.mark.parametrize("scope", ["layer", "head"])
def test_controls_on_real_architectures(name, scope):
    torch.manual_seed(0)
    model = build_model(name, "tiny", num_classes=5, num_frames=4, image_size=32)
    batch = {"label": torch.tensor([0, 1]), "video": torch.arange(2)}
    batch["clips"] = torch.randn(2, 3, 4, 32, 32)
    for measure in ("cosine", "taylor", "magnitude"):
        found = values(measure, batch, scope, model)
        assert np.isfinite(found).all()
        assert (found != 0).any()


def test_which_measure_a_metric_comes_from():
    assert [measure_of(metric) for metric in ("JSD", "R", "taylor")] == [
        "ablation",
        "ablation",
        "taylor",
    ]
    with pytest.raises(ValueError, match="'ablation' is not one of JSD, dProb, R, cosine, "):
        measure_of("ablation")
