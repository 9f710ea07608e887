"""Heads: where they look, what they are relevant for, and the pictures of both.

Nothing here knows of commands or files of results; :mod:`vitprune.explanations` does.
"""
