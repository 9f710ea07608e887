"""Video Swin, and its weights as others write them."""

from vitprune.models.video_swin.model import VARIANTS, VideoSwin, WindowAttention

__all__ = ["VARIANTS", "VideoSwin", "WindowAttention"]
