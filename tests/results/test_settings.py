"""Which part of a configuration a result depends on."""

from vitprune.results.settings import differences, fine_tuning_of, settings_of


def test_what_no_number_depends_on_is_left_out() -> None:
    values = {
        "k": 5,
        "model": {"k": 5},
        "dataset": {"name": "demo", "num_workers": 2, "mean": (0.5, 0.5)},
        "logger": {"mode": "offline"},
        "runs": "somewhere",
    }
    assert settings_of(values) == {
        "k": 5, "model": {"k": 5}, "dataset": {"name": "demo", "mean": [0.5, 0.5]}
    }  # fmt: skip


def test_a_fine_tuning_depends_neither_on_the_place_of_files_nor_on_what_is_done_with_it() -> None:
    values = {
        "metric": "R", "seed": 3, "trainer": {"precision": "bf16-mixed", "max_epochs": 2},
        "callbacks": {"checkpoint": {"monitor": "val/top1"}, "last": {}},
        "model": {
            "name": "mvit", "k": 5, "compile": True, "tiny": {}, "recipe": {"lr": 1e-3},
            "revision": "main", "commit": "4f2a9c1d",
        },
        "dataset": {"name": "demo", "root": "there", "views": {"clips": 4}, "split": 2, "seed": 3},
    }  # fmt: skip
    assert fine_tuning_of(values) == {
        "seed": 3,
        "model": {"name": "mvit", "recipe": {"lr": 1e-3}, "commit": "4f2a9c1d"},
        "dataset": {"name": "demo", "split": 2},
        "trainer": {"max_epochs": 2},
        "checkpoint": {"monitor": "val/top1"},
    }


def test_differences_are_named() -> None:
    one = {"k": 5, "model": {"name": "mvit", "recipe": {"lr": 1e-3}}, "seed": 0}
    other = {"k": 5, "model": {"name": "mvit", "recipe": {"lr": 2e-3}}, "curve": True}
    assert differences(one, one) == []
    assert differences(one, other) == ["curve", "model.recipe.lr", "seed"]


def test_how_to_export_counts_only_where_something_is_exported() -> None:
    nothing = settings_of({"k": 3, "export": [], "deploy": {"batch": 1}})
    assert nothing == settings_of({"k": 3}) == {"k": 3}
    asked = settings_of({"k": 3, "export": ["onnx"], "deploy": {"batch": 1}})
    assert differences(nothing, asked) == ["deploy", "export"]
