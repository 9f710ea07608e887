"""Models of the Hugging Face hub: transformers' own modules as a chain.

An adapter takes a model of transformers apart and puts its modules, as they are, into blocks and
branches; there is one file for each class. ``branches`` has the two branches that they share,
``model`` the chain around them, ``loading`` reads weights. transformers is imported when the first
of these models is built.
"""

from vitprune.models.hub import videomae, videoprism, vivit, vjepa2  # noqa: F401  # register
