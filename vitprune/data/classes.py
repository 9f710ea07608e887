"""Which class of a dataset is which class of a model."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from vitprune.errors import InputError


def class_numbers(
    given: Sequence[str],
    known: Sequence[str],
    *,
    where: str,
    names: Mapping[str, str] | None = None,
) -> list[int]:
    """The number that each class of a dataset has among a model's classes: by name, not order.

    Args:
        given: the dataset's classes.
        known: the model's.
        where: the dataset, for the error.
        names: the dataset's name of a class -> the model's; a class that is not in it is called
            the same in both.

    Raises:
        InputError: classes that the model does not have.
    """
    names = names or {}
    if unknown := sorted({*names} - {*given}):
        raise InputError(f"class_map names {unknown[0]!r}, which is no class of {where}")
    wanted = [names.get(name, name) for name in given]
    missing = [name for name in wanted if name not in known]
    if missing:
        few = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise InputError(
            f"the checkpoint has {len(known)} classes ({', '.join(known[:3])}, ...), and "
            f"{len(missing)} of the {len(given)} classes of {where} are none of them: {few}; "
            "say which is which with class_map=FILE (CSV: class,checkpoint_class), or, where "
            "heads are explained, go on without with same_classes=false"
        )
    number = {name: i for i, name in enumerate(known)}
    return [number[name] for name in wanted]


def read_class_map(path: str | Path) -> dict[str, str]:
    """A CSV with the columns ``class,checkpoint_class``: a dataset's class -> a checkpoint's.

    Raises:
        InputError: the file is missing, or has other columns or a class twice.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file, skipinitialspace=True))
    except OSError as error:
        raise InputError(f"class_map={path} cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"class_map={path} is no CSV file in UTF-8 ({error})") from error
    if not rows or [name.strip() for name in rows[0]] != ["class", "checkpoint_class"]:
        raise InputError(f"{path}, line 1: the columns must be class,checkpoint_class")
    found: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        if len(row) != 2 or not all(map(str.strip, row)) or row[0].strip() in found:
            raise InputError(
                f"{path}, line {number}: {','.join(row)!r}; a line is class,checkpoint_class, "
                "every class once"
            )
        found[row[0].strip()] = row[1].strip()
    return found
