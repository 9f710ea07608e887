"""``python -m vitprune.data.check``: a whole dataset looked at, on the terminal and as a page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vitprune.data import VideoDataModule
from vitprune.data.survey import Survey, survey
from vitprune.files import replacing
from vitprune.report.dataset import dataset_page, print_dataset
from vitprune.results.writing import write_json
from vitprune.tasks.run import build

if TYPE_CHECKING:
    from vitprune.launch.configuration import Check

JSON, PAGE = "check.json", "check.html"


def check(cfg: Check, directory: Path) -> Survey:
    """Look at ``cfg.dataset`` and write what is found to ``directory``.

    Raises:
        InputError: there is no such dataset.
    """
    node = cfg.dataset.node() | {"on_error": "skip", "num_frames": 1, "image_size": 32}
    node = {key: value for key, value in node.items() if key not in ("mean", "std")}
    data: VideoDataModule = build("dataset", node, cache=str(Path(cfg.runs) / "cache"))
    data.prepare_data()
    data.check_root()
    found = survey(data, decode=cfg.decode)
    facts = _plain(data, found, cfg.decode)
    write_json(directory / JSON, facts)
    with replacing(directory / PAGE) as temporary:
        temporary.write_text(dataset_page(facts, found.thumbnails), encoding="utf-8")
    print_dataset(facts)
    Console().print(f"Page: {directory / PAGE}", highlight=False, soft_wrap=True)
    return found


def _plain(data: VideoDataModule, found: Survey, decoded: bool) -> dict[str, Any]:
    return {
        "dataset": data.name,
        "root": str(data.root),
        "decoded": decoded,
        "wrong": found.wrong,
        "findings": [asdict(finding) for finding in found.findings],
        "splits": dict(found.splits),
        "classes": {
            name: {split: counts[i] for split, counts in found.counts.items()}
            for i, name in enumerate(found.class_names)
        },
    }
