import numpy as np
import pytest
import torch
from torch import multiprocessing
from torch.utils.data import DataLoader
from toy_chain import toy
from toy_job import Clips, score_share

from vitprune.importance import RelevanceScores, Scores, Unit, ablate, relevance, score, units_of

UNITS = [Unit(0), Unit(1)]


@pytest.mark.parametrize("length", [7, 1])
def test_two_processes_give_what_one_gives(tmp_path, length):
    args = (2, f"{tmp_path}/rendezvous", str(tmp_path), length)
    # Forked, because importing torch anew takes longer than all the rest.
    multiprocessing.start_processes(score_share, args, nprocs=2, start_method="fork")
    alone = score(toy(), DataLoader(Clips(length), batch_size=3), "head", progress=False)
    assert alone.clips.tolist() == list(range(length))
    for name in ("0", "1", "stored-0", "stored-1"):
        shared = Scores.load(tmp_path / f"{name}.npz")
        assert shared.units == alone.units
        for what in ("clips", "labels", "predicted"):
            np.testing.assert_array_equal(getattr(shared, what), getattr(alone, what))
        for what, values in alone.values.items():
            np.testing.assert_allclose(shared.values[what], values, atol=1e-6, rtol=0)
    for rank in (0, 1):
        uneven = Scores.load(tmp_path / f"uneven-{rank}.npz")
        np.testing.assert_allclose(uneven.mean(), alone.mean(), atol=1e-6, rtol=0)


def test_all_values_of_a_pass():
    model = toy()
    batch = next(iter(DataLoader(Clips(4), batch_size=4)))
    scores = score(model, [batch], progress=False)
    ablation = ablate(model, batch["clips"][:, 0])
    for target, given in (("predicted", None), ("label", batch["label"])):
        for metric in ("JSD", "dProb", "R"):
            expected = relevance(ablation.full, ablation.ablated, given, metric).T
            np.testing.assert_allclose(scores.per_clip(metric, target), expected, atol=1e-12)
    np.testing.assert_array_equal(scores.predicted, ablation.full.argmax(-1))
    np.testing.assert_array_equal(scores.labels, batch["label"])


def test_clips_are_sorted_and_count_once():
    metric = RelevanceScores(UNITS, names=("cosine",))
    label = torch.tensor([3, 1, 3])
    metric.update(
        torch.tensor([5, 2, 5]), label, label, {"cosine": torch.tensor([[1.0, 2], [3, 4], [1, 2]])}
    )
    scores = metric.compute()
    assert scores.clips.tolist() == [2, 5]
    assert scores.labels.tolist() == [1, 3]
    assert scores.mean("cosine").tolist() == [2, 3]


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_clips_give_no_scores():
    with pytest.raises(ValueError, match="no clips"):
        score(toy(), [], progress=False)


def test_the_loop():
    model = toy().train()
    loader = DataLoader(Clips(5), batch_size=2)
    calls = []
    scores = score(model, loader, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert model.training
    assert scores.units == units_of(model)
    flat = [batch | {"clips": batch["clips"][:, 0]} for batch in loader]
    np.testing.assert_array_equal(score(model, flat, progress=False).jsd, scores.jsd)
    with pytest.raises(ValueError, match="one view per clip, not 2"):
        score(model, [{**flat[0], "clips": torch.zeros(2, 2, 3, 2, 8, 8)}], progress=False)
    with pytest.raises(ValueError, match="measure='jsd' is not one of ablation, "):
        score(model, loader, measure="jsd")
    with pytest.raises(ValueError, match="scope='heads'"):
        score(model, loader, "heads")
