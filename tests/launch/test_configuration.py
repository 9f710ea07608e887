"""Every value and every combination is refused in one line, before torch is imported."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from vitprune.errors import InputError
from vitprune.launch.arguments import CONF
from vitprune.launch.configuration import Evaluate, Linear, Prune, Train, parse, values_of

Compose = Callable[..., Any]
DATASETS = [path.stem for path in sorted((CONF / "dataset").glob("*.yaml"))]


@pytest.mark.parametrize("model", ["timesformer", "video_swin", "mvit"])
@pytest.mark.parametrize(
    "dataset", [path.stem for path in sorted((CONF / "dataset").glob("*.yaml"))]
)
def test_what_comes_with_vitprune_is_right(composed: Compose, model: str, dataset: str) -> None:
    cfg = parse(composed("prune", f"model={model}", f"dataset={dataset}"))
    assert isinstance(cfg, Prune)
    assert cfg.model.name == model
    assert cfg.dataset.node()["name"] == dataset
    assert isinstance(parse(composed("train", f"model={model}", f"dataset={dataset}")), Train)


@pytest.mark.parametrize("trainer", ["default", "cpu", "gpu", "ddp"])
@pytest.mark.parametrize("logger", ["wandb", "none", None])
def test_every_trainer_and_logger_is_right(
    composed: Compose, trainer: str, logger: str | None
) -> None:
    logging = f"logger={logger}" if logger else "~logger"
    cfg = parse(composed("evaluate", "ckpt=a.ckpt", f"trainer={trainer}", logging))
    assert isinstance(cfg, Evaluate)
    assert (cfg.logger is None) == (logger != "wandb")


@pytest.mark.parametrize("recover", ["none", "linear", "distill", "finetune"])
def test_every_recovery_is_right(composed: Compose, recover: str) -> None:
    cfg = parse(composed("prune", f"recover={recover}", "k=3"))
    assert isinstance(cfg, Prune)
    assert cfg.choices()["recover"] == composed("prune", f"recover={recover}")["recover"]


@pytest.mark.parametrize("experiment", ["table1", "table1_demo", "search_k", "curves", "front"])
def test_every_experiment_is_right(composed: Compose, experiment: str) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    assert isinstance(parse(composed("prune", f"experiment={experiment}")), Prune)


@pytest.mark.parametrize(
    ("task", "overrides", "line"),
    [
        ("prune", ["metric=KL"], "metric=KL is unknown; metric takes JSD, dProb, R, cosine, "),
        ("prune", ["direction=low"], "direction takes lowest, highest"),
        ("prune", ["scope=layers"], "scope takes layer, attention, mlp, head, neurons, any"),
        ("prune", ["scope=any", "curves=true"], "curves=true counts the units that go, and those"),
        ("prune", ["neuron_groups=0"], "neuron_groups=0 is out of range; it takes null or whole"),
        ("prune", ["calibration=dev"], "calibration takes val, test, train"),
        ("prune", ["target=truth"], "target takes predicted, label"),
        ("prune", ["strategy=random"], "strategy takes oneshot, greedy, progressive, search"),
        ("prune", ["strategy=search", "direction=highest"], "is a control of the other strategies"),
        ("prune", ["strategy=search", "search.rounds=0"], "search.rounds=0 is out of range; it"),
        ("prune", ["strategy=search", "search.candidates=few"], "search.candidates=few is out of"),
        ("prune", ["max_class_loss=5"], "max_class_loss=5 is looked for by strategy=search; strat"),
        ("prune", ["strategy=search", "max_class_loss=-1"], "it takes null or numbers from 0"),
        ("prune", ["strategy=progressive"], "say how: recover=linear, distill or finetune"),
        ("prune", ["step=0"], "step=0 is out of range; it takes null or whole"),
        ("prune", ["recover=linear", "recover.bridge=cubic"], "recover.bridge takes auto, full, "),
        ("prune", ["recover=linear", "recover.clips=4"], "it takes whole numbers from 5"),
        ("prune", ["recover=linear", "recover.split=test"], "recover.split takes train, val"),
        ("prune", ["recover=linear", "recover.rank=0"], "recover.rank=0 is out of range"),
        ("prune", ["recover=finetune", "recover.share=0"], "recover.share=0 is out of range"),
        ("prune", ["recover=finetune", "recover.lr=0"], "recover.lr=0 is out of range; it"),
        ("prune", ["recover=finetune", "+recover.temperature=2"], "there is no such key"),
        ("prune", ["recover=distill", "recover.temperature=0"], "recover.temperature=0 is out of"),
        ("prune", ["recover=distill", "recover.features=-1"], "recover.features=-1 is out of"),
        ("prune", ["recover=distill", "recover.patience=0"], "recover.patience=0 is out of"),
        ("prune", ["recover.name=magic"], "recover takes none, linear, finetune, distill"),
        ("train", ["ckpt=missing.ckpt"], "ckpt=missing.ckpt does not exist; name a file of train"),
        ("prune", ["export=[coreml]"], "it takes a list of onnx, openvino, torch: [onnx]"),
        ("prune", ["export=[onnx,onnx]"], "export=[onnx,onnx] is out of range; it takes a list"),
        ("prune", ["export=onnx"], "export=onnx is out of range; it takes a list of onnx"),
        ("prune", ["export=[torch]", "deploy.precision=[int8]"], "is of onnx or openvino; add it"),
        ("prune", ["export=[onnx]", "deploy.precision=[float16]"], "is of openvino; add it to exp"),
        ("prune", ["export=[onnx]", "deploy.max_loss=1"], "deploy.max_loss=1 is of int8; add depl"),
        ("prune", ["export=[onnx]", "deploy.precision=[int8]", "deploy.max_loss=1",
                   "calibration=test"], "not be those that it is tested on; take calibration=val"),
        ("prune", ["deploy.max_loss=-1"], "deploy.max_loss=-1 is out of range; it takes null or"),
        ("prune", ["deploy.precision=[int4]"], "it takes a list of float16, bfloat16, int8"),
        ("evaluate", ["ckpt=a.ckpt", "frames=0"], "frames=0 is out of range; it takes null or who"),
        ("evaluate", ["ckpt=a.ckpt", "size=wide"], "size=wide is out of range; it takes null or w"),
        ("evaluate", ["ckpt=a.ckpt", "size=48", "explain=attention"],
         "size has no part in explain=attention"),
        ("evaluate", ["ckpt=conf", "frames=4"], "frames has no part in a bundle, which takes "),
        ("evaluate", ["ckpt=a.ckpt", "precision=int8"], "precision=int8 is of runtime=onnx and"),
        ("evaluate", ["ckpt=a.ckpt", "precision=float32"], "ckpt=a.ckpt is no directory; a check"),
        ("prune", ["deploy.batch=0"], "deploy.batch=0 is out of range; it takes dynamic or whole"),
        ("prune", ["deploy.opset=17"], "it takes whole numbers from 18"),
        ("prune", ["deploy.videos=0"], "it takes null or whole numbers from 1"),
        ("prune", ["deploy.dims=3"], "deploy.dims=3 is out of range; it takes 4 or 5"),
        ("evaluate", ["ckpt=a.ckpt", "runtime=tensorrt"], "runtime takes onnx, openvino, torch"),
        ("evaluate", ["ckpt=a.ckpt", "runtime=torch"], "runs a bundle, and ckpt=a.ckpt is no dir"),
        ("evaluate", ["ckpt=tests", "export=[torch]"], "is a bundle, which can only be evaluated"),
        ("evaluate", ["ckpt=tests", "explain=attention"], "which can only be evaluated"),
        ("evaluate", ["ckpt=a", "explain=attention", "export=[torch]"], "has no part in explain="),
        ("prune", ["k=0"], "k=0 is out of range; it takes whole numbers from 1"),
        ("prune", ["k=two"], "k=two is out of range"),
        ("prune", ["k=1.5"], "k=1.5 is out of range"),
        ("prune", ["max_streams=0"], "max_streams=0 is out of range; it takes null or whole"),
        ("prune", ["draws=0"], "draws=0 is out of range"),
        ("prune", ["curves=maybe"], "curves=maybe is out of range; it takes true or false"),
        ("prune", ["seed=-1"], "seed=-1 is out of range; it takes whole numbers from 0"),
        ("prune", ["class_map=a.csv"], "name it with ckpt=FILE"),
        ("prune", ["+what=1"], "what=1 is unknown; there is no such key"),
        ("prune", ["model.recipe.lr=-1"], "model.recipe.lr=-1 is out of range; it takes numbers a"),
        ("prune", ["model.recipe.lr=.inf"], "model.recipe.lr=.inf is out of range"),
        ("prune", ["model.recipe.epochs=0"], "model.recipe.epochs=0 is out of range"),
        ("prune", ["model.recipe.validate_every=0"], "model.recipe.validate_every=0 is out of"),
        ("prune", ["model.recipe.warmup=2"], "it takes numbers from 0 to 1"),
        ("prune", ["model.recipe.layer_decay=0"], "it takes numbers above 0 and at most 1"),
        ("prune", ["model.recipe.label_smoothing=1"], "it takes numbers from 0 to below 1"),
        ("prune", ["model.num_frames=0"], "num_frames=0 is out of range"),
        ("prune", ["model.mean=[0.5]"], "mean=[0.5] is out of range; it takes three numbers"),
        ("prune", ["model.std=[0,1,1]"], "std=[0,1,1] is out of range; it takes three numbers abo"),
        ("prune", ["dataset.batch_size=0"], "dataset.batch_size=0 is out of range"),
        ("prune", ["dataset=ucf101", "dataset.split=9"], "dataset.split=9 is out of range; it tak"),
        ("prune", ["dataset.sampling=some"], "dataset.sampling takes uniform, dense"),
        ("prune", ["dataset.views.crops=2"], "dataset.views.crops=2 is out of range; it takes"),
        ("prune", ["dataset.crop_area=[1,0.5]"], "it takes two ascending shares"),
        ("prune", ["trainer.precision=8"], "trainer.precision=8 is unknown; trainer.precision t"),
        ("prune", ["logger.mode=sometimes"], "logger.mode takes online, offline, disabled"),
        ("train", ["seed=many"], "seed=many is out of range"),
        ("evaluate", [], "ckpt is not given; name the checkpoint to evaluate: ckpt=FILE"),
        ("evaluate", ["ckpt=a", "explain=looks"], "explain takes none, relevance, attention, "),
        ("evaluate", ["ckpt=a", "query=max"], "query takes mean, cls, rollout"),
        ("evaluate", ["ckpt=a", "split=all"], "split takes val, test, train"),
        ("evaluate", ["ckpt=a", "metric=cosine"], "metric takes JSD, dProb, R"),
        ("evaluate", ["ckpt=a", "clips=0"], "clips=0 is out of range; it takes whole numbers from"),
        ("evaluate", ["ckpt=a", "peers=0"], "peers=0 is out of range"),
        ("evaluate", ["ckpt=a", "draws=many"], "draws=many is out of range"),
        ("evaluate", ["ckpt=a", "top=0"], "top=0 is out of range; it takes null or whole numbers"),
        ("evaluate", ["ckpt=a", "explain=boxes", "query=rollout"], "query=rollout is of no head"),
        ("evaluate", ["ckpt=a", "explain=transfer"], "name the second one, which was trained on"),
        ("evaluate", ["ckpt=a", "explain=causal"], "explain=causal needs a class: class=NAME"),
        ("evaluate", ["ckpt=a", "dataset@other_dataset=dai"], "other_dataset has no part in"),
        ("evaluate", ["ckpt=a", "same_classes=false"], "Top-1 needs the checkpoint's classes"),
        ("evaluate", ["ckpt=a", "explain=boxes", "class_map=m", "same_classes=false"], "give one"),
        (
            "evaluate",
            ["ckpt=a", "explain=causal", "class=b", "same_classes=false"],
            "explain=causal counts right answers",
        ),
        (
            "evaluate",
            ["ckpt=a", "explain=relevance", "same_classes=false", "target=label"],
            "with same_classes=false use target=predicted",
        ),
    ],
)  # fmt: skip
def test_refused_in_one_line(composed: Compose, task: str, overrides: list[str], line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(composed(task, *overrides))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refusal_does_not_wait_for_torch(tmp_path: Path) -> None:
    """The command itself, with a torch that cannot be imported."""
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    done = subprocess.run(
        [sys.executable, "prune.py", "k=0", f"runs={tmp_path}", "logger=none"],
        cwd=CONF.parent, env={"PYTHONPATH": str(tmp_path), "PATH": ""}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "error: k=0 is out of range; it takes whole numbers from 1\n"
    assert not any(tmp_path.rglob("results.json"))


def test_choices_are_those_of_the_code() -> None:
    from vitprune.heads.attention import QUERIES, ROLLOUT
    from vitprune.importance import DIRECTIONS, MEASURES, METRICS, SCOPES, TARGETS
    from vitprune.models.bridge import KINDS
    from vitprune.models.unit import ANY
    from vitprune.tasks.explain import EXPLANATIONS

    assert set(values_of("metric")) == {*METRICS, *MEASURES} - {"ablation"}
    assert values_of("direction") == DIRECTIONS
    assert values_of("scope") == (*SCOPES, ANY)
    assert set(values_of("target")) == set(TARGETS)
    assert values_of("strategy") == ("oneshot", "greedy", "progressive", "search")
    bridges = Linear.model_fields["bridge"].annotation
    assert set(get_args(bridges)) == {"auto", *KINDS, "none"}
    assert set(values_of("explain")) == {"none", *EXPLANATIONS}
    assert set(values_of("query")) == {*QUERIES, ROLLOUT}


@pytest.mark.parametrize(
    ("overrides", "units"),
    [
        ([], None),
        (["step=3"], None),
        (["strategy=search"], None),
        (["strategy=greedy"], 1),
        (["strategy=greedy", "step=3"], 3),
        (["strategy=progressive", "recover=linear"], 2),
        (["strategy=progressive", "recover=linear", "step=3"], 3),
    ],
)
def test_how_many_units_go_between_two_scorings(
    composed: Compose, overrides: list[str], units: int | None
) -> None:
    cfg = parse(composed("prune", *overrides))
    assert isinstance(cfg, Prune)
    assert cfg.at_once() == units


def test_fine_tunings_that_begin_with_other_weights_are_told_apart(
    composed: Compose, tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("one.ckpt", "other.ckpt")]
    for path in paths:
        path.write_bytes(path.name.encode())
    jobs = [parse(composed("train", *more)) for more in ([], *([f"ckpt={p}"] for p in paths))]
    found = [job.fine_tuning() for job in jobs if isinstance(job, Train)]
    assert found[0] != found[1] != found[2] != found[0]
    assert "ckpt" not in found[0]
    again = parse(composed("train", f"ckpt={paths[0]}"))
    assert isinstance(again, Train)
    assert again.fine_tuning() == found[1]


def test_a_class_map_counts_by_what_it_says(composed: Compose, tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    cfg = parse(composed("evaluate", "ckpt=a", f"class_map={path}"))
    path.write_text("class,checkpoint_class\na,b\n")
    before = cfg.settings()
    path.write_text("class,checkpoint_class\na,c\n")
    assert cfg.settings() != before


def test_keys_of_the_other_dataset_are_its_own(composed: Compose) -> None:
    values = composed("evaluate", "ckpt=a", "explain=boxes", "dataset@other_dataset=demo_ucf101")
    cfg = parse(values, ["other_dataset.sampling", "dataset.split", "split"])
    other = cfg.on_other_dataset()
    assert other.dataset.name == "demo_ucf101"
    assert other.given == {"dataset.sampling", "split"}
