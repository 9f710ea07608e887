"""Classes go by their names, never by their places."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vitprune.data import DAIDataModule
from vitprune.data.classes import class_numbers, read_class_map
from vitprune.errors import InputError

KNOWN = ["drink", "phone", "text"]


@pytest.mark.parametrize(
    ("given", "names", "numbers"),
    [
        (["drink", "phone", "text"], None, [0, 1, 2]),
        (["text", "drink", "phone"], None, [2, 0, 1]),
        (["text"], None, [2]),
        (["sip", "gulp", "text"], {"sip": "drink", "gulp": "drink"}, [0, 0, 2]),
    ],
)
def test_classes_are_found_by_name(
    given: list[str], names: dict[str, str] | None, numbers: list[int]
) -> None:
    assert class_numbers(given, KNOWN, where="dai", names=names) == numbers


@pytest.mark.parametrize(
    ("given", "names", "line"),
    [
        (["drink", "phone", "sleep"], None, "1 of the 3 classes of dai are none of them: sleep"),
        (["a", "b", "c"], None, "3 of the 3 classes of dai are none of them: a, b, c; say which"),
        (["drink"], {"sip": "drink"}, "class_map names 'sip', which is no class of dai"),
        (["sip"], {"sip": "drinking"}, "are none of them: drinking"),
    ],
)
def test_other_classes_are_refused(
    given: list[str], names: dict[str, str] | None, line: str
) -> None:
    with pytest.raises(InputError, match=line):
        class_numbers(given, KNOWN, where="dai", names=names)


def test_a_class_map_is_read(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text("class,checkpoint_class\nsip, drink\n\ngulp,drink\n")
    assert read_class_map(path) == {"sip": "drink", "gulp": "drink"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "line 1: the columns must be class,checkpoint_class"),
        ("a,b\n", "line 1: the columns must be"),
        ("class,checkpoint_class\nsip\n", "line 2: 'sip'; a line is class,checkpoint_class"),
        ("class,checkpoint_class\nsip,a\nsip,b\n", "line 3: 'sip,b'"),
    ],
)
def test_a_wrong_class_map_is_refused(text: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=line):
        read_class_map(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_class_map(tmp_path / "none.csv")


def test_labels_count_the_models_classes(dai_module: Callable[..., DAIDataModule]) -> None:
    data = dai_module()
    before = data.class_names
    names = [before[clip.label] for clip in data.splits["test"].clips]
    data.use_classes(["another", *reversed(before)], None)
    assert [data.class_names[clip.label] for clip in data.splits["test"].clips] == names
    assert data.splits["test"][0]["label"] == data.splits["test"].clips[0].label != 0
