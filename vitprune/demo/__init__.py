"""The stand-ins of DAI and UCF101: drawn scenes in real video files, so that all runs anywhere."""

from vitprune.demo.render import StandIn

__all__ = ["StandIn"]
