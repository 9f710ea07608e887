"""Neurons in the order of what they add."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, multiprocessing
from toy_chain import CLIP, toy

from vitprune.importance import order_neurons, score
from vitprune.importance.neurons import Contributions
from vitprune.models.branches import Mlp
from vitprune.models.chain import VideoTransformer
from vitprune.models.dropping import drop_units


def batches(seed: int = 0, count: int = 2) -> list[dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    return [
        {
            "clips": torch.randn(6, 1, *CLIP, generator=draw),
            "label": torch.zeros(6, dtype=torch.long),
            "video": torch.arange(6) + 6 * i,
        }
        for i in range(count)
    ]


def added(mlp: Mlp, seen: Tensor) -> Tensor:
    """Contributions of neurons, written out: their activations [N, H] were seen."""
    return seen.abs().mean(0) * torch.stack([column.norm() for column in mlp.fc2.weight.T])


def activations(model: VideoTransformer, mlp: Mlp) -> Tensor:
    seen: list[Tensor] = []
    handle = mlp.act.register_forward_hook(lambda module, given, out: seen.append(out.detach()))
    with torch.no_grad():
        for batch in batches():
            model(batch["clips"][:, 0])
    handle.remove()
    return torch.cat([part.flatten(0, -2) for part in seen])


def test_the_model_answers_as_before_and_its_neurons_ascend() -> None:
    model, clips = toy(), batches(1)[0]["clips"][:, 0]
    mlps = [module for module in model.modules() if isinstance(module, Mlp)]
    names = {name: value.shape for name, value in model.state_dict().items()}
    before = model(clips)
    wanted = [added(mlp, activations(model, mlp)).sort().values for mlp in mlps]
    order_neurons(model, batches())
    torch.testing.assert_close(model(clips), before)
    assert {name: value.shape for name, value in model.state_dict().items()} == names
    for mlp, ascending in zip(mlps, wanted, strict=True):
        assert torch.equal(
            added(mlp, activations(model, mlp)).argsort(), torch.arange(len(ascending))
        )
        torch.testing.assert_close(added(mlp, activations(model, mlp)), ascending)


def test_least_is_lost_with_the_first_group() -> None:
    model = toy()
    order_neurons(model, batches())
    relevance = score(model, batches(), "neurons", progress=False)
    first, last = ([u for u in relevance.units if u.number == number] for number in (0, 7))
    clips = batches(1)[0]["clips"][:, 0]
    with torch.no_grad():
        lost = [(drop_units(model, units)(clips) - model(clips)).norm() for units in (first, last)]
    assert lost[0] < lost[1] / 2


def test_of_a_model_without_some_groups_the_order_stays() -> None:
    smaller = drop_units(toy(), "1.mlp.2")
    with pytest.raises(ValueError, match="the order of the others stays"):
        order_neurons(smaller, batches())
    order_neurons(drop_units(toy(), "1.mlp,2"), batches())


def own_share(rank: int, rendezvous: str, out: str) -> None:
    """One of two processes: sees its own clips, and orders by all."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2
    )
    model = toy()
    order_neurons(model, batches()[rank : rank + 1])
    torch.save(model.state_dict(), f"{out}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_find_the_order_of_one(tmp_path: Path) -> None:
    arguments = (str(tmp_path / "meet"), str(tmp_path))
    multiprocessing.start_processes(own_share, arguments, nprocs=2, start_method="fork")
    alone = toy()
    order_neurons(alone, batches())
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert all(torch.equal(value, found[name]) for name, value in alone.state_dict().items())


def test_a_mean_of_all_batches() -> None:
    mlp = next(module for module in toy().modules() if isinstance(module, Mlp))
    found, seen = Contributions(mlp), torch.randn(3, 5, len(mlp.fc1.bias))
    found.update(seen[:2])
    found.update(seen[2:])
    torch.testing.assert_close(found.compute().float(), added(mlp, seen.flatten(0, 1)))
