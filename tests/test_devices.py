"""What holds on a CPU holds on a GPU: ``pytest -m gpu`` where there is one."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from vitprune.importance import score
from vitprune.models import VideoTransformer, build_model

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else a GPU's products may differ
NAMES = ["timesformer", "video_swin", "mvit", "videomae", "vivit", "vjepa2", "videoprism"]


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> VideoTransformer:
    """On the CPU, with every parameter at a size at which it matters."""
    torch.manual_seed(0)
    model = build_model(request.param, "tiny", num_classes=5).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def clips_for(model: VideoTransformer, frames: int = 0, columns: int = 0) -> Tensor:
    """Two clips, by so many frames and columns larger than the model's own."""
    size = model.spec.image_size
    return torch.randn(2, 3, model.spec.num_frames + frames, size, size + columns)


@pytest.fixture
def deterministic() -> Iterator[None]:
    """As the trainers have it; what has no deterministic form is an error."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def gradients(model: VideoTransformer, clips: Tensor) -> list[Tensor]:
    model.zero_grad()
    model(clips).square().sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("more", [(0, 0), (2, 16)])
def test_logits_and_gradients_are_the_same_everywhere_and_every_time(
    model: VideoTransformer, device: torch.device, more: tuple[int, int]
) -> None:
    """Also at a size for which positions are interpolated and Swin's windows padded."""
    if model.spec.name in ("videomae", "vivit", "vjepa2"):
        more = (0, 0)  # they take only clips of the size that they were built for
    clips = clips_for(model, *more)
    there = copy.deepcopy(model).to(device)
    torch.testing.assert_close(there(clips.to(device)).cpu(), model(clips), atol=1e-4, rtol=1e-4)
    first, again = (gradients(there, clips.to(device)) for _ in range(2))
    for here, one, other in zip(gradients(model, clips), first, again, strict=True):
        assert torch.equal(one, other)
        assert (one.cpu() - here).norm() <= 1e-3 * here.norm() + 1e-5


@pytest.mark.parametrize(("dtype", "error"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_mixed_precision_trains_and_stays_close(
    model: VideoTransformer, device: torch.device, dtype: torch.dtype, error: float
) -> None:
    clips = clips_for(model)
    expected = model(clips)
    there = copy.deepcopy(model).to(device)
    with torch.autocast(device.type, dtype):
        logits = there(clips.to(device))
    assert (logits.float().cpu() - expected).norm() < error * expected.norm()
    logits.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in there.parameters() if p.grad is not None)


@pytest.mark.parametrize("scope", ["layer", "head"])
def test_scores_are_the_same_everywhere(
    model: VideoTransformer, device: torch.device, scope: str
) -> None:
    size = model.spec.image_size
    batch = {
        "clips": torch.randn(3, 1, 3, model.spec.num_frames, size, size),
        "label": torch.tensor([0, 1, 2]),
        "video": torch.arange(3),
    }
    expected = score(model, [batch], scope, progress=False)
    there = copy.deepcopy(model).to(device)
    exact = score(there, [batch], scope, progress=False)
    half = score(
        there,
        [batch],
        scope,
        autocast=partial(torch.autocast, device.type, torch.bfloat16),
        progress=False,
    )
    for name, value in expected.values.items():
        assert abs(exact.values[name] - value).max() < 1e-3, name
        assert abs(half.values[name] - value).max() < 0.2, name


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_inductor_compiles_one_graph(name: str) -> None:
    model = build_model(name, "tiny", num_classes=5).cuda().eval()
    size = model.spec.image_size
    clips = torch.randn(2, 3, model.spec.num_frames, size, size, device="cuda")
    expected, wanted = model(clips), gradients(model, clips)
    model.compile(fullgraph=True, dynamic=False)
    torch.testing.assert_close(model(clips), expected, atol=1e-3, rtol=1e-3)
    for found, want in zip(gradients(model, clips), wanted, strict=True):
        assert (found - want).norm() <= 1e-2 * want.norm() + 1e-5
