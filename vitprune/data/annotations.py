"""Annotations as readers of layouts find them: a clip, the name of its class, and its place."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vitprune.data.dataset import Clip
from vitprune.data.groups import SplitName
from vitprune.errors import InputError

VIDEO_SUFFIXES = (".avi", ".mp4", ".m4v", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".wmv", ".ts")


@dataclass(frozen=True)
class Annotation:
    """A clip whose label is still a name, and where that stands: a file and a line in it."""

    clip: Clip
    label: str
    where: str


@dataclass(frozen=True)
class Row:
    """A row of a CSV file: stripped fields by column, empty where there is none, and its place."""

    fields: Mapping[str, str]
    where: str

    def __getitem__(self, column: str) -> str:
        return self.fields.get(column, "")

    def text(self, column: str) -> str:
        """A field that must not be empty.

        Raises:
            InputError: it is.
        """
        if not self[column]:
            raise InputError(f"{self.where}: no {column}")
        return self[column]

    def seconds(self, column: str) -> float | None:
        """A time; None for an empty field.

        Raises:
            InputError: it is no number, or below 0.
        """
        text = self[column]
        if not text:
            return None
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not (math.isfinite(seconds) and seconds >= 0):
            raise InputError(
                f"{self.where}: {column} {text!r} is not a number of seconds, from 0 on"
            )
        return seconds

    def frame(self, column: str) -> int:
        """The number of a frame.

        Raises:
            InputError: it is no whole number, or below 0.
        """
        if not self[column].isdecimal():
            raise InputError(
                f"{self.where}: {column} {self[column]!r} is not the number of a frame, from 0 on"
            )
        return int(self[column])


def rows_of(path: Path, needed: Sequence[str], others: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a CSV file in UTF-8, with its columns checked; blank ones are passed over.

    Args:
        path: of the file.
        needed: columns that it must have.
        others: further columns that it may have, for the error.

    Raises:
        InputError: the file cannot be read, lacks a column, or a row has too many fields.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True, restkey="", restval="")
            columns = [str(name).strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            for name in needed:
                if name not in columns:
                    may = f", and may have {', '.join((*needed, *others))}" if others else ""
                    raise InputError(
                        f"{path}, line 1: no column {name!r}; it has "
                        f"{', '.join(filter(None, columns)) or 'none'}{may}"
                    )
            for fields in reader:
                where = f"{path}, line {reader.line_num}"
                if any(map(str.strip, fields.pop("", ()))):
                    raise InputError(f"{where}: more fields than columns")
                stripped = {name: (text or "").strip() for name, text in fields.items()}
                if any(stripped.values()):
                    yield Row(stripped, where)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is no CSV file in UTF-8 ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def lines_of(path: Path, origin: str) -> Iterator[tuple[str, str]]:
    """The lines of a text file that are not blank, stripped, each with where it stands.

    Args:
        path: of the file.
        origin: where one gets it, for the error.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text in UTF-8 ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {origin}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield line.strip(), f"{path}, line {number}"


def in_order(names: Iterable[str]) -> list[str]:
    """Names of classes as they are counted: sorted, each once; numbers by their value.

    >>> in_order(["10", "9"]), in_order(["b", "a", "b"])
    (['9', '10'], ['a', 'b'])
    """
    names = set(names)
    return sorted(names, key=int if all(map(str.isdecimal, names)) else None)


def numbered(
    rows: Mapping[SplitName, Iterable[Annotation]],
    class_names: Sequence[str],
    wrong: Callable[[InputError], None],
    right: str,
) -> dict[SplitName, list[Clip]]:
    """The clips of every split with the numbers of their classes.

    Args:
        rows: of every split.
        class_names: in the order of their numbers.
        wrong: told of every label that is none of them; may raise.
        right: what to do about such a one.
    """
    number = {name: i for i, name in enumerate(class_names)}
    clips: dict[SplitName, list[Clip]] = {split: [] for split in rows}
    for split, part in rows.items():
        for row in part:
            if row.label in number:
                clips[split].append(replace(row.clip, label=number[row.label]))
            else:
                wrong(InputError(f"{row.where}: label {row.label!r} {right}"))
    return clips
