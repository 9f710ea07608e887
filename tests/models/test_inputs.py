"""The same model for clips of another size."""

from pathlib import Path

import pytest
import torch

from vitprune.errors import InputError
from vitprune.models import build_model
from vitprune.models.dropping import drop_units
from vitprune.models.inputs import at_input
from vitprune.models.weights import load_weights
from vitprune.training import VideoClassifier

NAMES = ("timesformer", "video_swin", "mvit")


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    return build_model(request.param, "tiny", num_classes=5, num_frames=8, image_size=64).eval()


@torch.no_grad()
def test_its_own_input_changes_nothing_of_a_pruned_model(model) -> None:  # type: ignore[no-untyped-def]
    smaller = drop_units(model, "1,3.attention,5.0,6.mlp.2")
    clips = torch.randn(2, 3, 8, 64, 64)
    torch.testing.assert_close(at_input(smaller, 8, 64)(clips), smaller(clips))


@torch.no_grad()
@pytest.mark.parametrize(("frames", "size"), [(4, 64), (8, 48), (4, 32)])
def test_another_input_is_what_loading_the_weights_for_it_gives(  # type: ignore[no-untyped-def]
    model, frames: int, size: int, tmp_path: Path
) -> None:
    VideoClassifier(model, [*"abcde"], {}).save(tmp_path / "full.ckpt")
    spec = model.spec
    loaded = build_model(spec.name, "tiny", num_classes=5, num_frames=frames, image_size=size)
    load_weights(loaded, tmp_path / "full.ckpt")
    other = at_input(model, frames, size)
    assert (other.spec.num_frames, other.spec.image_size) == (frames, size)
    clips = torch.randn(2, 3, frames, size, size)
    torch.testing.assert_close(other(clips), loaded.eval()(clips))
    smaller = at_input(drop_units(model, "2,4.1"), frames, size)
    torch.testing.assert_close(smaller(clips), drop_units(other, "2,4.1")(clips))
    assert (spec.num_frames, spec.image_size) == (8, 64)  # the given one is as it was


def test_a_size_that_an_architecture_does_not_take_is_refused() -> None:
    model = build_model("timesformer", "tiny", num_classes=5)
    with pytest.raises(InputError, match="image_size=50 is no multiple of timesformer's patch"):
        at_input(model, 8, 50)


def test_fewer_frames_cover_as_much_of_a_video() -> None:
    settings = {"num_frames": 8, "image_size": 64, "stride": 4, "sampling": "dense"}
    classifier = VideoClassifier(build_model("mvit", "tiny", num_classes=2), [*"ab"], settings)
    other = classifier.at_input(4, 48)
    changed = {"num_frames": 4, "image_size": 48, "stride": 8}
    assert other.clip_settings == {**settings, **changed}
    assert classifier.clip_settings == settings
