"""The stand-ins of DAI and UCF101: drawn scenes in real video files, so that all runs anywhere.

`stand_in` is what is rendered, and once; `layouts` says which videos there are and who is in which
split; `videos` encodes them. The scenes are `plain`, which a small model learns in minutes, or
`hard`, in which only motion, place and order tell classes apart. `sheet` shows them.
"""

from vitprune.demo.stand_in import StandIn

__all__ = ["StandIn"]
