"""Views go through a model in slices, and a job that waits for data says so once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vitprune.training import callbacks, view_probabilities
from vitprune.training.callbacks import WaitingForData


class Watched(nn.Module):
    """Remembers how many clips it was given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 2 * 4 * 4, 5)
        self.seen: list[int] = []

    def forward(self, clips: Tensor) -> Tensor:
        self.seen.append(len(clips))
        return self.linear(clips.flatten(1))


def test_views_go_through_the_model_in_slices() -> None:
    torch.manual_seed(0)
    model, clips = Watched(), torch.randn(2, 15, 3, 2, 4, 4)
    whole = view_probabilities(model, clips)
    sliced = view_probabilities(model, clips, at_once=8)
    assert model.seen == [30, 8, 8, 8, 6]
    torch.testing.assert_close(sliced, whole)


@pytest.mark.parametrize(("waiting", "said"), [(0.1, 0), (0.6, 1)])
def test_a_job_that_waits_for_data_says_so_once(
    waiting: float,
    said: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: now)
    monkeypatch.setattr(callbacks.os, "cpu_count", lambda: 8)
    callback = WaitingForData(num_workers=2)
    for _ in range(100):
        now += waiting
        callback.on_train_batch_start()
        now += 1.0
        callback.on_train_batch_end()
    assert caplog.text.count("waiting for data") == said
    if said:
        assert "36 % of the time" in caplog.text
        assert "dataset.num_workers=8 (now 2)" in caplog.text
