"""Annotated clips as a torch Dataset: an item is a video, decoded, cut into views."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vitprune.data.clip_store import ClipStore, StoredClips
from vitprune.data.excerpts import Excerpt
from vitprune.data.framing import resized_size
from vitprune.data.index_store import IndexStore
from vitprune.data.reading import index_video, read_frames
from vitprune.data.sampling import SamplingName, evaluation_indices, training_indices
from vitprune.data.source import VideoIndex
from vitprune.data.transforms import (
    Crop,
    as_clip,
    as_tensor,
    evaluation_transform,
    long_side_crops,
    random_crop,
    resized,
    scaled_crop,
    training_transform,
)
from vitprune.errors import InputError
from vitprune.files import content_digest, content_size, state_of

DECODED_AS = 1
"""Version of how frames become evaluation clips; those that were kept of another are dropped."""


@dataclass(frozen=True)
class Clip:
    """One annotated clip: a whole video file, or a part of one.

    Attributes:
        path: the video file, or a folder of frames.
        label: number of its class.
        start: where it begins in the file; None for its beginning.
        end: where it ends, exclusive; None for the file's end.
        group: the subject or group whose clips must stay in one split; empty where unknown.
        view: the camera; empty where unknown.
        unit: what ``start`` and ``end`` count, seconds or frames.
    """

    path: Path
    label: int
    start: float | None = None
    end: float | None = None
    group: str = ""
    view: str = ""
    unit: Literal["seconds", "frames"] = "seconds"


@dataclass(frozen=True)
class ClipSpec:
    """How a video becomes a clip; what a checkpoint must remember to be shown the same.

    Attributes:
        num_frames: T.
        image_size: H and W, in pixels.
        sampling: ``uniform``, one frame from each of T segments of the whole video; or ``dense``,
            T frames that are ``stride`` apart.
        stride: for ``dense``.
        mean: of the channels, for values in [0, 1].
        std: likewise.
    """

    num_frames: int
    image_size: int
    sampling: SamplingName
    stride: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Views:
    """How many views of a video are taken at test: ``clips`` in time, ``crops`` in space."""

    clips: int = 1
    crops: int = 1


class VideoDataset(Dataset[dict[str, Any]]):
    """The clips of one split.

    An item is ``{"clips": float [V, 3, T, H, W], "label": int, "video": int, "name": str}``;
    ``video`` is its number in the split, ``name`` is as in :attr:`names`, V is 1 in training and
    ``views.clips * views.crops`` otherwise, crops fastest. An item is asked for by its number; in
    training also by (number, seed), the seed being what all its randomness comes from.

    Args:
        clips: the annotated clips, in order.
        class_names: the classes that labels count.
        spec: length, size and sampling of clips.
        root: what paths are relative to in :meth:`fingerprint`.
        training: whether places in time and space are drawn at random.
        views: for evaluation.
        flip: whether training clips may be mirrored.
        crop_area: smallest and largest share of the frame that training keeps.
        colour_jitter: how much training varies colours; 0 for not at all.
        indexes: where the files' indexes are kept; None for in memory.
        store: where decoded evaluation clips are kept; None for nowhere.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        class_names: Sequence[str],
        spec: ClipSpec,
        *,
        root: Path,
        training: bool = False,
        views: Views | None = None,
        flip: bool = False,
        crop_area: Sequence[float] = (0.5, 1.0),
        colour_jitter: float = 0.0,
        indexes: IndexStore | None = None,
        store: ClipStore | None = None,
    ) -> None:
        self.clips = list(clips)
        self.unusable: list[Clip] = []
        self.class_names = list(class_names)
        self.spec = spec
        self.root = root
        self.training = training
        self.views = views or Views()
        self.crop_area = crop_area
        self.indexes = indexes
        self.store = store
        self._stored: StoredClips | None = None
        colours: dict[str, Any] = {"mean": spec.mean, "std": spec.std}
        self.training_transform = training_transform(
            flip=flip, colour_jitter=colour_jitter, **colours
        )
        self.evaluation_transform = evaluation_transform(**colours)

    def evaluating(self, views: Views | None = None) -> VideoDataset:
        """The same clips without randomness, in ``views`` (default: one, the centre)."""
        other = copy.copy(self)
        other.training = False
        other.views = views or Views()
        other._stored = None
        return other

    def keeping(self, title: str) -> VideoDataset:
        """The same for evaluation, with decoded clips in the store, if there is one with room.

        Args:
            title: of the dataset and split, for messages.
        """
        other = self.evaluating(self.views)
        if self.store is None:
            return other
        spec, views = self.spec, self.views
        shape = (views.clips * views.crops, spec.num_frames, 3, spec.image_size, spec.image_size)
        settings = [spec.num_frames, spec.image_size, spec.sampling, spec.stride]
        known_as = [str(self.root), self.names, *settings, asdict(views), DECODED_AS]
        files = [state_of(clip.path) for clip in self.clips]
        other._stored = self.store.split(known_as, files, shape, title)
        return other

    def name(self, number: int) -> str:
        """A video's path under the root; a part of a file with ``#t=start,end`` (seconds).

        The ending is that of W3C's media fragments; ``#frames=start,end`` counts frames.
        """
        return _name(self.clips[number], self.root)

    @property
    def names(self) -> list[str]:
        """The :meth:`name` of every video."""
        return [self.name(number) for number in range(len(self))]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, item: int | tuple[int, int]) -> dict[str, Any]:
        number, seed = item if isinstance(item, tuple) else (item, item)
        clips = (
            self._training_view(number, seed) if self.training else self._evaluation_views(number)
        )
        clip = self.clips[number]
        return {
            "clips": clips,
            "label": clip.label,
            "video": number,
            "name": _name(clip, self.root),
        }

    def _training_view(self, number: int, seed: int) -> Tensor:
        clip = self.clips[number]
        first, last = self.span(number)
        spec = self.spec
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
            torch.manual_seed(seed)
            places = torch.rand(spec.num_frames, dtype=torch.float64).tolist()
            indices = training_indices(
                last - first, spec.num_frames, spec.sampling, spec.stride, places
            )
            index = self.index(number)
            drawn = random_crop(index.height, index.width, self.crop_area)
            size, crop = scaled_crop(index.height, index.width, drawn, spec.image_size)
            frames = as_tensor(read_frames(clip.path, first + indices, size, self.indexes))
            cropped = resized(_cut(frames, crop), spec.image_size, spec.image_size)
            return as_clip(self.training_transform(cropped))[None]

    def index(self, number: int) -> VideoIndex:
        """What is known of a video's file, or folder of frames."""
        return index_video(self.clips[number].path, self.indexes)

    def span(self, number: int) -> tuple[int, int]:
        """A video's frames [first, last) in its file.

        Raises:
            InputError: it begins behind the file's end.
        """
        return _span(self.clips[number], self.index(number))

    def frame_numbers(self, number: int) -> np.ndarray:
        """Which frames of its file a video's evaluation views show: int64 [views.clips, T]."""
        first, last = self.span(number)
        spec = self.spec
        return first + evaluation_indices(
            last - first,
            spec.num_frames,
            spec.sampling,
            spec.stride,
            self.views.clips,
        )

    def check(self, number: int, *, decode: bool = False) -> None:
        """See that a video can be opened and has the clip in it.

        Args:
            number: of the video.
            decode: whether the frames of its evaluation views are decoded, too.

        Raises:
            InputError: says what is wrong with which file.
        """
        self.frame_numbers(number)
        if decode:
            self._evaluation_pixels(number)

    def _evaluation_views(self, number: int) -> Tensor:
        pixels = torch.from_numpy(self._evaluation_pixels(number))
        return self.evaluation_transform(pixels).transpose(1, 2)

    def _evaluation_pixels(self, number: int) -> np.ndarray:
        """A video's evaluation views before they are normalised: uint8 [V, T, 3, H, W]."""
        if self._stored is None:
            return self._decoded_views(number)
        # a copy, as the memory map is read-only
        return np.array(self._stored.get(number, lambda: self._decoded_views(number)))

    def _decoded_views(self, number: int) -> np.ndarray:
        wanted, index, size = self.frame_numbers(number), self.index(number), self.spec.image_size
        distinct, places = np.unique(wanted, return_inverse=True)
        height, width = resized_size(index.height, index.width, size)
        read_at = min(height, index.height), min(width, index.width)
        path = self.clips[number].path
        frames = as_tensor(read_frames(path, distinct, read_at, self.indexes))
        frames = resized(frames, height, width)
        views = [
            crop
            for view in torch.from_numpy(places.reshape(wanted.shape))
            for crop in long_side_crops(frames[view], size, self.views.crops)
        ]
        return torch.stack(views).numpy()

    def excerpts(self, numbers: Iterable[int] | None = None) -> list[Excerpt]:
        """What clips show (all, or some by number), in seconds, known by their files' content."""
        return [self._excerpt(i) for i in (range(len(self)) if numbers is None else numbers)]

    def _excerpt(self, number: int) -> Excerpt:
        clip = self.clips[number]
        digest = content_digest(clip.path)
        if clip.unit == "seconds" or (clip.start, clip.end) == (None, None):
            return Excerpt(digest, clip.start, clip.end)
        times, (first, last) = self.index(number).times, self.span(number)
        end = float(times[last]) if last < len(times) else None
        return Excerpt(digest, float(times[first]), end)

    def leave_out(self, numbers: Collection[int]) -> None:
        """Go on without clips, by their numbers; the others are numbered anew."""
        self.unusable += [clip for i, clip in enumerate(self.clips) if i in numbers]
        self.clips = [clip for i, clip in enumerate(self.clips) if i not in numbers]

    def listing(self) -> str:
        """A hash of the list of clips: names, labels and files' sizes; SHA-256, hexadecimal.

        The same wherever the dataset lies and whenever it was copied there, and also of clips that
        are left out: which of them cannot be read may depend on how closely one has looked.
        """
        rows = [
            (_name(clip, self.root), self.class_names[clip.label], content_size(clip.path))
            for clip in (*self.clips, *self.unusable)
        ]
        return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()

    def fingerprint(self) -> str:
        """A hash of what one centre view of every clip is made of: SHA-256, hexadecimal.

        It covers the list of clips with their files' sizes and dates, the classes and the
        :class:`ClipSpec`; scores that were measured under the same one are still true.
        """
        digest = hashlib.sha256()
        facts = {"settings": asdict(self.spec), "classes": self.class_names}
        digest.update(json.dumps(facts, sort_keys=True).encode())
        for clip in self.clips:
            path = os.path.relpath(clip.path, self.root)
            span = (clip.start, clip.end, clip.unit)
            row = (path, clip.label, *span, *state_of(clip.path))
            digest.update(json.dumps(row).encode())
        return digest.hexdigest()


def _name(clip: Clip, root: Path) -> str:
    name = Path(os.path.relpath(clip.path, root)).as_posix()
    times = ",".join("" if time is None else f"{time:.9g}" for time in (clip.start, clip.end))
    key = "t" if clip.unit == "seconds" else "frames"
    return f"{name}#{key}={times.rstrip(',')}" if times != "," else name


def _cut(frames: Tensor, crop: Crop) -> Tensor:
    rows = slice(crop.top, crop.top + crop.height)
    return frames[..., rows, crop.left : crop.left + crop.width]


def _span(clip: Clip, index: VideoIndex) -> tuple[int, int]:
    if clip.unit == "frames":
        first = int(clip.start or 0)
        if first >= len(index):
            raise InputError(
                f"{clip.path}: the clip starts at frame {first}, but the video's last frame is "
                f"{len(index) - 1}; correct its annotation"
            )
        return first, len(index) if clip.end is None else min(int(clip.end), len(index))
    if clip.start is not None and clip.start > index.times[-1] + 1e-6:
        raise InputError(
            f"{clip.path}: the clip starts at {clip.start:g} s, but the video's last frame is at "
            f"{index.times[-1]:.2f} s; correct its annotation"
        )
    return index.span(clip.start, clip.end)
