"""The configuration of a job: every value and every combination is checked here, and only here.

Hydra composes it, :func:`parse` turns it once into one of :class:`Train`, :class:`Prune` and
:class:`Evaluate`. They are pydantic's models and not Hydra's structured configurations, since those
know types, but neither ranges nor combinations. Nothing here imports torch, so that a mistyped
value is refused at once. What only a checkpoint or the data can tell (how many layers there are to
drop, which heads, which classes) is checked when they are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from vitprune import hub
from vitprune.deploy.formats import FORMATS, Reduced, check_installed, check_precisions, having
from vitprune.errors import InputError
from vitprune.files import content_digest, file_digest
from vitprune.results.settings import fine_tuning_of, settings_of

Metric = Literal["JSD", "dProb", "R", "cosine", "taylor", "random", "magnitude"]
PaperMetric = Literal["JSD", "dProb", "R"]
"""Those that ablation gives per clip."""
Direction = Literal["lowest", "highest"]
Scope = Literal["layer", "attention", "mlp", "head", "neurons", "any"]
SplitName = Literal["val", "test", "train"]
Target = Literal["predicted", "label"]
Strategy = Literal["oneshot", "greedy", "progressive", "search"]
Explanation = Literal[
    "none", "relevance", "attention", "boxes", "transfer", "causal", "explorer"
]  # fmt: skip
Query = Literal["mean", "cls", "rollout"]
Precision = Literal[
    "32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true", "32", "16", "bf16",
    "64", 32, 16, 64, "transformer-engine", "transformer-engine-float16",
]  # fmt: skip
"""What Lightning's trainer takes."""


def _takes(what: str, good: Callable[[Any], bool], *, optional: bool = False) -> BeforeValidator:
    """Refuses values that are not ``good``, saying ``what`` a key takes; null where optional."""

    def check(value: Any) -> Any:
        if not ((optional and value is None) or good(value)):
            raise PydanticCustomError("takes", "{what}", {"what": what})
        return value

    return BeforeValidator(check)


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _number(good: Callable[[float], bool]) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and math.isfinite(value) and good(value)


Whole = Annotated[int, _takes("whole numbers from 1", _whole(1))]
WholeOrNull = Annotated[
    int | None, _takes("null or whole numbers from 1", _whole(1), optional=True)
]
Count = Annotated[int, _takes("whole numbers from 0", _whole(0))]
Positive = Annotated[float, _takes("numbers above 0", _number(lambda x: x > 0))]
NotNegative = Annotated[float, _takes("numbers from 0", _number(lambda x: x >= 0))]
Share = Annotated[float, _takes("numbers from 0 to 1", _number(lambda x: 0 <= x <= 1))]
Between = Annotated[float, _takes("numbers between 0 and 1", _number(lambda x: 0 < x < 1))]
Flag = Annotated[bool, _takes("true or false", lambda value: type(value) is bool)]
Text = Annotated[str, _takes("text", lambda value: isinstance(value, str) and value != "")]
TextOrNull = Annotated[
    str | None, BeforeValidator(lambda value: None if value is None else str(value))
]

HubArchitecture = Annotated[
    str | None,
    _takes(", ".join(hub.NAMES.values()), lambda x: x in hub.NAMES.values(), optional=True),
]


def _three(good: Callable[[float], bool]) -> Callable[[Any], bool]:
    number = _number(good)
    return lambda value: (
        isinstance(value, list | tuple) and len(value) == 3 and all(map(number, value))
    )


Mean = Annotated[tuple[float, float, float], _takes("three numbers", _three(lambda x: True))]
Deviation = Annotated[
    tuple[float, float, float], _takes("three numbers above 0", _three(lambda x: x > 0))
]


def _area(value: Any) -> bool:
    share = _number(lambda x: 0 < x <= 1)
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(map(share, value))
        and value[0] <= value[1]
    )


Area = Annotated[tuple[float, float], _takes("two ascending shares, above 0 and at most 1", _area)]


