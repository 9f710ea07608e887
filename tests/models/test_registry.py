"""An architecture is registered in one place, and found by its name."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from vitprune.errors import InputError
from vitprune.models import Tokens, VideoTransformer, build_model
from vitprune.models.chain import Block, Mlp, ModelSpec
from vitprune.models.formats import Format
from vitprune.models.registry import ARCHITECTURES, architecture


@dataclass(frozen=True)
class Variant:
    num_frames: int = 2
    image_size: int = 8
    depth: int = 3


class Mixer(VideoTransformer):
    patch = (1, 8, 8)

    def __init__(self, spec: ModelSpec, variant: Variant) -> None:
        super().__init__()
        self.spec, self.num_layers = spec, variant.depth
        blocks = (Block(i, {"mlp": Mlp(192, 8, norm=nn.Identity())}) for i in range(variant.depth))
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(192, spec.num_classes)

    def embed(self, clips: Tensor) -> Tokens:
        return Tokens(clips.transpose(1, 2).flatten(2), (clips.shape[2], 1, 1))

    def read_out(self, tokens: Tokens) -> Tensor:
        return self.head(tokens.x.mean(1))


@pytest.fixture
def mixer():
    register = architecture(
        "mixer",
        title="Mixer",
        variants={"small": Variant(), "deep": Variant(depth=5)},
        formats=[Format("Mixer's own", (r"^mixer\.",), ((r"^mixer\.", ""),))],
    )
    yield register(Mixer)
    del ARCHITECTURES["mixer"]


def test_one_decorator_is_all_that_a_new_architecture_takes(mixer, tmp_path):
    model = build_model("mixer", num_classes=4)
    assert model.spec == ModelSpec("mixer", "small", 4, 2, 8)
    assert model.title == "Mixer"
    assert model(torch.zeros(1, 3, 2, 8, 8)).shape == (1, 4)
    assert len(build_model("mixer", "deep").blocks) == 5
    state = {f"mixer.{name}": torch.ones_like(value) for name, value in model.state_dict().items()}
    torch.save(state, tmp_path / "a.pt")
    loaded = build_model("mixer", num_classes=4, weights=tmp_path / "a.pt")
    assert all((value == 1).all() for value in loaded.state_dict().values())
    with pytest.raises(InputError, match="holds Mixer's own weights, for mixer"):
        build_model("mvit", "tiny", weights=tmp_path / "a.pt")


def test_a_name_is_taken_once(mixer):
    with pytest.raises(ValueError, match="an architecture 'mixer' already"):
        architecture("mixer", title="Mixer", variants={"small": Variant()})(Mixer)


def test_what_is_not_registered_is_refused(mixer):
    with pytest.raises(InputError, match=r"unknown model 'c3d'; there are mixer, mvit, "):
        build_model("c3d")
    with pytest.raises(InputError, match="mixer has no variant 'tiny'; it has small, deep"):
        build_model("mixer", "tiny")


def test_titles_of_the_papers_three():
    from vitprune.results.paper import title

    for name in ("timesformer", "video_swin", "mvit"):
        assert ARCHITECTURES[name].build.title == title(name)
