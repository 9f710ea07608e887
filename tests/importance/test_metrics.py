import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon

from vitprune.importance import dprob, jsd, relevance


def logits(low, high):
    return arrays(np.float32, (2, 3, 4), elements=st.floats(low, high, width=32))


def both(pair):
    return torch.from_numpy(pair[0]), torch.from_numpy(pair[1])


@given(logits(-30, 30))
def test_jsd_is_scipys(pair):
    full, ablated = both(pair)
    p, q = (x.double().softmax(-1).numpy() for x in (full, ablated))
    expected = [jensenshannon(a, b, base=2) ** 2 for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(jsd(full, ablated), np.nan_to_num(expected), atol=1e-9)


@given(logits(-1e4, 1e4) | logits(-(2.0**127), 2.0**127))
def test_bounds_at_any_logits(pair):
    full, ablated = both(pair)
    for target in (None, torch.tensor([0, 3, 1])):
        for metric, low in (("JSD", 0), ("dProb", -1), ("R", -0.5)):
            value = relevance(full, ablated, target, metric)
            assert value.isfinite().all()
            assert (value >= low).all()
            assert (value <= 1).all()


@given(logits(-1e4, 1e4))
def test_jsd_is_symmetric_and_zero_for_equal_logits(pair):
    full, ablated = both(pair)
    assert torch.equal(jsd(full, ablated), jsd(ablated, full))
    assert (jsd(full, full) == 0).all()
    assert (dprob(full, full) == 0).all()


@given(logits(-20, 20), st.none() | st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_definitions(pair, target):
    full, ablated = both(pair)
    classes = full.argmax(-1) if target is None else torch.tensor(target)
    given_target = None if target is None else classes
    p, q = full.double().softmax(-1), ablated.double().softmax(-1)
    drop = torch.stack([p[b, c] - q[b, c] for b, c in enumerate(classes)])
    torch.testing.assert_close(dprob(full, ablated, given_target), drop)
    torch.testing.assert_close(
        relevance(full, ablated, given_target), (jsd(full, ablated) + drop) / 2
    )


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_leading_dimensions_broadcast(seed):
    generator = torch.Generator().manual_seed(seed)
    full = torch.randn(3, 5, generator=generator)
    ablated = torch.randn(2, 4, 3, 5, generator=generator)
    for metric in ("JSD", "dProb", "R"):
        value = relevance(full, ablated, metric=metric)
        assert value.shape == (2, 4, 3)
        torch.testing.assert_close(value[1, 2], relevance(full, ablated[1, 2], metric=metric))


def test_opposite_certainties_are_one_bit_apart():
    full, ablated = torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1e4]])
    assert jsd(full, ablated) == 1
    assert dprob(full, ablated) == 1
    assert dprob(full, ablated, torch.tensor([1])) == -1


def test_near_equal_distributions_keep_their_digits():
    full = torch.tensor([[0.0, 0.0]], dtype=torch.float64)
    ablated = torch.tensor([[2e-5, 0.0]], dtype=torch.float64)
    # To leading order JSD is (dp)^2 / (8 p) summed over classes, over ln 2, with dp = 5e-6.
    expected = 2 * (5e-6) ** 2 / (8 * 0.5) / np.log(2)
    assert jsd(full, ablated).item() == pytest.approx(expected, rel=1e-3)


def test_what_is_refused():
    full = torch.zeros(3, 5)
    with pytest.raises(ValueError, match="R2"):
        relevance(full, full, metric="R2")
    for wrong in (torch.zeros(2, 5), torch.zeros(3, 4), torch.zeros(5)):
        with pytest.raises(ValueError, match=r"\[B, C\]"):
            jsd(full, wrong)
    with pytest.raises(ValueError, match="one class for each clip"):
        dprob(full, full, torch.zeros(2, dtype=torch.long))


@given(
    logits(-30, 30),
    st.sampled_from([np.nan, np.inf, -np.inf]),
    st.integers(0, 2),
    st.integers(0, 3),
    st.sampled_from([(0,), (1,), (0, 1)]),
    st.sampled_from(["JSD", "dProb", "R"]),
)
def test_what_is_not_finite_gives_nan_for_its_clip_alone(pair, value, clip, where, sides, metric):
    for side in sides:
        pair[side, clip, where] = value
    for target in (None, torch.tensor([0, 3, 1])):
        found = relevance(*both(pair), target, metric)
        assert found.isnan().tolist() == [i == clip for i in range(3)]