class Section(BaseModel):
    """A part of a configuration; it cannot be changed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, protected_namespaces=()
    )


class Open(Section):
    """A part in which users may have keys of their own: what it builds takes them."""

    model_config = ConfigDict(extra="allow")

    target: Text = Field(alias="_target_")

    def node(self) -> dict[str, Any]:
        """As Hydra's ``instantiate`` takes it: what was given, with no defaults of ours."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Recipe(Section):
    """How a model is fine-tuned."""

    epochs: Whole
    validate_every: Whole
    lr: Positive
    weight_decay: NotNegative
    layer_decay: Annotated[
        float, _takes("numbers above 0 and at most 1", _number(lambda x: 0 < x <= 1))
    ]
    warmup: Share
    label_smoothing: Annotated[
        float, _takes("numbers from 0 to below 1", _number(lambda x: 0 <= x < 1))
    ]
    mixup: NotNegative
    linear_probing: Flag

    def of_classifier(self) -> dict[str, Any]:
        """What :class:`vitprune.training.VideoClassifier` takes of it."""
        return self.model_dump(exclude={"epochs", "validate_every", "linear_probing"})


class Model(Section):
    """Which model, and its recipe. ``full`` and ``tiny`` are what the rest was chosen from."""

    target: Text = Field(alias="_target_")
    name: Text
    k: Whole
    variant: TextOrNull
    weights: TextOrNull
    architecture: HubArchitecture = None
    revision: TextOrNull = None
    commit: TextOrNull = None
    num_frames: Whole
    image_size: Whole
    mean: Mean
    std: Deviation
    compile: Flag
    checkpointing: Flag
    recipe: Recipe
    full: dict[str, Any] = Field(default_factory=dict)
    tiny: dict[str, Any] = Field(default_factory=dict)

    def node(self) -> dict[str, Any]:
        """As ``instantiate`` takes it."""
        built_of = {"target", "name", "variant", "weights", "num_frames", "image_size"}
        pinned = {} if self.commit is None else {"revision": self.commit}
        return {**self.model_dump(by_alias=True, include=built_of), **pinned}


class Views(Section):
    """How many views of a video are averaged."""

    clips: Whole = 1
    crops: Annotated[int, _takes("1 or 3", lambda value: value in (1, 3))] = 1


class Clips(Open):
    """What a dataset's clips are made of; :class:`Evaluate` leaves sizes to the checkpoint."""

    name: Text
    scale: Literal["tiny", "full"] = "full"
    root: Text
    sampling: Literal["uniform", "dense"] = "uniform"
    stride: Whole = 4
    views: Views = Views()
    batch_size: Whole = 16
    eval_batch_size: Whole = 16
    num_workers: Count = 2
    store: Flag = True
    store_gb: Positive = 20.0
    flip: Flag = False
    crop_area: Area = (0.5, 1.0)
    colour_jitter: Share = 0.0
    split: Annotated[
        int, _takes("0, 1, 2 or 3", lambda value: type(value) is int and 0 <= value <= 3)
    ] = 1
    test_fraction: Between = 0.2
    test_seed: Count = 0
    val_fraction: Between = 0.1
    val_seed: Count = 0
    view: Text = "all"
    level: Literal["midlevel", "tasklevel"] = "midlevel"
    time: Literal["day", "night"] = "day"
    modality: Literal["rgb", "ir", "depth"] = "rgb"
    on_error: Literal["raise", "skip"] = "raise"
    seed: Count = 0

    def node(self) -> dict[str, Any]:
        """As ``instantiate`` takes it; the scale is of the models."""
        return self.model_dump(by_alias=True, exclude_unset=True, exclude={"scale"})


class Dataset(Clips):
    """A dataset for a model that is known."""

    num_frames: Whole
    image_size: Whole
    mean: Mean
    std: Deviation


PositiveOrNull = Annotated[
    float | None, _takes("null or numbers above 0", _number(lambda x: x > 0), optional=True)
]


class NoRecovery(Section):
    """``recover=none``."""

    name: Literal["none"]

    def plain(self) -> dict[str, Any]:
        """In JSON's types."""
        return self.model_dump(mode="json")


class Linear(NoRecovery):
    """``recover=linear``: bridges."""

    name: Literal["linear"]  # type: ignore[assignment]
    bridge: Literal["auto", "full", "low_rank", "scale", "none"]
    rank: Whole
    classifier: Flag
    split: Literal["train", "val"]
    clips: Annotated[int, _takes("whole numbers from 5", _whole(5))]


class Finetune(NoRecovery):
    """``recover=finetune``."""

    name: Literal["finetune"]  # type: ignore[assignment]
    share: Positive
    lr: PositiveOrNull
    begin: Literal["linear", "dropped", "scratch"]
    bridges: Linear
    patience: WholeOrNull


class Distill(Finetune):
    """``recover=distill``."""

    name: Literal["distill"]  # type: ignore[assignment]
    temperature: Positive
    features: NotNegative
    labels: Flag


