"""Heads: where they look, what they are relevant for, and the pictures of both."""
