"""The stand-ins of DAI and UCF101: drawn scenes in real video files, so that all runs anywhere.

In the scenes colours and single frames say next to nothing; motion, place and order tell classes
apart. Bottom up: `geometry` and `colours`; the `camera`; the `canvas`; `things` and `people`; the
`manner` in which people do things, and what they do (`driving`, `playing`); the scenes (`scene`,
`car`, `field`). `layouts` says which videos there are and who is in which split; `videos` encodes
them; `stand_in` is what is rendered, and once; `sheet` shows it.
"""

from vitprune.demo.stand_in import StandIn

__all__ = ["StandIn"]
