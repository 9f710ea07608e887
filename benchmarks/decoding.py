"""Clips out of video files: decoding all, ours, decord, and the store, in one run.

``python benchmarks/decoding.py [--clips DIR] [--rounds N] [--processor-time] [--tiny]``

Sixteen evenly spread frames of each clip, short side 224, in one process and on one thread; the
methods take turns, the median counts. *Every frame* decodes and converts all frames up to the last
that is wanted, at full size, and resizes those that are wanted with torchvision. *Wanted frames*
decodes the same frames, but converts only the wanted ones. Decord is asked for the same frames at
the same size, with one thread and with as many as it likes. All begin with opening the file; ours
knows its index, as it is kept on disk. The *floor* is what no way to these frames can do without:
the decoder's time, out of packets that were read before, for the wanted pictures and those before
them that others refer to; nothing is opened, read or scaled. *Floor and scaling* scales the wanted
ones as ours does. Clips are those of ``--clips``, rendered ones otherwise.
``--processor-time`` counts the time that the process computes, for a machine that does other things
meanwhile; it says nothing of decord with more threads. ``--tiny`` shows in seconds that it works:
small rendered clips, one turn, no meaning.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from rich.console import Console
from rich.table import Table
from torchvision.transforms import v2

from vitprune.data.clip_store import ClipStore
from vitprune.data.framing import resized_size
from vitprune.data.index_store import IndexStore
from vitprune.data.packets import FileIndex
from vitprune.data.pieces import read_pieces
from vitprune.data.reading import index_video, source_of
from vitprune.data.video import SCALING

try:
    import decord
except ImportError:
    decord = None

FRAMES, SHORT_SIDE = 16, 224
CASES = {"H.264, 640x480": ("asl", "*.mkv"), "MPEG-4, 320x240": (".", "test.avi")}
METHODS = (
    "every frame", "wanted frames", "decord, 1 thread", "decord", "ours", "floor and scaling",
    "floor", "store",
)  # fmt: skip
RATIOS = (
    ("every frame", "ours"), ("wanted frames", "ours"), ("decord, 1 thread", "ours"),
    ("every frame", "floor and scaling"), ("ours", "floor and scaling"),
    ("every frame", "floor"), ("every frame", "store"),
)  # fmt: skip


def rendered(path: Path, codec: str, width: int, height: int, count: int) -> Path:
    """A clip of a texture that moves, with B-frames."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    texture = coarse.repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(30), options={"bf": "2", "g": "250"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(count):
            moved = np.roll(texture, (number, 3 * number), axis=(0, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        container.mux(stream.encode())
    return path


def clips_of(directory: Path | None, made: Path, tiny: bool) -> dict[str, list[Path]]:
    """The clips of each case."""
    if directory is not None and not tiny:
        found = {
            name: sorted((directory / folder).glob(pattern))
            for name, (folder, pattern) in CASES.items()
        }
        if all(found.values()):
            return found
    share, count = (8, 24) if tiny else (1, 90)
    return {
        "H.264, 640x480": [rendered(made / "a.mp4", "libx264", 640 // share, 480 // share, count)],
        "MPEG-4, 320x240": [rendered(made / "b.avi", "mpeg4", 320 // share, 240 // share, count)],
    }


class Clip:
    """A file, the frames that are wanted of it, and their size."""

    def __init__(self, path: Path, indexes: IndexStore, short_side: int) -> None:
        self.path, self.indexes = path, indexes
        index = index_video(path, indexes)
        self.wanted = np.linspace(0, len(index) - 1, FRAMES).round().astype(int)
        self.size = resized_size(index.height, index.width, short_side)


def every_frame(clip: Clip, *, convert_all: bool) -> np.ndarray:
    """Decode up to the last frame, RGB at full size, torchvision's resize."""
    wanted, kept = set(clip.wanted.tolist()), []
    with av.open(str(clip.path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(stream)):
            if convert_all or number in wanted:
                rgb = frame.reformat(format="rgb24", threads=1).to_ndarray()
            if number in wanted:
                kept.append(rgb)
            if number == clip.wanted[-1]:
                break
    frames = torch.from_numpy(np.stack(kept)).permute(0, 3, 1, 2)
    return v2.functional.resize(frames, list(clip.size), antialias=True).numpy()


def by_decord(clip: Clip, threads: int) -> np.ndarray:
    """The same frames and size."""
    height, width = clip.size
    reader = decord.VideoReader(str(clip.path), width=width, height=height, num_threads=threads)
    return reader.get_batch(clip.wanted).asnumpy()


def ours(clip: Clip) -> np.ndarray:
    """By the index on disk."""
    stat = clip.path.stat()
    index = clip.indexes.get(str(clip.path), stat.st_size, stat.st_mtime_ns)
    assert index is not None
    return source_of(clip.path).read(index, clip.wanted.tolist(), clip.size)


class Floor:
    """What is to be decoded of a clip, read before; calling it decodes, and scales or not."""

    def __init__(self, clip: Clip) -> None:
        index = index_video(clip.path, clip.indexes)
        assert isinstance(index, FileIndex)
        self.wanted, self.size, self.scaler = {*clip.wanted.tolist()}, clip.size, VideoReformatter()
        assert index.coding is not None
        self.numbers, self.coding = index.numbers, index.coding
        last = max(index.needed(number)[1] for number in self.wanted)
        needed = [
            place for place in range(last + 1) if self._wants(place) or not index.droppable[place]
        ]
        with clip.path.open("rb") as file:
            read = read_pieces(file, index.begins, index.sizes, needed)
            self.packets = [packet for _, packet in read]

    def __call__(self, scale: bool) -> None:
        decoder = self.coding.context()
        count = 0
        for packet in (*self.packets, None):
            for frame in decoder.decode(packet):
                if self._wants(frame.pts):
                    count += 1
                    if scale:
                        self._scale(frame)
        assert count == len(self.wanted)

    def _wants(self, place: int | None) -> bool:
        return place is not None and int(self.numbers[place]) in self.wanted

    def _scale(self, frame: VideoFrame) -> None:
        height, width = self.size
        self.scaler.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=SCALING, threads=1
        )


def stored(clips: list[Clip], store: ClipStore) -> Callable[[Clip], np.ndarray]:
    """What gives a clip out of the store, once it is in it."""
    kept = {}
    for clip in clips:
        shape = (FRAMES, *clip.size, 3)
        kept[clip.path] = store.split(str(clip.path), [str(clip.path)], shape, clip.path.name)
        assert kept[clip.path] is not None
        kept[clip.path].get(0, partial(ours, clip))

    def method(clip: Clip) -> np.ndarray:
        return np.array(kept[clip.path].get(0, partial(ours, clip)))

    return method


def medians(
    clips: list[Clip],
    methods: Mapping[str, Callable[[Clip], object]],
    rounds: int,
    clock: Callable[[], float],
) -> dict[str, float]:
    """Milliseconds for a clip, the median of the turns; after one that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(rounds + 1):
        for clip in clips:
            for name, method in methods.items():
                start = clock()
                method(clip)
                if turn:
                    taken[name].append(1000 * (clock() - start))
    return {name: statistics.median(values) for name, values in taken.items()}


def processor() -> str:
    """The processor's name and what of its instructions matters here."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    flags = {"sse4_2", "avx", "avx2", "avx512f", "avx512bw"} & {*facts.get("flags", "").split()}
    return f"{facts.get('model name', platform.processor())} ({', '.join(sorted(flags))})"


def shared_clips() -> Path | None:
    """Real footage beside the repository."""
    for parent in Path(__file__).resolve().parents:
        if (parent / "shared" / "clips").is_dir():
            return parent / "shared" / "clips"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=Path, default=shared_clips(), help="a directory of them")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--processor-time", action="store_true", help="not that of the clock")
    parser.add_argument("--tiny", action="store_true", help="small clips: seconds, no meaning")
    arguments = parser.parse_args()
    rounds = 1 if arguments.tiny else arguments.rounds
    clock = time.process_time if arguments.processor_time else time.perf_counter
    torch.set_num_threads(1)
    table = Table(
        "clips", *(f"{name} (ms)" for name in METHODS),
        *(f"{theirs.split()[0].strip(',')} / {own}" for theirs, own in RATIOS), "differs by",
        title=f"{FRAMES} frames, short side {SHORT_SIDE}; {processor()}; PyAV {av.__version__}",
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        made = Path(folder)
        for name, paths in clips_of(arguments.clips, made, arguments.tiny).items():
            store = ClipStore(made / "clips", gigabytes=1.0)
            indexes = IndexStore(made / "index")
            side = SHORT_SIDE // 8 if arguments.tiny else SHORT_SIDE
            clips = [Clip(path, indexes, side) for path in paths]
            floors = {clip.path: Floor(clip) for clip in clips}
            methods: dict[str, Callable[[Clip], object]] = {
                "every frame": partial(every_frame, convert_all=True),
                "wanted frames": partial(every_frame, convert_all=False),
                "ours": ours,
                "floor and scaling": lambda clip, floors=floors: floors[clip.path](True),
                "floor": lambda clip, floors=floors: floors[clip.path](False),
                "store": stored(clips, store),
            }
            if decord is not None:
                methods["decord, 1 thread"] = partial(by_decord, threads=1)
                methods["decord"] = partial(by_decord, threads=0)
            differ = np.mean([
                np.abs(
                    ours(clip).astype(int)
                    - every_frame(clip, convert_all=False).transpose(0, 2, 3, 1)
                ).mean()
                for clip in clips
            ])  # fmt: skip
            ms = medians(clips, methods, rounds, clock)
            shown = [f"{ms[method]:.1f}" if method in ms else "-" for method in METHODS]
            table.add_row(
                f"{len(clips)} of {name}", *shown,
                *(
                    f"{ms[theirs] / ms[own]:.2f}" if theirs in ms else "-"
                    for theirs, own in RATIOS
                ),
                f"{differ:.2f}",
            )  # fmt: skip
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
