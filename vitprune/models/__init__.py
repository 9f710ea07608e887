"""Clips -> logits: the chain interface, and the architectures with the file formats they read.

`chain` is the interface: blocks, branches, dropping; `attention` the one mechanism of attention
with the gates of heads. `timesformer`, `video_swin` and `mvit` are a package each: the model and
the formats of its weights; `hub` makes chains of transformers' models. `registry` has them by name
and `build` builds them. `weights` reads files in `formats`, `positions` and `grids` fit positions
to other sizes, `finite` says where logits stopped being numbers.
"""

from vitprune.models import hub, mvit, timesformer, video_swin  # noqa: F401  # register
from vitprune.models.build import build_model
from vitprune.models.chain import Tokens, VideoTransformer

__all__ = ["Tokens", "VideoTransformer", "build_model"]
