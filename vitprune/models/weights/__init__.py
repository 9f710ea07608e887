"""Published weights, in whatever format they come, into our models.

A format (:class:`~vitprune.models.weights.formats.Format`) says how to know it by its keys and
how its names translate to ours. To teach vitprune another one, add it to the ``FORMATS`` of its
architecture's file.
"""

from vitprune.models.weights.loading import load_weights

__all__ = ["load_weights"]
