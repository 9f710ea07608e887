"""Hidden neurons dropped by Torch-Pruning and by vitprune, at the same FLOPs, on the same clips.

``python benchmarks/torch_pruning_neurons.py --ckpt FILE --data DIR [--flops SHARE] [--tiny]``

Torch-Pruning (Fang et al., DepGraph, arXiv:2301.12900) follows which channels depend on each other.
In these models that can be done for the hidden neurons of MLPs; it is asked for those alone, all of
them competing, by magnitude and by Taylor expansion of the loss on the validation clips. vitprune
drops groups of neurons by R, in index order and in the order of what they add, and layers by R. All
drop until the model has so many of the full one's FLOPs. Prints Top-1 on the test clips, how many
answers change sides beside Torch-Pruning's by magnitude (beside the full model's where it fails;
McNemar's exact p), and the median latency of a clip, in turns. FILE is of train.py, DIR of a
dataset in the layout of DAI, such as ``data/demo_dai``. ``--tiny`` shows in seconds that it works,
on random clips: no meaning.
"""

from __future__ import annotations

import argparse
import copy
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from vitprune.data import DAIDataModule
from vitprune.data.loading import KeptBatches
from vitprune.deploy.timing import processor
from vitprune.importance import Unit, order_neurons, score
from vitprune.models import build_model
from vitprune.models.branches import Mlp
from vitprune.models.chain import VideoTransformer
from vitprune.models.dropping import drop_layers, drop_units
from vitprune.pruning.cost import count_flops, latencies
from vitprune.results.statistics import mcnemar
from vitprune.training import VideoClassifier

Batches = Iterable[Mapping[str, Any]]


def by_torch_pruning(
    model: VideoTransformer, clip: Tensor, share: float, val: Batches | None
) -> VideoTransformer:
    """A copy without as many hidden neurons as leave it ``share`` of its FLOPs.

    Args:
        model: full.
        clip: [1, 3, T, H, W].
        share: of its FLOPs.
        val: clips for Taylor's expansion; None for magnitude.
    """
    import torch_pruning as tp

    def smaller(ratio: float) -> VideoTransformer:
        pruned = copy.deepcopy(model).eval()
        hidden = [mlp.fc1 for mlp in pruned.modules() if isinstance(mlp, Mlp)]
        # It changes what it is given in place, and must leave alone all that is not asked for.
        others = [m for m in pruned.modules() if isinstance(m, nn.Linear) and m not in hidden]
        importance: Any = tp.importance.GroupMagnitudeImportance(p=2)
        if val is not None:
            importance = tp.importance.GroupTaylorImportance()
            for batch in val:
                logits = pruned(batch["clips"].flatten(0, 1))
                nn.functional.cross_entropy(logits, batch["label"]).backward()
        tp.pruner.BasePruner(
            pruned, clip, importance=importance, global_pruning=True, pruning_ratio=ratio,
            ignored_layers=[*others, *(m for m in pruned.modules() if isinstance(m, nn.Conv3d))],
        ).step()  # fmt: skip
        return pruned

    most = share * count_flops(model, clip)
    low, high = 0.0, 1.0
    for _ in range(7):
        middle = (low + high) / 2
        found = smaller(middle)
        low, high = (low, middle) if count_flops(found, clip) <= most else (middle, high)
    return smaller(high)


def by_relevance(
    model: VideoTransformer, clip: Tensor, share: float, order: Sequence[Unit]
) -> VideoTransformer:
    """Without as many units, the first to go first, as leave ``share`` of the FLOPs."""
    most = share * count_flops(model, clip)
    low, high = 0, len(order) - 1
    while low < high:
        middle = (low + high) // 2
        enough = count_flops(drop_units(model, order[:middle]), clip) <= most
        low, high = (low, middle) if enough else (middle + 1, high)
    return drop_units(model, order[:low])


def right(model: VideoTransformer, test: Batches) -> Tensor:
    """Whether each test clip is answered rightly, [N]."""
    with torch.inference_mode():
        found = [model(b["clips"].flatten(0, 1)).argmax(-1) == b["label"] for b in test]
    return torch.cat(found)


