"""The stand-ins of DAI and UCF101: drawn scenes in real video files, so that all runs anywhere."""

from vitprune.data.demo.render import DemoSettings, render

__all__ = ["DemoSettings", "render"]
