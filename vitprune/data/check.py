"""``python -m vitprune.data.check dataset=NAME``: what is in a dataset, and what is wrong with it.

An entry point like ``train.py``: it is here for its name and imports what runs commands. Nothing
imports it.
"""

from vitprune.launch.checking import main

if __name__ == "__main__":
    main()
