"""Damaged files through the reader: what comes of them, and whether memory stays flat.

``python benchmarks/reader_fuzz.py [--files N] [--clips N] [--tiny]``

Small files of several codecs are mutated at random (bytes changed, zeroed, cut out, doubled, or cut
off) and read in a process of its own: it must end in frames or in the reader's one error, within
20 seconds. Then files are read in turns in one process, whose memory is taken after a tenth of them
and at the end: a third are whole, a third have one changed byte in their middle half, so that they
are read and perhaps refused while frames are decoded, and a third are badly damaged. What comes of
them is counted. ``--tiny`` shows in seconds that it works.
"""

from __future__ import annotations

import argparse
import resource
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vitprune.data.reading import source_of
from vitprune.errors import InputError

LIMIT = 20
"""Seconds."""
CODECS = {
    "a.mp4": ("libx264", {"g": "10", "bf": "2"}),
    "b.mkv": ("libx264", {"g": "10", "bf": "2"}),
    "c.avi": ("mpeg4", {"g": "10", "bf": "2"}),
    "d.ts": ("mpeg2video", {"g": "10"}),
    "e.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    "f.avi": ("mjpeg", {}),
}


def whole_files(folder: Path) -> list[Path]:
    """A small file of each kind."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    for name, (codec, options) in CODECS.items():
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=Fraction(25), options=options)
            stream.width, stream.height = 64, 48
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for number in range(30):
                moved = np.roll(texture, 2 * number, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
            container.mux(stream.encode())
    return [folder / name for name in CODECS]


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """``content`` with one to eight changes."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        if not data:
            break
        begin = int(rng.integers(0, len(data)))
        end = min(len(data), begin + int(rng.integers(1, 200)))
        kind = int(rng.integers(0, 6))
        if kind <= 1:
            places = rng.integers(0, len(data), 8)
            for place in places if kind else places % min(len(data), 600):  # often the header
                data[place] = int(rng.integers(0, 256))
        elif kind == 2:
            data[begin:end] = bytes(end - begin)
        elif kind == 3:
            del data[begin:end]
        elif kind == 4:
            data[begin:begin] = data[begin:end]
        else:
            del data[begin + 1 :]
    return bytes(data)


def scratched(content: bytes, rng: np.random.Generator) -> bytes:
    """``content`` with one changed byte, where a file's frames are."""
    data = bytearray(content)
    place = int(rng.integers(len(data) // 4, 3 * len(data) // 4))
    data[place] ^= int(rng.integers(1, 256))
    return bytes(data)


def read(path: Path) -> str:
    """What comes of reading a file's frames, and some of them again."""
    source = source_of(path)
    try:
        index = source.index()
        places = np.linspace(0, len(index) - 1, 8).round().astype(int)
        size = min(32, index.height), min(32, index.width)
        source.read(index, np.unique(places).tolist(), size)
        source.read(index, [len(index) - 1], (index.height, index.width))
    except InputError:
        return "error in one line"
    except Exception as error:
        return f"another exception: {type(error).__name__}"
    return "frames"


def megabytes() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def read_many(kinds: list[list[Path]], count: int) -> tuple[float, float, Counter[str]]:
    """Resident MB after a tenth of the clips and after all, and what came of them.

    Args:
        kinds: files of several kinds, which take turns.
        count: of clips.
    """
    early = 0.0
    outcomes: Counter[str] = Counter()
    for number in range(count):
        turn, kind = divmod(number, len(kinds))
        outcomes[read(kinds[kind][turn % len(kinds[kind])])] += 1
        if number == count // 10:
            early = megabytes()
    return early, megabytes(), outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--tiny", action="store_true", help="a few: seconds, no meaning")
    arguments = parser.parse_args()
    files, clips = (24, 40) if arguments.tiny else (arguments.files, arguments.clips)
    outcomes: Counter[str] = Counter()
    context = get_context("fork")
    av.logging.set_level(av.logging.PANIC)
    with TemporaryDirectory() as folder:
        whole = whole_files(Path(folder))
        contents = [path.read_bytes() for path in whole]
        pool = ProcessPoolExecutor(1, mp_context=context)
        kept: list[Path] = []
        for number in track(range(files), "Damaged files", transient=True):
            source = whole[number % len(whole)]
            path = source.with_name(f"{number % 60}_{source.name}")
            rng = np.random.default_rng(number)
            path.write_bytes(mutated(contents[number % len(whole)], rng))
            try:
                outcome = pool.submit(read, path).result(timeout=LIMIT)
            except TimeoutError:
                outcome = f"longer than {LIMIT} s"
            except BrokenProcessPool:
                outcome = "crash"
            if outcome not in ("frames", "error in one line"):
                for process in list((pool._processes or {}).values()):
                    process.kill()
                pool.shutdown(wait=False)
                pool = ProcessPoolExecutor(1, mp_context=context)
                Console(stderr=True).print(f"{number} of {source.name}: {outcome}")
            outcomes[outcome] += 1
            kept = [*kept[-59:], path]
        pool.shutdown()
        light = []
        for number in range(60):
            source = whole[number % len(whole)]
            light.append(source.with_name(f"light_{number}_{source.name}"))
            rng = np.random.default_rng(number)
            light[-1].write_bytes(scratched(contents[number % len(whole)], rng))
        with ProcessPoolExecutor(1, mp_context=context) as worker:
            early, late, read_again = worker.submit(read_many, [whole, light, kept], clips).result()
    table = Table("what", "count", title="damaged files through the reader")
    for outcome, count in outcomes.most_common():
        table.add_row(outcome, str(count))
    for outcome, count in read_again.most_common():
        table.add_row(f"of {clips} clips in one process: {outcome}", str(count))
    table.add_row(f"MB after {clips // 10} clips", f"{early:.0f}")
    table.add_row(f"MB after {clips} clips", f"{late:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
