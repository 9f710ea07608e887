"""The stand-ins of DAI and UCF101: drawn scenes in real video files, so that all runs anywhere.

`render` writes them, `car` and `sports` are their scenes, `figures` what is drawn in both.
"""

from vitprune.demo.render import StandIn

__all__ = ["StandIn"]