Trained = Finetune | Distill
Recover = Annotated[NoRecovery | Linear | Finetune | Distill, Field(discriminator="name")]


ShareOrNull = Annotated[
    float | None,
    _takes(
        "null or numbers above 0 and up to 1, a share of the full model's",
        _number(lambda x: 0 < x <= 1),
        optional=True,
    ),
]


class Budgets(Section):
    """What the smaller model may cost."""

    latency: ShareOrNull
    latency_ms: PositiveOrNull
    flops: ShareOrNull
    parameters: ShareOrNull
    megabytes: PositiveOrNull

    def limits(self) -> dict[str, float]:
        """Those that are given."""
        return {name: limit for name, limit in self.model_dump().items() if limit is not None}


class Search(Section):
    """How ``strategy=search`` goes about it."""

    candidates: Whole
    rounds: Whole


NotNegativeOrNull = Annotated[
    float | None, _takes("null or numbers from 0", _number(lambda x: x >= 0), optional=True)
]


class Trainer(Open):
    """Lightning's trainer."""

    devices: Any = 1
    precision: Precision = "32-true"
    max_epochs: Whole = 1
    check_val_every_n_epoch: Whole = 1
    accumulate_grad_batches: Whole = 1
    plugins: list[Any] = Field(default_factory=list)


class Logger(Open):
    """Where runs are tracked."""

    mode: Literal["online", "offline", "disabled", "shared"] = "offline"
    group: TextOrNull = None


ExportFormat = Literal["onnx", "openvino", "torch"]


def _several_of(choices: Any) -> Callable[[Any], bool]:
    known = get_args(choices)
    return lambda value: (
        isinstance(value, list | tuple)
        and all(name in known for name in value)
        and len({*value}) == len(value)
    )


Exports = Annotated[
    tuple[ExportFormat, ...],
    _takes("a list of onnx, openvino, torch: [onnx]", _several_of(ExportFormat)),
]


class Deploy(Section):
    """How a model is exported as a bundle."""

    batch: Annotated[
        int | Literal["dynamic"],
        _takes("dynamic or whole numbers from 1", lambda x: x == "dynamic" or _whole(1)(x)),
    ]
    opset: Annotated[int, _takes("whole numbers from 18", _whole(18))]
    conv3d: Flag
    dims: Annotated[int, _takes("4 or 5", lambda value: value in (4, 5))]
    fused: Flag
    clips: Whole
    precision: Annotated[
        tuple[Reduced, ...], _takes("a list of float16, bfloat16, int8", _several_of(Reduced))
    ]
    calibration: Whole
    max_loss: NotNegativeOrNull
    compare: Flag
    videos: WholeOrNull
    seconds: NotNegative

    def at_once(self) -> int | None:
        """How many clips the models take at once; None for any number."""
        return None if self.batch == "dynamic" else self.batch


class Job(Section):
    """What every command has."""

    task: str
    dataset: Clips
    trainer: Trainer
    logger: Annotated[Logger | None, BeforeValidator(lambda value: value or None)] = None
    seed: Count
    runs: Text
    given: frozenset[str] = Field(default=frozenset(), exclude=True)
    """The keys that the command line names."""

    class_map: TextOrNull = None
    cache: Flag = True

    def plain(self) -> dict[str, Any]:
        """As it was composed, in JSON's types."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def settings(self) -> dict[str, Any]:
        """What its results depend on; of a class map, what it says and not where it lies."""
        settings = settings_of(self.plain())
        if self.class_map is not None and Path(self.class_map).is_file():
            settings["class_map"] = content_digest(self.class_map)
        return settings

    def labels(self) -> list[str]:
        """What a tracked run is called by: dataset, model, and what is asked of it."""
        return [self.dataset.name]

    def with_decided(self, clips: Mapping[str, Any], model: Mapping[str, Any]) -> Self:
        """The same with what a checkpoint decides of its clips and of its model."""
        given = self.dataset.model_dump(by_alias=True, exclude_unset=True)
        return self.model_copy(update={"dataset": Dataset.model_validate({**given, **clips})})


class FineTuning(Job):
    """What a command has that can fine-tune."""

    dataset: Dataset
    model: Model
    scale: Literal["tiny", "full"]
    seeds: Count
    fine_tuned: Text
    callbacks: dict[str, Any] = Field(default_factory=dict)

    def labels(self) -> list[str]:
        return [self.dataset.name, self.model.name]

    def with_decided(self, clips: Mapping[str, Any], model: Mapping[str, Any]) -> Self:
        decided = super().with_decided(clips, model)
        values = {**self.model.model_dump(by_alias=True, exclude_unset=True), **model}
        return decided.model_copy(update={"model": Model.model_validate(values)})

    def begins_with(self) -> str | None:
        """The checkpoint that a fine-tuning goes on from; None for the model's own weights."""
        return None

    def fine_tuning(self) -> dict[str, Any]:
        """What the fine-tuned checkpoint is told apart by."""
        return fine_tuning_of(self.plain())


