"""Least squares from sums, against the same from rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from torch import Tensor, distributed, multiprocessing

from vitprune.recovery.least_squares import STRENGTHS, Affine, LeastSquares, Moments, best

seeds = st.integers(0, 2**32 - 1)
strengths = st.sampled_from(STRENGTHS)
quick = settings(deadline=None, max_examples=30)


def rows(seed: int, count: int = 60, p: int = 5, q: int = 4) -> tuple[Tensor, Tensor]:
    """Rows with means far from zero and columns of several scales; y depends on x in part."""
    draw = np.random.default_rng(seed)
    mixed = draw.normal(size=(p, p)) * 2.0 ** draw.integers(-3, 4, p)
    x = draw.normal(size=(count, p)) @ mixed + 5 * draw.normal(size=p)
    y = x @ draw.normal(size=(p, q)) + draw.normal(size=(count, q)) + 10 * draw.normal(size=q)
    return torch.from_numpy(x), torch.from_numpy(y)


def moments(x: Tensor, y: Tensor) -> Moments:
    sums = LeastSquares(x.shape[1], y.shape[1])
    sums.update(x, y)
    return sums.compute()


def error(found: Affine, x: Tensor, y: Tensor) -> float:
    return float((x @ found.weight + found.bias - y).square().sum(1).mean())


@quick
@given(seeds)
@example(3031)
def test_without_a_ridge_it_is_least_squares_with_an_intercept(seed: int) -> None:
    x, y = rows(seed)
    found = moments(x, y).ridge(1e-14)
    design = np.hstack([x.numpy(), np.ones((len(x), 1))])
    expected = torch.from_numpy(np.linalg.lstsq(design, y.numpy(), rcond=None)[0])
    # Sums of products lose as many digits as the square of the condition has.
    condition = np.linalg.cond((x - x.mean(0)).numpy())
    lost = max(1e-7, 10 * condition**2 * np.finfo(np.float64).eps * float(y.abs().max()))
    predicted = x @ found.weight + found.bias
    torch.testing.assert_close(predicted, torch.from_numpy(design) @ expected, rtol=0, atol=lost)
    torch.testing.assert_close(found.weight, expected[:-1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.bias, expected[-1], rtol=1e-4, atol=1e-4)


@quick
@given(seeds, strengths)
def test_a_ridge_is_in_units_of_the_mean_variance(seed: int, strength: float) -> None:
    x, y = rows(seed)
    found = moments(x, y).ridge(strength)
    alpha = strength * len(x) * float(x.var(0, correction=0).mean())
    expected = Ridge(alpha=alpha, solver="cholesky").fit(x.numpy(), y.numpy())
    torch.testing.assert_close(found.weight.T, torch.from_numpy(expected.coef_))
    torch.testing.assert_close(found.bias, torch.from_numpy(expected.intercept_))


@quick
@given(seeds, strengths)
def test_of_full_rank_it_is_the_ridge(seed: int, strength: float) -> None:
    x, y = rows(seed)
    found = moments(x, y)
    for one, other in zip(found.of_rank(strength, 4), found.ridge(strength), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


@quick
@given(seeds, st.integers(1, 3))
def test_of_a_lower_rank_it_is_the_best_there_is(seed: int, rank: int) -> None:
    x, y = rows(seed)
    of_rows = moments(x, y)
    found, whole = of_rows.of_rank(1e-12, rank), of_rows.ridge(1e-12)
    values = torch.linalg.svdvals(found.weight)
    assert (values > 1e-9 * values[0]).sum() == rank
    u, s, vh = torch.linalg.svd(whole.weight, full_matrices=False)
    cut = (u[:, :rank] * s[:rank]) @ vh[:rank]
    truncated = Affine(cut, of_rows.y - of_rows.x @ cut)
    least = error(found, x, y)
    assert least <= error(truncated, x, y) * (1 + 1e-6)
    # Eckart and Young: what is lost is what the fitted values have beyond the rank.
    centred = (x - x.mean(0)) @ whole.weight
    beyond = torch.linalg.svdvals(centred)[rank:].square().sum() / len(x)
    assert least == pytest.approx(error(whole, x, y) + float(beyond), rel=1e-5)


@quick
@given(seeds, strengths)
def test_by_channel_every_column_is_regressed_on_its_own(seed: int, strength: float) -> None:
    x, y = rows(seed, p=4, q=4)
    found = moments(x, y).by_channel(strength)
    assert torch.equal(found.weight, torch.diag(found.weight.diagonal()))
    alpha = strength * len(x) * float(x.var(0, correction=0).mean())
    for column in range(4):
        one = Ridge(alpha=alpha, solver="cholesky").fit(
            x[:, [column]].numpy(), y[:, column].numpy()
        )
        assert float(found.weight[column, column]) == pytest.approx(one.coef_[0])
        assert float(found.bias[column]) == pytest.approx(one.intercept_)


@quick
@given(seeds)
def test_the_error_is_that_of_the_rows(seed: int) -> None:
    x, y = rows(seed)
    draw = torch.Generator().manual_seed(seed % 2**31)
    any_map = Affine(
        torch.randn(5, 4, generator=draw, dtype=x.dtype),
        torch.randn(4, generator=draw, dtype=x.dtype),
    )
    of_rows = moments(x, y)
    assert of_rows.rows == len(x)
    for found in (any_map, of_rows.ridge(0.1), of_rows.of_rank(0.1, 2)):
        assert of_rows.error(found) == pytest.approx(error(found, x, y), rel=1e-6)


@quick
@given(seeds, st.integers(1, 59))
def test_sums_do_not_depend_on_how_rows_come(seed: int, split: int) -> None:
    x, y = rows(seed)
    whole = moments(x, y)
    parts, halves = LeastSquares(5, 4), []
    for part in (slice(split), slice(split, None)):
        parts.update(x[part], y[part])
        halves.append(LeastSquares(5, 4))
        halves[-1].update(x[part], y[part])
    added = LeastSquares(5, 4)
    for name in ("sums", "squares"):
        setattr(added, name, sum(getattr(half, name) for half in halves))
    for found in (parts.compute(), added.compute()):
        for one, other in zip(found, whole, strict=True):
            torch.testing.assert_close(one, other)


def test_means_far_from_zero_cost_few_digits() -> None:
    x, y = rows(3)
    near, far = (moments(x + shift, y).ridge(1e-9).weight for shift in (0.0, 1e3))
    torch.testing.assert_close(far, near, rtol=1e-5, atol=1e-6)


def test_rows_of_half_precision_are_added_up_in_double() -> None:
    x, y = (part.float() for part in rows(5))
    for one, other in zip(moments(x, y), moments(x.double(), y.double()), strict=True):
        torch.testing.assert_close(one, other)


def test_the_strength_is_the_best_on_other_rows() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(40, 12, generator=draw, dtype=torch.float64)
    weight = torch.randn(12, 12, generator=draw, dtype=torch.float64)
    y = x @ weight + 8 * torch.randn(40, 12, generator=draw, dtype=torch.float64)
    fit, held_out = moments(x[:20], y[:20]), moments(x[20:], y[20:])
    for kind in ("full", "low_rank", "scale"):
        found, strength = best(fit, held_out, kind, 3)
        makers = {
            "full": fit.ridge, "scale": fit.by_channel, "low_rank": lambda s: fit.of_rank(s, 3)
        }  # fmt: skip
        errors = {s: error(makers[kind](s), x[20:], y[20:]) for s in STRENGTHS}
        assert strength == min(errors, key=errors.__getitem__)
        assert strength > min(STRENGTHS)  # so many columns on so few rows want a ridge
        torch.testing.assert_close(found.weight, makers[kind](strength).weight)


def test_without_rows_there_is_nothing_to_fit_to() -> None:
    with pytest.raises(ValueError, match="no rows"):
        LeastSquares(3, 3).compute()


def add_share(rank: int, rendezvous: str, out: str) -> None:
    """One of two processes: adds an uneven share of the rows, saves the moments of all."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2
    )
    x, y = rows(7)
    share = slice(23) if rank == 0 else slice(23, None)
    torch.save(tuple(moments(x[share], y[share])), f"{out}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_find_the_moments_of_all_rows(tmp_path: Path) -> None:
    arguments = (f"{tmp_path}/rendezvous", str(tmp_path))
    multiprocessing.start_processes(add_share, arguments, nprocs=2, start_method="fork")
    expected = moments(*rows(7))
    for rank in (0, 1):
        for one, other in zip(torch.load(tmp_path / f"{rank}.pt"), expected, strict=True):
            torch.testing.assert_close(one, other)
