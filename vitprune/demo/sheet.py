"""A stand-in on one sheet: a few frames of every class.

``python -m vitprune.demo.sheet dai docs/images/stand_ins_dai.png``
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

from PIL import Image, ImageDraw

from vitprune.demo.layouts import Layout, plan_of
from vitprune.demo.videos import scene_of

FRAMES, TILE, COLUMNS = 6, (96, 72), 2
CAPTION = 13
"""Height of a class's name above its frames, in pixels."""


def sheet(layout: Layout, seed: int = 0) -> Image.Image:
    """One video of every class, one after the other in two columns, each in six frames."""
    plan = plan_of(layout, {"train": 1, "val": 1, "test": 1})
    actions = list(dict.fromkeys(job.action for job in plan.jobs))
    shown = {  # subjects in turns
        action: [job for job in plan.jobs if job.action == action][number % 2]
        for number, action in enumerate(actions)
    }
    rows = -(-len(actions) // COLUMNS)
    width, height = FRAMES * TILE[0] + 10, TILE[1] + CAPTION + 3
    picture = Image.new("RGB", (COLUMNS * width - 10, rows * height), "white")
    draw = ImageDraw.Draw(picture)
    for number, action in enumerate(actions):
        left, top = number // rows * width, number % rows * height
        draw.text((left, top), action, fill="black")
        scene = scene_of(plan.scene, shown[action], seed + number)
        for i in range(FRAMES):
            frame = scene.frame(i / (FRAMES - 1)).image.resize(TILE, Image.Resampling.BOX)
            picture.paste(frame, (left + i * TILE[0], top + CAPTION))
    return picture


if __name__ == "__main__":
    layout, path = sys.argv[1:]
    sheet(cast(Layout, layout)).quantize(256).save(Path(path), optimize=True)
