"""What every layer and head of a video transformer is worth, and what is left without them."""

__version__ = "0.1.0"
