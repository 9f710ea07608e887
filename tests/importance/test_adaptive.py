import numpy as np
import pytest
from torch.utils.data import DataLoader
from toy_chain import toy
from toy_job import Clips

from vitprune.importance import Adaptive, SequentialSelection, score

RUNS = 500


def settle(relevance, k, **settings):
    test = SequentialSelection(relevance.shape[1], k, **settings)
    for row in relevance:
        if test.update(row):
            break
    return test


def beta(rng, n):
    """Well apart, and clips that are hard for every unit at once."""
    mean = np.linspace(0.02, 0.6, 5)
    return np.clip(rng.beta(mean * 3, (1 - mean) * 3, (n, 5)) * rng.random((n, 1)), 0, 1)


def rare(rng, n):
    """Mostly nothing, now and then everything: what a test that trusts the spread falls for."""
    return (rng.random((n, 4)) < [0.01, 0.02, 0.02, 0.05]).astype(float)


def near_tie(rng, n):
    return (rng.random((n, 4)) < [0.30, 0.32, 0.34, 0.5]).astype(float)


@pytest.mark.parametrize("draw", [beta, rare, near_tie])
@pytest.mark.parametrize("confidence", [0.95, 0.6])
def test_errors_are_no_more_than_promised(draw, confidence):
    """Truth known: the selection that all clips of the split give."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(RUNS):
        relevance = draw(rng, 80)
        test = settle(relevance, 2, confidence=confidence, total=len(relevance))
        assert test.settled
        truth = np.argsort(relevance.sum(0), kind="stable")[:2]
        wrong += set(test.selected) != set(truth)
    assert wrong / RUNS <= 1 - confidence


@pytest.mark.parametrize("tie", [0.0, 0.02])
def test_errors_with_endless_clips(tie):
    """Units 0 and 1 (nearly) tie; with an exact tie every decision between them is an error."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(RUNS):
        relevance = (rng.random((100, 3)) < [0.3 + tie, 0.3, 0.9]).astype(float)
        test = settle(relevance, 1, confidence=0.9)
        wrong += test.settled and (tie == 0 or test.selected != [1])
    assert wrong / RUNS <= 0.1


def test_clear_cases_settle_early_and_in_both_directions():
    relevance = beta(np.random.default_rng(2), 2000)
    for direction, expected in (("lowest", [0, 1]), ("highest", [4, 3])):
        test = settle(relevance, 2, direction=direction, total=2000)
        assert test.selected == expected
        assert test.drawn < 700
        assert test.margin > 0.03


def test_a_finite_split_settles_sooner_than_an_endless_one():
    relevance = beta(np.random.default_rng(3), 400)
    finite, endless = settle(relevance, 2, total=400), settle(relevance, 2)
    assert finite.drawn < endless.drawn


def test_the_last_clip_settles_everything():
    relevance = np.full((10, 3), 0.5)
    test = settle(relevance, 1, total=10)
    assert test.drawn == 10
    assert test.settled
    assert test.selected == [0]
    with pytest.raises(ValueError, match="more clips than the 10"):
        test.update(relevance[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k=0 is not between 1 and 4"),
        ({"k": 5}, "k=5"),
        ({"k": 1, "direction": "low"}, "direction='low'"),
        ({"k": 1, "confidence": 1.0}, "confidence=1.0"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SequentialSelection(5, **settings)


@pytest.mark.parametrize("row", [[-0.5, 1.0], [np.nan, 0.0]])
def test_relevances_that_no_metric_gives_are_refused(row):
    with pytest.raises(ValueError, match="differ by more than 1"):
        SequentialSelection(2, 1).update(np.array(row))


def test_scoring_stops_when_settled():
    loader = DataLoader(Clips(60), batch_size=4)
    every = score(toy(), loader, progress=False)
    adaptive = Adaptive(k=1, metric="JSD", direction="highest", confidence=0.8, total=60)
    some = score(toy(), loader, adaptive=adaptive, progress=False)
    assert some.highest(1, "JSD") == every.highest(1, "JSD")
    assert some.info["settled"] == 1
    assert some.info["clips_used"] == len(some.clips) < 60
    assert some.info["confidence"] == 0.8
    mean = some.mean("JSD")
    assert some.info["margin"] == pytest.approx(np.sort(mean)[-1] - np.sort(mean)[-2])


def test_only_ablation_is_scored_adaptively():
    with pytest.raises(ValueError, match="JSD, dProb, R"):
        Adaptive(k=1, metric="cosine")
    with pytest.raises(ValueError, match="measure=ablation"):
        score(toy(), [], measure="cosine", adaptive=Adaptive(k=1))