class Train(FineTuning):
    """``train.py``."""

    task: Literal["train"]
    ckpt: TextOrNull = None

    def begins_with(self) -> str | None:
        return self.ckpt

    def fine_tuning(self) -> dict[str, Any]:
        begun = {} if self.ckpt is None else {"ckpt": file_digest(self.ckpt)}
        return {**super().fine_tuning(), **begun}

    @model_validator(mode="after")
    def _begins_somewhere(self) -> Train:
        if self.ckpt is not None and not Path(self.ckpt).is_file():
            raise _refusal(f"ckpt={self.ckpt} does not exist; name a file of train.py or prune.py")
        return self


class Prune(FineTuning):
    """``prune.py``."""

    DECIDED_BY_CHECKPOINT: ClassVar[tuple[str, ...]] = ("model", "dataset")

    task: Literal["prune"]
    metric: Metric
    k: Whole
    direction: Direction
    scope: Scope
    budget: Budgets
    neuron_groups: WholeOrNull = None
    neuron_order: Literal["index", "activation"] = "index"
    calibration: SplitName
    target: Target
    strategy: Strategy
    step: WholeOrNull
    search: Search
    max_class_loss: NotNegativeOrNull
    recover: Recover
    curves: Flag
    draws: Whole
    max_streams: WholeOrNull
    objective: dict[str, Any] | None
    ckpt: TextOrNull
    allow_leakage: Flag
    export: Exports
    deploy: Deploy

    def labels(self) -> list[str]:
        return [*super().labels(), self.metric, self.direction]

    def evaluated_splits(self) -> list[SplitName]:
        """The splits on which the figures rest."""
        searched: list[SplitName] = ["val"] if self.objective or self.curves else []
        return ["test", self.calibration, *searched]

    def learnt_from(self) -> list[SplitName]:
        """The splits that recovery looks at."""
        if isinstance(self.recover, Linear):
            return [self.recover.split]
        return [] if self.recover.name == "none" else ["train", "val"]

    def choices(self) -> dict[str, Any]:
        """How units are chosen, as ``results.json`` names it."""
        names = ("metric", "direction", "scope", "target", "strategy", "seed")
        return {name: getattr(self, name) for name in names} | {"recover": self.recover.plain()}

    def at_once(self) -> int | None:
        """How many units go between two scorings; None for all."""
        steps = {"greedy": self.step or 1, "progressive": self.step or 2}
        return steps.get(self.strategy)

    @model_validator(mode="after")
    def _fits_together(self) -> Prune:
        if self.strategy == "progressive" and self.recover.name == "none":
            raise _refusal(
                "strategy=progressive recovers between droppings; say how: recover=linear, distill "
                "or finetune"
            )
        if self.strategy == "search" and self.direction == "highest":
            raise _refusal(
                "strategy=search looks for what changes answers least; direction=highest is a "
                "control of the other strategies: oneshot, greedy, progressive"
            )
        if self.max_class_loss is not None and self.strategy != "search":
            raise _refusal(
                f"max_class_loss={self.max_class_loss:g} is looked for by strategy=search; "
                f"strategy={self.strategy} takes what relevance says"
            )
        if self.curves and self.scope == "any":
            raise _refusal(
                "curves=true counts the units that go, and those of scope=any are not alike; give "
                "one of them"
            )
        if self.class_map is not None and self.ckpt is None:
            raise _refusal(
                "class_map names the classes of a checkpoint that was trained on other data; "
                "name it with ckpt=FILE"
            )
        _check_export(self.export, self.deploy, self.calibration)
        return self


class Sizes(Section):
    """What is left to the checkpoint, for interpolations."""

    num_frames: None = None
    image_size: None = None
    mean: None = None
    std: None = None


