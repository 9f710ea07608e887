"""Published weights, in whatever format they come, into our models.

A format (:class:`~vitprune.models.formats.Format`) says how to know it by its keys and how its
names translate to ours. To teach vitprune another one, add it to the ``FORMATS`` in the package of
its architecture, as in :mod:`vitprune.models.mvit.weights`.
"""

from vitprune.models.weights.loading import fill, load_weights

__all__ = ["fill", "load_weights"]
