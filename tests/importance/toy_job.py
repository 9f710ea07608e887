"""What the tests run in processes of their own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import distributed
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from toy_chain import CLIP, toy

from vitprune.importance import Scores, ScoreStore, score, units_of
from vitprune.importance.scoring import Batch
from vitprune.pruning.search import outcomes, search, swaps


class Clips(Dataset):
    """Random clips, each the same whenever it is asked for."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        clip = torch.randn(1, *CLIP, generator=generator)
        return {"clips": clip, "label": index % 5, "video": index}


def score_share(rank: int, world: int, rendezvous: str, out: str, length: int) -> None:
    """One process of a group: scores its share in several ways, and saves what it gets."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world
    )
    dataset = Clips(length)
    sampler = DistributedSampler(dataset, world, rank, shuffle=False)
    loader = DataLoader(dataset, batch_size=2, sampler=sampler)

    def compute() -> Scores:
        return score(toy(), loader, "head", progress=False)

    ScoreStore(Path(out) / "store").get("entry", compute).save(f"{out}/{rank}.npz")

    def never() -> Scores:
        raise AssertionError("not taken from the store")

    ScoreStore(Path(out) / "store").get("entry", never).save(f"{out}/stored-{rank}.npz")
    uneven = DataLoader(dataset, batch_size=3) if rank == 0 else []
    score(toy(), uneven, "head", progress=False).save(f"{out}/uneven-{rank}.npz")
    distributed.destroy_process_group()


def found_by_searching(batches: Iterable[Batch]) -> str:
    """The candidates of a search, the best first, by what this process has of the clips."""
    model = toy()
    vary = swaps(units_of(model, "any"), lambda units: len(units) >= 3)
    start = units_of(model, "mlp")[:3]
    found = search(
        start, vary, lambda sets: outcomes(model, batches, sets), candidates=3, rounds=2, seed=0
    )
    return "\n".join(" ".join(map(str, sorted(units))) for units in found.outcomes)


def search_share(rank: int, world: int, rendezvous: str, out: str) -> None:
    """One process of a group: searches with its share of six clips, and writes what it finds."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world
    )
    sampler = DistributedSampler(Clips(6), world, rank, shuffle=False)
    batches = [*DataLoader(Clips(6), batch_size=2, sampler=sampler)]
    Path(out, f"{rank}.txt").write_text(found_by_searching(batches))
    distributed.destroy_process_group()


def hold_and_compute(root: str, log: str, crash: bool) -> None:
    """A job that takes a while to score; it notes that it did, or dies in the middle."""

    torch.set_num_threads(1)

    def compute() -> Scores:
        with open(log, "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(1)
        if crash:
            os._exit(9)
        return score(toy(), DataLoader(Clips(4), batch_size=2), progress=False)

    ScoreStore(root).get("entry", compute)