def made_up(model: VideoTransformer, count: int) -> list[dict[str, Any]]:
    """Batches of random clips and labels."""
    spec = model.spec
    shape = (4, 1, 3, spec.num_frames, spec.image_size, spec.image_size)
    return [
        {
            "clips": torch.randn(shape),
            "label": torch.randint(spec.num_classes, (4,)),
            "video": torch.arange(4) + 4 * number,
        }
        for number in range(count)
    ]


def loaded(ckpt: str, data: str) -> tuple[VideoTransformer, Batches, Batches]:
    """The model of a checkpoint, and the validation and test clips."""
    classifier = VideoClassifier.load(ckpt).eval()
    clips = DAIDataModule(root=data, num_workers=0, store=False, **classifier.clip_settings)
    clips.prepare_data()
    clips.setup()
    clips.use_classes(classifier.class_names, None)
    val, test = (KeptBatches(clips.loader(split)) for split in ("val", "test"))
    return classifier.model, val, test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--ckpt", default="runs/train/demo_dai/mvit/best.ckpt")
    parser.add_argument("--data", default="data/demo_dai")
    parser.add_argument("--flops", type=float, default=0.8, help="share of the full model's")
    parser.add_argument("--tiny", action="store_true", help="random clips: seconds, no meaning")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "Unwrapped parameters")  # it does not touch them
    torch.manual_seed(0)
    if arguments.tiny:
        model = build_model("timesformer", "tiny", num_classes=3, num_frames=2, image_size=32)
        model = drop_layers(model, model.layers[4:])
        val: Batches = made_up(model, 2)
        test: Batches = made_up(model, 2)
    else:
        model, val, test = loaded(arguments.ckpt, arguments.data)
    model.eval()
    spec, share = model.spec, arguments.flops
    clip = torch.randn(1, 3, spec.num_frames, spec.image_size, spec.image_size)
    ordered = copy.deepcopy(model)
    order_neurons(ordered, val)

    def relevance(of: VideoTransformer, scope: str) -> VideoTransformer:
        order = score(of, val, scope, progress=False).rank()
        return by_relevance(of, clip, share, order)

    ways: dict[str, Callable[[], VideoTransformer]] = {
        "full": lambda: model,
        "neurons, Torch-Pruning, magnitude": lambda: by_torch_pruning(model, clip, share, None),
        "neurons, Torch-Pruning, Taylor": lambda: by_torch_pruning(model, clip, share, val),
        "neurons, R, index order": lambda: relevance(model, "neurons"),
        "neurons, R, order of what they add": lambda: relevance(ordered, "neurons"),
        "layers, R": lambda: relevance(model, "layer"),
    }
    made: dict[str, VideoTransformer] = {}
    failed: dict[str, str] = {}
    for name, make in ways.items():
        try:
            made[name] = make()
        except ModuleNotFoundError as error:
            sys.exit(f"{error}: pip install -e '.[test]'")
        except (TypeError, RuntimeError, IndexError, ValueError) as error:
            if "Torch-Pruning" not in name:
                raise
            failed[name] = f"{type(error).__name__}: {error}"[:60]
    hits = {name: right(one, test) for name, one in made.items()}
    first = "neurons, Torch-Pruning, magnitude"
    beside, reference = (hits[first], "magnitude") if first in hits else (hits["full"], "full")
    taken = latencies([*made.values()], clip, seconds=0.0 if arguments.tiny else 10.0)
    table = Table(
        "dropped", "FLOPs", "Top-1", f"better, worse than {reference}", "p", "ms", "of full",
        title=f"{spec.name} {spec.variant}, {torch.get_num_threads()} threads of {processor()}",
    )  # fmt: skip
    for (name, one), latency in zip(made.items(), taken, strict=True):
        better, worse = (
            int((a & ~b).sum()) for a, b in ((hits[name], beside), (beside, hits[name]))
        )
        table.add_row(
            name, f"{count_flops(one, clip) / count_flops(model, clip):.3f}",
            f"{100 * hits[name].float().mean():.1f}", f"{better}, {worse}",
            f"{mcnemar(worse, better):.2g}", f"{latency:.2f}", f"{latency / taken[0]:.2f}",
        )  # fmt: skip
    for name, why in failed.items():
        table.add_row(name, why)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
