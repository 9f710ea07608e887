"""What the store of decoded clips saves: the cells of a sweep with it and without, in one run.

``python benchmarks/store.py [--all] [--tiny]``

TimeSformer is fine-tuned for an epoch on the stand-in of DAI, which does not count. Then the six
cells that Table 1 has of a model and a dataset run twice, each time from nothing but the
checkpoint: with ``dataset.store=true`` and with ``dataset.store=false``. How often a test clip is
decoded is counted in the reader, with ``dataset.num_workers=0``; seconds are the processor's.
``--all`` has the 36 cells of ``make table1``: three models on two stand-ins. ``--tiny`` shows in
less than a minute that it works: two cells, very small clips, no meaning.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import runpy
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
MODELS, DATASETS = ("timesformer", "video_swin", "mvit"), ("demo_dai", "demo_ucf101")
WHAT = ("dataset.num_workers=0", "logger=none")
ONCE = ("model.tiny.epochs=1", "model.tiny.validate_every=1")
CELLS = ("metric=JSD,dProb,R", "direction=lowest,highest")
TINY = (
    "dataset.demo.videos_per_class={train: 2, val: 1, test: 1}", "dataset.demo.frames=8",
    "dataset.batch_size=4", "model.tiny.num_frames=4", "model.tiny.image_size=32",
)  # fmt: skip
TINY_CELLS = ("metric=JSD", "direction=lowest,highest")


def sweep(out: Path, arguments: list[str]) -> None:
    """Run prune.py in this process and write down how often each file was decoded."""
    from vitprune.data.video import VideoFile

    reads: Counter[str] = Counter()
    spent = 0.0
    read = VideoFile.read

    def counted(self: VideoFile, *rest: Any) -> Any:
        nonlocal spent
        start = time.process_time()
        frames = read(self, *rest)
        spent += time.process_time() - start
        reads[str(self.path.resolve())] += 1
        return frames

    VideoFile.read = counted  # type: ignore[method-assign]
    sys.argv = [str(ROOT / "prune.py"), *arguments]
    sys.path.insert(0, str(ROOT))
    start = time.process_time()
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        VideoFile.read = read  # type: ignore[method-assign]
        seconds = time.process_time() - start
        out.write_text(json.dumps({"reads": reads, "decoding": spent, "seconds": seconds}))


def run(folder: Path, *words: str) -> None:
    """A program of Python's with the stand-in in ``folder``; what it says is shown if it fails."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "VITPRUNE_DATA": str(folder / "data"), "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def test_files(data: Path) -> list[str]:
    """The files of the test split of the stand-in."""
    if (data / "ucfTrainTestlist").is_dir():
        lines = (data / "ucfTrainTestlist" / "testlist01.txt").read_text().split()
        return [str((data / "UCF-101" / line).resolve()) for line in lines]
    with (data / "annotations" / "test.csv").open(newline="") as file:
        names = [row["video"] for row in csv.DictReader(file)]
    found = (
        next(p for p in (data / name, data / "videos" / name) if p.is_file()) for name in names
    )
    return [str(path.resolve()) for path in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--all", action="store_true", help="three models on two stand-ins")
    parser.add_argument("--tiny", action="store_true", help="two small cells: no meaning")
    parser.add_argument("--sweep", metavar="FILE", type=Path, help=argparse.SUPPRESS)
    arguments, rest = parser.parse_known_args()
    if arguments.sweep:
        sweep(arguments.sweep, rest)
        return
    models, datasets = (MODELS, DATASETS) if arguments.all else (MODELS[:1], DATASETS[:1])
    what = (
        "-m", f"model={','.join(models)}", f"dataset={','.join(datasets)}", *WHAT,
        *(TINY if arguments.tiny else ()),
    )  # fmt: skip
    cells = TINY_CELLS if arguments.tiny else CELLS
    count = len(models) * len(datasets) * (2 if arguments.tiny else 6)
    table = Table(
        "dataset.store", "test clips", "decoded, each", "decoded, all files", "decoding (s)",
        "all cells (s)",
        title=f"{count} cells of {', '.join(models)}, {os.cpu_count()} cores",
    )  # fmt: skip
    with TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, str(ROOT / "train.py"), *what, *ONCE, f"runs={folder / 'trained'}")
        tested = [path for each in datasets for path in test_files(folder / "data" / each)]
        for store in ("true", "false"):
            out, runs = folder / f"{store}.json", folder / store
            runs.mkdir()
            (runs / "train").symlink_to(folder / "trained" / "train")
            run(
                folder, __file__, "--sweep", str(out), *what, *ONCE, *cells,
                f"dataset.store={store}", f"runs={runs}", f"hydra.sweep.dir={runs / 'sweep'}",
            )  # fmt: skip
            found = json.loads(out.read_text())
            reads: dict[str, int] = found["reads"]
            each = [reads.get(path, 0) for path in tested]
            times = f"{min(each)}" if min(each) == max(each) else f"{min(each)} to {max(each)}"
            table.add_row(
                store, str(len(each)), times, str(sum(reads.values())),
                f"{found['decoding']:.1f}", f"{found['seconds']:.1f}",
            )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
