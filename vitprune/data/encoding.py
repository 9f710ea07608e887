"""Frames to video files."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_video(path: Path, frames: Sequence[np.ndarray], *, fps: int) -> None:
    """Encode uint8 frames [H, W, 3]: H.264 for .mp4, MPEG-4 part 2 for .avi.

    The same frames give the same bytes: it is done on one thread and writes no dates.
    """
    h264 = path.suffix == ".mp4"
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264" if h264 else "mpeg4", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        if h264:
            stream.options = {
                "preset": "veryfast", "tune": "fastdecode", "crf": "18", "bf": "0",
                "flags": "+bitexact", "x264-params": "threads=1:lookahead-threads=1",
            }  # fmt: skip
        else:
            stream.bit_rate = 1_500_000
            stream.options = {"qmin": "2", "qmax": "6", "g": "12", "flags": "+bitexact"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
