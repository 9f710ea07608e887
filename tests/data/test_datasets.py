"""What both DataModules share: items, batches, views, seeds, options."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from made_up_videos import make_square, make_video
from omegaconf import OmegaConf
from torch import distributed

from vitprune.data import (
    Clip,
    ClipSpec,
    DAIDataModule,
    UCF101DataModule,
    VideoDataModule,
    VideoDataset,
    Views,
)
from vitprune.errors import InputError

Make = Callable[..., Any]
CONF = Path(__file__).parents[2] / "conf" / "dataset"


def spec(**changes: Any) -> ClipSpec:
    values = {
        "num_frames": 4, "image_size": 32, "sampling": "uniform", "stride": 2,
        "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), **changes,
    }  # fmt: skip
    return ClipSpec(**values)


def dataset(path: Path, clip: Clip | None = None, **options: Any) -> VideoDataset:
    chosen = options.pop("spec", spec())
    return VideoDataset([clip or Clip(path, 0)], ["a"], chosen, root=path.parent, **options)


def test_batches_have_the_documented_shapes(dai_module: Make) -> None:
    module = dai_module(views={"clips": 2, "crops": 3})
    batch = next(iter(module.train_dataloader()))
    assert batch["clips"].shape == (5, 1, 3, 4, 32, 32)
    assert batch["clips"].dtype == torch.float32
    assert batch["label"].shape == batch["video"].shape == (5,)
    assert next(iter(module.val_dataloader()))["clips"].shape[1:] == (1, 3, 4, 32, 32)
    assert next(iter(module.test_dataloader()))["clips"].shape[1:] == (6, 3, 4, 32, 32)
    assert next(iter(module.loader("train")))["clips"].shape[1] == 1
    assert next(iter(module.loader("val", views=True)))["clips"].shape[1] == 6


def test_every_split_has_a_loader_that_sees_every_video_once(ucf101_module: Make) -> None:
    module = ucf101_module()
    for split in ("train", "val", "test"):
        videos = torch.cat([batch["video"] for batch in module.loader(split)])
        assert videos.tolist() == list(range(len(module.splits[split])))


def test_processes_share_a_split(ucf101_module: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ucf101_module()
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        loader = module.loader("train", share=True)
        shares.append(torch.cat([batch["video"] for batch in loader]).tolist())
    videos = len(module.splits["train"])
    assert {*shares[0], *shares[1]} == set(range(videos))
    assert len(shares[0]) == len(shares[1]) == (videos + 1) // 2
    assert shares[0] == list(range(0, videos, 2))


def test_a_part_of_a_split_is_spread_over_it(ucf101_module: Make) -> None:
    module = ucf101_module()
    videos = len(module.splits["train"])
    labels = torch.tensor([clip.label for clip in module.splits["train"].clips])

    def shown(most: int | None, **options: Any) -> list[int]:
        loader = ucf101_module(**options).loader("train", most=most)
        return torch.cat([batch["video"] for batch in loader]).tolist()

    for most in (1, 7, videos // 2, videos - 1):
        found = shown(most)
        assert len(set(found)) == len(found) == most
        ordered = sorted(found)
        steps = {after - before for before, after in pairwise(ordered)}
        assert steps <= {videos // most, videos // most + 1}
        assert ordered[0] == 0
        assert ordered[-1] >= videos - videos // most - 1
        assert shown(most) == found
        assert sorted(shown(most, seed=1)) == ordered
    some = shown(videos // 2)
    assert some != sorted(some)
    assert set(labels[some].tolist()) == set(labels.tolist())
    assert sorted(shown(videos)) == sorted(shown(videos + 9)) == list(range(videos))
    assert shown(None) == list(range(videos))


def test_processes_share_a_part_of_a_split(
    ucf101_module: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ucf101_module()
    whole = torch.cat([batch["video"] for batch in module.loader("train", most=10)]).tolist()
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        loader = module.loader("train", share=True, most=10)
        shares.append(torch.cat([batch["video"] for batch in loader]).tolist())
    assert shares == [whole[::2], whole[1::2]]


def test_crops_lie_along_the_long_side(tmp_path: Path) -> None:
    wide = dataset(make_video(tmp_path / "wide.mp4", size=(32, 96)), views=Views(1, 3))
    tall = dataset(make_video(tmp_path / "tall.mp4", size=(96, 32)), views=Views(1, 3))
    assert wide[0]["clips"].shape == tall[0]["clips"].shape == (3, 3, 4, 32, 32)
    centre = wide.evaluating()[0]["clips"]
    assert torch.equal(centre[0], wide[0]["clips"][1])


def test_three_crops_show_left_centre_and_right(stand_ins: Path) -> None:
    path = next((stand_ins / "demo_dai").glob("videos/*/pick_up_1.mp4"))
    left, centre, right = dataset(path, views=Views(1, 3))[0]["clips"]
    assert not torch.equal(left, right)
    overlap = 32 * 4 // 3 - 32  # the picture is 4:3, so that the outer crops are this far apart
    assert torch.equal(left[..., overlap // 2 :], centre[..., : 32 - overlap // 2])
    assert torch.equal(left[..., overlap:], right[..., : 32 - overlap])


def test_a_view_in_time_shows_what_it_should(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 16)
    views = dataset(path, spec=spec(sampling="dense"), views=Views(3, 1))[0]["clips"]
    brightness = views.mean(dim=(1, 3, 4))
    assert (brightness.diff(dim=1) > 0).all()  # in a clip
    assert (brightness.diff(dim=0) > 0).all()  # from view to view


@pytest.mark.parametrize("sampling", ["dense", "uniform"])
@pytest.mark.parametrize("training", [True, False])
def test_a_video_shorter_than_a_clip(tmp_path: Path, sampling: str, training: bool) -> None:
    path = make_video(tmp_path / "short.mp4", 2)
    chosen = spec(num_frames=7, sampling=sampling)
    clip = dataset(path, spec=chosen, training=training)[0]["clips"]
    assert clip.shape == (1, 3, 7, 32, 32)
    assert (clip.mean(dim=(0, 1, 3, 4)).diff() >= -1e-4).all()


def test_start_and_end_bound_the_frames(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 20)
    part = dataset(path, Clip(path, 0, start=0.5, end=1.0))
    assert part.frame_numbers(0).tolist() == [[5, 6, 8, 9]]
    late = dataset(path, Clip(path, 0, start=7.0))
    with pytest.raises(InputError, match=r"a\.mp4: the clip starts at 7 s.* 1\.90 s"):
        late[0]


def test_flip_is_a_switch(tmp_path: Path) -> None:
    path = make_square(tmp_path / "left.mp4", [8] * 4)
    seen = {}
    for flip in (False, True):
        data = dataset(path, flip=flip, training=True, crop_area=(0.95, 1.0))
        sides = set()
        for seed in range(12):
            yellow = (lambda c: c[0] - c[2])(data[0, seed]["clips"][0])
            sides.add(bool(yellow[..., :16].sum() > yellow[..., 16:].sum()))
        seen[flip] = sides
    assert seen == {False: {True}, True: {True, False}}


def test_colour_jitter_is_the_same_for_all_frames(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 1)
    data = dataset(path, training=True, colour_jitter=0.5)
    clips = torch.stack([data[0, seed]["clips"] for seed in range(4)])
    assert clips.std(dim=0).max() > 0.005
    assert clips.std(dim=4).max() < 1e-3  # over the frames, which are the same


def test_normalisation(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 4)
    plain = dataset(path)[0]["clips"]
    assert 0 <= plain.min() < plain.max() <= 1
    scaled = dataset(path, spec=spec(mean=(0.5,) * 3, std=(0.25,) * 3))[0]["clips"]
    torch.testing.assert_close(scaled, (plain - 0.5) / 0.25)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_seed_gives_the_same_batches(dai_module: Make, workers: int) -> None:
    def epochs(seed: int, num_workers: int) -> list[torch.Tensor]:
        torch.manual_seed(torch.seed() % 1000)  # whatever else draws random numbers
        loader = dai_module(seed=seed, num_workers=num_workers).train_dataloader()
        return [b["clips"] for _ in range(2) for b in islice(loader, 2)]

    first, again, other = epochs(1, 0), epochs(1, workers), epochs(2, 0)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not torch.equal(first[0], first[2])  # epochs differ


def test_reading_clips_leaves_the_random_state_alone(dai_module: Make) -> None:
    before = torch.get_rng_state()
    dai_module().splits["train"][0]
    assert torch.equal(before, torch.get_rng_state())


def test_the_fingerprint_follows_clips_settings_and_files(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 4)
    first = dataset(path).fingerprint()
    assert dataset(path, training=True, views=Views(2, 3)).fingerprint() == first
    assert dataset(path, spec=spec(num_frames=5)).fingerprint() != first
    assert dataset(path, Clip(path, 0, end=1.0)).fingerprint() != first
    make_video(path, 5)
    assert dataset(path).fingerprint() != first


def test_clip_settings_rebuild_the_same_clips(dai_module: Make) -> None:
    module = dai_module(sampling="dense", stride=2, mean=[0.4, 0.4, 0.4])
    assert module.clip_settings() == {
        "num_frames": 4, "image_size": 32, "sampling": "dense", "stride": 2,
        "mean": (0.4, 0.4, 0.4), "std": (0.225, 0.225, 0.225),
    }  # fmt: skip
    again = dai_module(**module.clip_settings())
    assert again.fingerprint("test") == module.fingerprint("test")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_file_is_named_in_one_line(tmp_path: Path, workers: int) -> None:
    for mark, split in enumerate(("train", "val", "test")):
        make_video(tmp_path / split / "a" / "x.mp4", mark=mark)
    (tmp_path / "test" / "a" / "broken.mp4").write_bytes(b"nothing")
    module = DAIDataModule(root=tmp_path, num_frames=2, image_size=16, num_workers=workers)
    module.setup()
    with pytest.raises(InputError) as caught:
        list(module.test_dataloader())
    assert "broken.mp4: cannot be read as a video" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "random"}, r"dataset\.sampling is 'random'; it must be dense or uniform"),
        ({"num_frames": 0}, r"dataset\.num_frames is 0; it must be a whole number of at least 1"),
        ({"image_size": 1.5}, r"dataset\.image_size is 1\.5"),
        ({"batch_size": "many"}, r"dataset\.batch_size is 'many'"),
        ({"num_workers": -1}, r"dataset\.num_workers is -1"),
        ({"views": {"crops": 2}}, r"dataset\.views\.crops is 2; it must be 1 or 3"),
        ({"views": {"clips": 0}}, r"dataset\.views\.clips is 0"),
        ({"split": 4}, r"dataset\.split is 4; it must be 1, 2 or 3"),
        ({"val_fraction": 1.0}, r"dataset\.val_fraction is 1\.0"),
        ({"std": [0, 1, 1]}, r"dataset\.std is \[0, 1, 1\]; it must be three positive numbers"),
        ({"mean": [0.5]}, r"dataset\.mean is \[0\.5\]; it must be three numbers"),
        ({"crop_area": [0.9, 0.1]}, r"dataset\.crop_area is \[0\.9, 0\.1\]"),
        ({"flip": "maybe"}, r"dataset\.flip is 'maybe'; it must be True or False"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        UCF101DataModule(**{"root": ".", "num_frames": 4, "image_size": 32, **options})


def test_a_missing_root_says_where_and_how(tmp_path: Path) -> None:
    module = UCF101DataModule(root=tmp_path / "none", num_frames=4, image_size=32)
    with pytest.raises(InputError, match=r"no directory .*none.*dataset\.root.*demo_ucf101"):
        module.setup()


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_the_configuration_builds_its_module(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITPRUNE_DATA", "/somewhere")
    node = OmegaConf.load(CONF / f"{name}.yaml")
    node.pop("scale", None)  # of the models; the task takes it out
    model = {"num_frames": 8, "image_size": 64, "mean": [0.4] * 3, "std": [0.2] * 3}
    config = OmegaConf.create({"dataset": node, "model": model, "seed": 3})
    module = instantiate(config.dataset)
    assert module.name == name
    assert module.root == Path("/somewhere") / name
    assert module.spec.num_frames == 8
    assert module.spec.image_size == 64
    assert module.spec.mean == (0.4, 0.4, 0.4)
    assert module.flip is ("ucf101" in name or name == "hmdb51")  # not in a car
    assert (module.demo is not None) is name.startswith("demo")


def test_videos_are_named_by_path_and_time(tmp_path: Path) -> None:
    path = tmp_path / "videos" / "a b.mp4"
    clips = [Clip(path, 0), Clip(path, 0, start=1.5, end=3), Clip(path, 0, end=2), Clip(path, 0, 4)]
    names = VideoDataset(clips, ["x"], spec(), root=tmp_path).names
    assert names == [
        "videos/a b.mp4", "videos/a b.mp4#t=1.5,3", "videos/a b.mp4#t=,2", "videos/a b.mp4#t=4",
    ]  # fmt: skip


def test_a_dataset_without_a_stand_in_does_not_speak_of_one(tmp_path: Path) -> None:
    class Mine(VideoDataModule):
        def read_layout(self) -> Any:
            return [], {}

    data = Mine(root=tmp_path / "none", num_frames=4, image_size=32)
    assert data.name == "Mine"
    data.prepare_data()
    with pytest.raises(InputError, match=r"none, where Mine should be; .*to where it is$"):
        data.setup()