class Evaluate(Job):
    """``evaluate.py``."""

    DECIDED_BY_CHECKPOINT: ClassVar[tuple[str, ...]] = ("dataset",)
    WITH_OTHER_DATASET: ClassVar[tuple[str, ...]] = ("boxes", "transfer")
    WITH_ROLLOUT: ClassVar[tuple[str, ...]] = ("relevance", "attention", "causal")

    task: Literal["evaluate"]
    dataset: SerializeAsAny[Clips]
    other_dataset: Clips | None = None
    model: Sizes
    ckpt: TextOrNull
    frames: WholeOrNull = None
    size: WholeOrNull = None
    explain: Explanation
    split: SplitName
    calibration: SplitName
    metric: PaperMetric
    target: Target
    head: Any
    class_: TextOrNull = Field(alias="class")
    clip: TextOrNull
    clips: Whole
    query: Query
    top: WholeOrNull
    other_ckpt: TextOrNull
    other_head: Any
    boxes: TextOrNull
    peers: Whole
    draws: Whole
    max_streams: WholeOrNull
    allow_leakage: Flag
    same_classes: Flag
    export: Exports
    deploy: Deploy
    runtime: ExportFormat | None
    precision: Literal["float32", Reduced] | None

    def evaluated_splits(self) -> list[SplitName]:
        """The splits on which the figures rest."""
        return ["test"] if self.explain == "none" else [self.split, self.calibration]

    def choices(self) -> dict[str, Any]:
        """How heads are chosen and shown, as ``results.json`` names it."""
        names = ("explain", "metric", "target", "split", "calibration", "query", "seed")
        return {name: getattr(self, name) for name in names}

    def on_other_dataset(self) -> Evaluate:
        """The same with the other dataset, whose classes are its own."""
        other = "other_dataset."
        given = {
            f"dataset.{key.removeprefix(other)}" if key.startswith(other) else key
            for key in self.given
            if not key.startswith("dataset.")
        }
        changes = {"dataset": self.other_dataset, "class_map": None, "given": frozenset(given)}
        return self.model_copy(update=changes)

    @model_validator(mode="after")
    def _fits_together(self) -> Evaluate:
        explain = self.explain
        if self.ckpt in (None, "???"):
            raise _refusal("ckpt is not given; name the checkpoint to evaluate: ckpt=FILE")
        bundle = Path(self.ckpt).is_dir()
        if self.runtime is not None and not bundle:
            raise _refusal(
                f"runtime={self.runtime} runs a bundle, and ckpt={self.ckpt} is no directory; make "
                f"one with export=[{self.runtime}]"
            )
        if bundle and (explain != "none" or self.export):
            raise _refusal(
                f"ckpt={self.ckpt} is a bundle, which can only be evaluated; name the checkpoint "
                "that it was made of"
            )
        if other := [key for key in ("frames", "size") if getattr(self, key) is not None]:
            if bundle:
                raise _refusal(
                    f"{other[0]} has no part in a bundle, which takes clips of one size; name the "
                    "checkpoint that it was made of"
                )
            if explain != "none":
                raise _refusal(
                    f"{other[0]} has no part in explain={explain}; heads are explained with the "
                    "checkpoint's own input"
                )
        if self.export and explain != "none":
            raise _refusal(f"export has no part in explain={explain}; leave one of them out")
        _check_export(self.export, self.deploy, self.calibration, self.runtime)
        if self.precision not in (None, "float32"):
            there = having(self.precision, FORMATS)
            if self.runtime not in there:
                raise _refusal(
                    f"precision={self.precision} is of runtime={' and runtime='.join(there)}; "
                    "name one of them"
                )
        if self.precision is not None and not bundle:
            raise _refusal(
                f"precision={self.precision} says in what a bundle is run, and ckpt={self.ckpt} is "
                "no directory; a checkpoint takes trainer.precision"
            )
        if self.query == "rollout" and explain not in self.WITH_ROLLOUT:
            raise _refusal(
                f"query=rollout is of no head; explain={explain} takes query=mean or cls"
            )
        if explain == "transfer" and self.other_ckpt is None:
            raise _refusal(
                "explain=transfer compares two checkpoints; name the second one, which was "
                "trained on dataset, with other_ckpt=FILE"
            )
        if explain == "causal" and self.class_ is None:
            raise _refusal("explain=causal needs a class: class=NAME")
        if self.other_dataset is not None and explain not in self.WITH_OTHER_DATASET:
            raise _refusal(
                f"other_dataset has no part in explain={explain}; it is for "
                f"explain={' and explain='.join(self.WITH_OTHER_DATASET)}"
            )
        if self.class_map is not None and not self.same_classes:
            raise _refusal(
                "class_map says which classes are the same, same_classes=false that none are; "
                "give one of them"
            )
        if not self.same_classes and explain == "none":
            raise _refusal(
                "same_classes=false leaves nothing to be right about: Top-1 needs the "
                "checkpoint's classes; name them with class_map=FILE, or explain its heads"
            )
        if not self.same_classes and explain == "causal":
            raise _refusal(
                "explain=causal counts right answers, which need the checkpoint's classes; say "
                "which is which with class_map=FILE"
            )
        if not self.same_classes and self.target == "label":
            raise _refusal(
                "target=label needs the checkpoint's own classes; with same_classes=false use "
                "target=predicted"
            )
        return self


