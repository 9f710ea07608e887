"""Which part of a configuration a result depends on."""

from omegaconf import OmegaConf

from vitprune.settings import differences, settings_of


def test_what_no_number_depends_on_is_left_out() -> None:
    cfg = OmegaConf.create(
        {
            "k": "${model.k}",
            "model": {"k": 5},
            "dataset": {"name": "demo", "num_workers": 2},
            "logger": {"mode": "offline"},
            "runs": "somewhere",
        }
    )
    assert settings_of(cfg) == {"k": 5, "model": {"k": 5}, "dataset": {"name": "demo"}}
    assert settings_of(cfg, ("model",)) == {"model": {"k": 5}}


def test_differences_are_named() -> None:
    one = {"k": 5, "model": {"name": "mvit", "recipe": {"lr": 1e-3}}, "seed": 0}
    other = {"k": 5, "model": {"name": "mvit", "recipe": {"lr": 2e-3}}, "curve": True}
    assert differences(one, one) == []
    assert differences(one, other) == ["curve", "model.recipe.lr", "seed"]
