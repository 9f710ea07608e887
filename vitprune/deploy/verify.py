"""``python -m vitprune.deploy.verify DIR``: whether a bundle gives the logits that it should.

Each of its models whose runtime is installed answers the clips of the bundle's own check. The exit
status is 0 if all do as they should, and otherwise 1, with one line that says what is wrong. It
needs no torch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vitprune.deploy.bundle import Bundle
from vitprune.deploy.description import Description
from vitprune.deploy.formats import FORMATS, runs
from vitprune.errors import FAILED, InputError, exit_with


def verify(directory: str | Path) -> dict[str, float | None]:
    """Run a bundle's models against its check.

    Returns:
        Name of a model -> the largest deviation of a logit; None if its runtime is not installed.

    Raises:
        InputError: one fails, none could be run, or the directory is no bundle.
    """
    found: dict[str, float | None] = {}
    for one in Description.read(directory).models:
        found[one.name] = None
        if runs(one.runtime):
            bundle = Bundle.load(directory, one.runtime, precision=one.precision)
            found[one.name] = bundle.check()
    if set(found.values()) == {None}:
        packages = {FORMATS[name.split()[0]].runners[0] for name in found}
        raise InputError(
            f"{directory} was not checked: install one of {', '.join(sorted(packages))}"
        )
    return found


def main() -> None:
    """The command."""
    summary = (__doc__ or "").splitlines()[0].split(": ", 1)[1]
    parser = argparse.ArgumentParser(prog="python -m vitprune.deploy.verify", description=summary)
    parser.add_argument("directory", metavar="DIR")
    directory = parser.parse_args().directory
    try:
        found = verify(directory)
    except InputError as error:
        exit_with(error, FAILED)
    for name, deviation in found.items():
        told = "not installed" if deviation is None else f"largest deviation {deviation:.1e}: good"
        print(f"{name}: {told}")


if __name__ == "__main__":
    main()