class Check(Section):
    """``python -m vitprune.data.check``."""

    task: Literal["check"]
    dataset: Clips
    decode: Flag
    model: Sizes
    seed: Count
    runs: Text
    given: frozenset[str] = Field(default=frozenset(), exclude=True)


TASKS: dict[str, type[Job | Check]] = {
    "train": Train, "prune": Prune, "evaluate": Evaluate, "check": Check,
}  # fmt: skip


def parse(values: Mapping[str, Any], given: Iterable[str] = ()) -> Any:
    """The typed configuration of a job.

    Args:
        values: composed and resolved, as plain types; a node ``hydra`` is left out.
        given: the keys that the command line names.

    Returns:
        What :data:`TASKS` has for its ``task``.

    Raises:
        InputError: the first value or combination that is wrong, in one line that names the key
            and what it takes.
    """
    own = {str(key): value for key, value in values.items() if key != "hydra"}
    try:
        return TASKS[own["task"]].model_validate(own).model_copy(update={"given": frozenset(given)})
    except ValidationError as error:
        raise InputError(_in_one_line(error)) from None


def values_of(key: str) -> tuple[str, ...]:
    """The values that a top-level key of ``prune.py`` or ``evaluate.py`` takes."""
    field = {**Evaluate.model_fields, **Prune.model_fields}[key]
    return get_args(field.annotation)


def _check_export(
    formats: Iterable[str],
    how: Deploy,
    calibration: SplitName,
    runtime: ExportFormat | None = None,
) -> None:
    """Refuse what cannot be exported, or run, with the packages that there are, or should not."""
    formats = tuple(formats)
    try:
        check_installed(formats, write=True)
        if formats:
            check_precisions(how.precision, formats)
            if how.max_loss is not None and "int8" not in how.precision:
                raise InputError(
                    f"deploy.max_loss={how.max_loss:g} is of int8; add deploy.precision=[int8]"
                )
            if how.max_loss is not None and calibration == "test":
                raise InputError(
                    f"deploy.max_loss={how.max_loss:g} chooses layers by calibration clips, which "
                    "must not be those that it is tested on; take calibration=val or train"
                )
        if runtime is not None:
            check_installed([runtime], write=False)
    except InputError as error:
        raise _refusal(str(error)) from None


def _refusal(line: str) -> PydanticCustomError:
    return PydanticCustomError("combination", "{line}", {"line": line})


def _in_one_line(error: ValidationError) -> str:
    # What the trainer takes from the model's recipe is named as the recipe's.
    first = min(error.errors(), key=lambda one: one["loc"][:1] != ("model",))
    kind, context, value = first["type"], first.get("ctx", {}), first["input"]
    if kind == "combination":
        return str(context["line"])
    place = first["loc"]
    if place[:1] == ("recover",):  # behind it comes which of the recoveries it is
        place = place[:1] + place[2:]
    key = ".".join(str(part) for part in place)
    if kind == "union_tag_invalid":
        known = str(context["expected_tags"]).replace("'", "")
        return f"{key}.name={context['tag']} is unknown; {key} takes {known}"
    if kind == "takes":
        return f"{key}={_written(value)} is out of range; it takes {context['what']}"
    if kind == "literal_error":
        known = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        return f"{key}={_written(value)} is unknown; {key} takes {known}"
    if kind == "missing":
        return f"{key} is not given"
    if kind == "extra_forbidden":
        return f"{key}={_written(value)} is unknown; there is no such key"
    return f"{key}={_written(value)} is wrong: {first['msg'].lower()}"


def _written(value: object) -> str:
    """As it is written on a command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    return str(value)
