"""The DataModule that all datasets share: each only says how to read its layout."""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import pytorch_lightning as pl
import torch
from torch import distributed
from torch.utils.data import Dataset, DistributedSampler, Subset

from vitprune.data.classes import class_numbers
from vitprune.data.clip_store import ClipStore
from vitprune.data.dataset import Clip, ClipSpec, VideoDataset, Views
from vitprune.data.groups import SPLITS, SplitName, held_out_groups, joined
from vitprune.data.index_store import IndexStore
from vitprune.data.loading import SeededSampler, VideoLoader, collate_views
from vitprune.data.options import above_zero, area, channels, choice, fraction, whole
from vitprune.data.readable import Readable
from vitprune.data.recordings import check_recordings, check_subjects, recordings_of
from vitprune.data.sampling import SAMPLINGS, SamplingName
from vitprune.errors import InputError

MEAN, STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
OnError = Literal["raise", "skip"]
ON_ERROR: tuple[OnError, ...] = get_args(OnError)
ALL_VIEWS = "all"


class VideoDataModule(pl.LightningDataModule, ABC):
    """Videos on disk to batches, collated from :class:`~vitprune.data.dataset.VideoDataset`.

    A batch is ``{"clips": float [B, V, 3, T, H, W], "label", "video": [B], "name": B texts}``.

    Args:
        name: of the dataset, as in ``dataset=NAME``.
        root: its directory.
        num_frames: T.
        image_size: H and W, in pixels.
        sampling: ``dense`` or ``uniform``; see :class:`~vitprune.data.dataset.ClipSpec`.
        stride: distance of frames in dense sampling.
        batch_size: videos per batch in training.
        eval_batch_size: views per batch everywhere else; a batch has at least one video.
        num_workers: processes that decode, per loader; 0 decodes in the process itself.
        flip: whether training mirrors half of the clips left to right.
        views: ``clips`` (in time) and ``crops`` (1 or 3) of a video that are averaged at test.
        crop_area: smallest and largest share of the frame's area that training keeps.
        colour_jitter: by how much training varies brightness, contrast and saturation, 0 to 1.
        split: which of the dataset's official splits.
        test_fraction: share of the subjects that become the test split where the dataset has none.
        test_seed: of which subjects these are.
        val_fraction: share of training groups that become the validation split where the dataset
            has none.
        val_seed: of which groups become the validation split. Like ``test_seed`` it belongs to the
            dataset, so that it is the same one whatever the job's seed.
        view: the camera whose clips are used; ``all`` for those of all cameras.
        on_error: what becomes of an annotation that is wrong and of a video that is missing or
            cannot be read: ``raise``, or ``skip`` to leave it out, and say so.
        seed: of the order of training clips and all their randomness.
        mean: of the three channels, for values in [0, 1].
        std: likewise.
        store: whether decoded clips of evaluation are kept on disk, for all jobs.
        store_gb: how many gigabytes of them, of all datasets together.
        cache: a folder for what can be made again: decoded clips, and indexes of files. None
            keeps neither.
        demo: called with ``root`` before it is used, for a stand-in that renders itself there
            (:class:`vitprune.demo.StandIn`); None for real data.

    Attributes:
        class_names: the classes in the order of their labels; from :meth:`setup` on.
        splits: ``train``, ``val`` and ``test``; from :meth:`setup` on.
        left_out: what is wrong with every annotation and listed file that was left out, a line
            each, by the split that it would be in, ``""`` where that is not known; from
            :meth:`setup` on.

    Raises:
        InputError: an argument that is out of range; from :meth:`setup`, anything about the
            files that is not as the layout says.
    """

    layout: ClassVar[str | None] = None
    """What its stand-in is rendered as; None if there is none."""
    official_splits: ClassVar[tuple[int, ...]] = (1,)
    whom: ClassVar[str] = "subject"
    """What the dataset calls those whose clips must be in one split."""
    shares_groups: ClassVar[bool] = False
    """Whether its official splits share such all the same."""

    class_names: list[str]
    splits: dict[str, VideoDataset]
    left_out: dict[SplitName | Literal[""], list[str]]

    def __init__(
        self,
        *,
        root: str | Path,
        num_frames: int,
        image_size: int,
        name: str = "",
        sampling: SamplingName = "uniform",
        stride: int = 4,
        batch_size: int = 16,
        eval_batch_size: int = 32,
        num_workers: int = 2,
        flip: bool = False,
        views: Mapping[str, int] | Views | None = None,
        crop_area: Sequence[float] = (0.5, 1.0),
        colour_jitter: float = 0.0,
        split: int | None = None,
        test_fraction: float = 0.2,
        test_seed: int = 0,
        val_fraction: float = 0.1,
        val_seed: int = 0,
        view: str = ALL_VIEWS,
        on_error: OnError = "raise",
        seed: int = 0,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        store: bool = True,
        store_gb: float = 20.0,
        cache: str | Path | None = None,
        demo: Callable[[Path], object] | None = None,
    ) -> None:
        super().__init__()
        self.name: str = name or self.layout or type(self).__name__
        self.root = Path(root).expanduser().absolute()
        self.spec = ClipSpec(
            num_frames=whole("num_frames", num_frames),
            image_size=whole("image_size", image_size),
            sampling=choice("sampling", sampling, SAMPLINGS),
            stride=whole("stride", stride),
            mean=channels("mean", mean, positive=False),
            std=channels("std", std, positive=True),
        )
        self.views = views if isinstance(views, Views) else Views(**dict(views or {}))
        whole("views.clips", self.views.clips)
        choice("views.crops", self.views.crops, (1, 3))
        self.batch_size = whole("batch_size", batch_size)
        self.eval_batch_size = whole("eval_batch_size", eval_batch_size)
        self.num_workers = whole("num_workers", num_workers, least=0)
        self.flip = choice("flip", flip, (True, False))
        self.crop_area = area("crop_area", crop_area)
        self.colour_jitter = fraction("colour_jitter", colour_jitter, inclusive=True)
        official = self.official_splits
        self.split = choice("split", official[0] if split is None else split, official)
        self.test_fraction = fraction("test_fraction", test_fraction)
        self.test_seed = whole("test_seed", test_seed, least=0)
        self.val_fraction = fraction("val_fraction", val_fraction)
        self.val_seed = whole("val_seed", val_seed, least=0)
        self.view = str(view)
        self.on_error = choice("on_error", on_error, ON_ERROR)
        self.seed = whole("seed", seed, least=0)
        self.cache = None if cache is None else Path(cache).expanduser().absolute()
        self.indexes = None if self.cache is None else IndexStore(self.cache / "index")
        choice("store", store, (True, False))
        self.store: ClipStore | None = None
        if store and self.cache is not None:
            self.store = ClipStore(self.cache / "clips", above_zero("store_gb", store_gb))
        self.demo = demo
        self.splits = {}
        self.left_out = {}
        self.readable: Readable | None = None

    # What a dataset says of itself

    @abstractmethod
    def read_layout(self) -> tuple[list[str], dict[SplitName, list[Clip]]]:
        """The classes in order, and the clips of the splits that the dataset itself has.

        Where there is no ``val`` among these, and where there is only ``train``, the others are
        held out of it, subject by subject.

        Raises:
            InputError: something is missing or wrong in ``self.root``.
        """

    def check_splits(self, clips: Mapping[SplitName, Sequence[Clip]]) -> None:
        """See that the dataset's own splits have nobody and nothing in common.

        Raises:
            InputError: names a subject or a moment of a recording that two splits share.
        """
        check_subjects(clips, self.whom)
        check_recordings(clips, self.root)

    def grouped(self, clips: Sequence[Clip]) -> list[str]:
        """The name of a group for every clip; clips of a group are not held out without another.

        By default a group is a subject; recordings make one where subjects are not known.
        """
        recordings = recordings_of([clip] for clip in clips)
        return joined((c.group or str(c.path), str(recordings[c.path])) for c in clips)

    # Lightning's hooks

    def prepare_data(self) -> None:
        """Render the stand-in, if this is one, and if it is not there yet."""
        if self.demo is not None:
            self.demo(self.root)

    def setup(self, stage: str | None = None) -> None:
        """Read and check the layout; fills ``class_names`` and ``splits``."""
        if self.splits:
            return
        self.check_root()
        self.left_out = {}
        self.class_names, clips = self.read_split_clips()
        if lines := [line for part in self.left_out.values() for line in part]:
            count = f"{len(lines)} annotation{'s' * (len(lines) > 1)}"
            more = "; ..." if len(lines) > 3 else ""
            counts = ", ".join(f"{len(part)} {split}" for split, part in clips.items())
            warnings.warn(
                f"{count} of {self.name} left out: {'; '.join(lines[:3])}{more}; "
                f"{counts} clips remain",
                stacklevel=2,
            )
        self.splits = {
            split: VideoDataset(
                clips[split],
                self.class_names,
                self.spec,
                root=self.root,
                training=split == "train",
                flip=self.flip,
                crop_area=self.crop_area,
                colour_jitter=self.colour_jitter,
                indexes=self.indexes,
                store=self.store,
            )
            for split in SPLITS
        }
        self.readable = Readable(self.splits["train"]) if self.on_error == "skip" else None

    def train_dataloader(self) -> VideoLoader:
        """Training clips with random crops, shuffled; the same for the same seed."""
        train = self.splits["train"]
        return VideoLoader(
            train if self.readable is None else self.readable,
            batch_size=min(self.batch_size, len(train)),
            sampler=SeededSampler(len(train), self.seed),
            generator=torch.Generator().manual_seed(self.seed),  # leaves the global one alone
            drop_last=True,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> VideoLoader:
        """Every validation video, one centre view."""
        return self.loader("val")

    def test_dataloader(self) -> VideoLoader:
        """Every test video, in the configured views."""
        return self.loader("test", views=True)

    # What the rest of vitprune asks for

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def loader(
        self,
        split: SplitName,
        *,
        views: bool = False,
        share: bool = False,
        most: int | None = None,
    ) -> VideoLoader:
        """Every video of a split as at evaluation, without randomness in the clips.

        Args:
            split: ``train``, ``val`` or ``test``.
            views: the configured views instead of one centre view.
            share: in a process group only this process's share. Shares are equally large, so that
                some videos are in two of them where their number does not divide evenly.
            most: how many videos at most: those of :meth:`spread`; None for all.
        """
        whole = self.evaluation(split, views=views)
        dataset: Dataset[dict[str, Any]] = whole
        if most is not None:
            dataset = Subset(whole, self.spread(split, most))
        sampler: DistributedSampler[Any] | None = None
        if share and distributed.is_available() and distributed.is_initialized():
            sampler = DistributedSampler(dataset, shuffle=False)
        several = whole.views.clips * whole.views.crops
        return VideoLoader(
            dataset,
            batch_size=max(1, self.eval_batch_size // several),
            collate_fn=partial(collate_views, self.eval_batch_size),
            sampler=sampler,
            generator=torch.Generator().manual_seed(self.seed),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def spread(self, split: SplitName, most: int) -> list[int]:
        """Numbers of at most so many clips, evenly spread over a split, not in order of class."""
        clips = len(self.splits[split])
        step = max(1.0, clips / most)
        numbers = [int(i * step) for i in range(min(most, clips))]
        order = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(self.seed))
        return [numbers[i] for i in order.tolist()]

    def leave_out(self, split: SplitName, reasons: Mapping[int, str]) -> None:
        """Go on without clips, before any loader has been made.

        Args:
            split: theirs.
            reasons: the clips' numbers, and a line for each.
        """
        dataset = self.splits[split]
        self.left_out.setdefault(split, []).extend(reasons.values())
        dataset.leave_out(reasons)
        if not dataset.clips:
            raise InputError(
                f"{self.root}: no clip of the {split} split of {self.name} can be read"
            )

    def coverage(self) -> dict[str, Any]:
        """What figures are of: how many ``clips`` each split has, and what was ``left_out`` of it.

        In a process group every process must ask.
        """
        unread = dict(self.readable.unread) if self.readable else {}
        if distributed.is_available() and distributed.is_initialized():
            found: list[dict[int, str]] = [{}] * distributed.get_world_size()
            distributed.all_gather_object(found, unread)
            unread = {number: line for part in found for number, line in part.items()}
        left_out = {split: list(lines) for split, lines in self.left_out.items()}
        if unread:
            left_out["train"] = [*left_out.get("train", []), *unread.values()]
        clips = {split: len(dataset) for split, dataset in self.splits.items()}
        clips["train"] -= len(unread)
        return {
            "clips": clips,
            "left_out": {s or "unknown": lines for s, lines in left_out.items()},
        }

    def evaluation(self, split: SplitName, *, views: bool = False) -> VideoDataset:
        """A split as at evaluation, decoded once for all jobs where there is a store."""
        dataset = self.splits[split].evaluating(self.views if views else None)
        return dataset.keeping(f"the {split} split of {self.name}")

    def clip_settings(self) -> dict[str, Any]:
        """What a checkpoint must remember to be shown clips like those that it was trained on."""
        return asdict(self.spec)

    def fingerprint(self, split: SplitName) -> str:
        """A hash of the split's clips, files and settings; see `VideoDataset.fingerprint`."""
        return self.splits[split].fingerprint()

    def use_classes(self, class_names: Sequence[str], names: Mapping[str, str] | None) -> None:
        """Count labels as a model does, whose classes are ``class_names``.

        Args:
            class_names: the model's.
            names: see :func:`vitprune.data.classes.class_numbers`.

        Raises:
            InputError: the data have classes that the model does not have.
        """
        where = f"{self.name} in {self.root}"
        numbers = class_numbers(self.class_names, class_names, where=where, names=names)
        self.class_names = list(class_names)
        for dataset in self.splits.values():
            dataset.class_names = self.class_names
            for part in (dataset.clips, dataset.unusable):
                part[:] = [replace(clip, label=numbers[clip.label]) for clip in part]

    # From a layout to three splits

    def check_root(self) -> None:
        """See that there is something to read.

        Raises:
            InputError: there is not; says how to get it.
        """
        if not self.root.is_dir():
            how = f"put {self.name} there or set dataset.root to where it is"
            if self.demo is not None:
                how = "call prepare_data() to render it"
            elif self.layout is not None:
                how += f" (dataset=demo_{self.layout} renders a stand-in and needs no download)"
            raise InputError(f"no directory {self.root}, where {self.name} should be; {how}")

    def read_split_clips(
        self, *, checked: bool = True
    ) -> tuple[list[str], dict[SplitName, list[Clip]]]:
        """The classes, and the clips of all three splits.

        Args:
            checked: whether what splits have in common is refused.

        Raises:
            InputError: something is missing or wrong in ``self.root``, or a split has no clip.
        """
        class_names, read = self.read_layout()
        clips = self._of_view(read)
        if "test" not in clips:
            train, test = self._hold_out(clips["train"], "test")
            clips = {**clips, "train": train, "test": test}
        clips = self._present(clips)
        if checked:
            self.check_splits(clips)
        if "val" not in clips:
            train, val = self._hold_out(clips["train"], "val")
            clips = {**clips, "train": train, "val": val}
        for split in SPLITS:
            if not clips[split]:
                raise InputError(f"{self.root}: the {split} split of {self.name} has no clip")
        return class_names, {split: clips[split] for split in SPLITS}

    def wrong(self, error: InputError, split: SplitName | Literal[""] = "") -> None:
        """Raise what is wrong with an annotation or a file; with ``on_error=skip`` note it.

        Args:
            error: says what is wrong, and where.
            split: the one that it would be in, where that is known.
        """
        if self.on_error == "raise":
            raise InputError(f"{error}; or go on without with dataset.on_error=skip") from error
        self.left_out.setdefault(split, []).append(str(error))

    @contextmanager
    def each(self, split: SplitName | Literal[""] = "") -> Iterator[None]:
        """Around what makes a clip of one annotation: where it is wrong, see :meth:`wrong`."""
        try:
            yield
        except InputError as error:
            self.wrong(error, split)

    def views_among(self, known: Sequence[str]) -> list[str]:
        """The views that are asked for.

        Raises:
            InputError: it is none of those that are ``known``.
        """
        if self.view == ALL_VIEWS:
            return list(known)
        if self.view not in known:
            raise InputError(
                f"dataset.view={self.view} is unknown; {self.name} in {self.root} has "
                f"{', '.join((ALL_VIEWS, *known)) if known else 'no views'}"
            )
        return [self.view]

    def _of_view(self, clips: Mapping[SplitName, list[Clip]]) -> dict[SplitName, list[Clip]]:
        known = sorted({clip.view for part in clips.values() for clip in part} - {""})
        if self.view == ALL_VIEWS:
            return dict(clips)
        wanted = self.views_among(known)
        return {split: [c for c in part if c.view in wanted] for split, part in clips.items()}

    def _hold_out(self, clips: Sequence[Clip], split: SplitName) -> tuple[list[Clip], list[Clip]]:
        """``clips`` without the groups that make ``split``, and these."""
        share, seed = {
            "test": (self.test_fraction, self.test_seed),
            "val": (self.val_fraction, self.val_seed),
        }[split]
        groups = self.grouped(clips)
        members = [(group, clip.label) for group, clip in zip(groups, clips, strict=True)]
        where = f"{self.root}: there is no {split} split, and in the training split"
        chosen = held_out_groups(members, share, seed, where)
        pairs = list(zip(groups, clips, strict=True))
        return (
            [clip for group, clip in pairs if group not in chosen],
            [clip for group, clip in pairs if group in chosen],
        )

    def _present(self, clips: Mapping[SplitName, list[Clip]]) -> dict[SplitName, list[Clip]]:
        """``clips`` without those whose file is missing, which is an error unless skipped."""
        missing = sorted({c.path for part in clips.values() for c in part if not c.path.exists()})
        if missing and self.on_error == "raise":
            few = ", ".join(os.path.relpath(path, self.root) for path in missing[:3])
            raise InputError(
                f"{len(missing)} listed video{'s are' if len(missing) > 1 else ' is'} missing in "
                f"{self.root}: {few}{', ...' if len(missing) > 3 else ''}; add them, or go on "
                "without with dataset.on_error=skip"
            )
        gone = set(missing)
        for split, part in clips.items():
            for clip in part:
                if clip.path in gone:
                    self.wrong(InputError(f"{clip.path}: no such video"), split)
        return {split: [c for c in part if c.path not in gone] for split, part in clips.items()}
