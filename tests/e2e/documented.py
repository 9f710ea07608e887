"""The commands that documents give their readers: in Markdown, in docstrings, in conf/."""

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

COMMAND = re.compile(r"\bpython (-m [\w.]*\w|[\w/]+\.py)(?!\w|\.?{)([^\n`\"]*)")


def fenced(document: Path, language: str) -> list[str]:
    """The code blocks of a Markdown file in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)


def shell_lines(documents: Iterable[Path]) -> list[tuple[str, list[str]]]:
    """Every line of the documents' shell code, and its words, in order.

    A line that goes on in the next one is one. Variables that are set are put in where they are
    used, over all documents.
    """
    lines = []
    variables: dict[str, str] = {}
    for document in documents:
        for block in fenced(document, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                filled = re.sub(r"\$([A-Z]\w*)", lambda name: variables[name[1]], line)
                words = shlex.split(filled, comments=True)
                if len(words) == 1 and (setting := re.fullmatch(r"([A-Z]\w*)=(.*)", words[0])):
                    variables[setting[1]] = setting[2]
                elif words:
                    lines.append((f"{document.name}: {line.strip()}", words))
    return lines


def inline_code(document: Path) -> list[str]:
    """What a Markdown file has between single backticks."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"(?<!`)`([^`]+)`(?!`)", text)


def links(document: Path) -> list[str]:
    """What a Markdown file links to and shows within the repository: ``page.md#heading``."""
    found = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    return [target for target in found if "://" not in target]


def anchors(document: Path) -> set[str]:
    """What links can name of a Markdown file: its headings, as hosts of repositories write them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def mentioned(files: Iterable[Path]) -> Iterator[tuple[str, list[str]]]:
    """Commands in docstrings, comments and prose: the program and its overrides.

    What does not look like an argument ends the command; a value in capitals stands for some other.
    """
    for file in files:
        text = re.sub(r"\\\n#? *", "", file.read_text())
        for program, rest in COMMAND.findall(text):
            words = []
            for word in rest.split():
                if not re.fullmatch(r"-m|[\w./@+~]+=\S+", word):
                    break
                if not re.search(r"=[A-Z]+$", word := word.rstrip(".,;:)")):
                    words.append(word)
            yield f"{file.name}: python {program}{rest}", [program, *words]
