"""What cells' files say."""

from vitprune.results.reading import left_out


def test_what_figures_do_not_cover_is_said() -> None:
    dataset = {"clips": {"train": 8, "val": 3, "test": 97}, "left_out": {"test": ["a", "b", "c"]}}
    assert left_out({"dataset": dataset}) == "3 of the 100 clips of the test split"
    dataset["left_out"] = {"train": ["a"], "unknown": ["b", "c"]}
    assert left_out({"dataset": dataset}) == (
        "1 of the 9 clips of the train split, 2 annotations of no known split"
    )
    assert left_out({"dataset": {"name": "dai"}}) == left_out({}) == ""
