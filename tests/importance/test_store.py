import logging
import time

import pytest
import torch
from torch import multiprocessing
from torch.utils.data import DataLoader
from toy_chain import toy
from toy_job import Clips, hold_and_compute

from vitprune.importance import Scores, ScoreStore, entry_name, score
from vitprune.models.dropping import drop_layers


@pytest.fixture(scope="module")
def scores():
    return score(toy(), DataLoader(Clips(3)), progress=False)


def test_computed_once(tmp_path, scores, caplog):
    caplog.set_level(logging.INFO)
    calls = []

    def compute():
        calls.append(1)
        return scores

    store = ScoreStore(tmp_path)
    first, second = store.get("entry", compute), store.get("entry", compute)
    assert len(calls) == 1
    assert (first.jsd == second.jsd).all()
    assert "taken from the store" in caplog.text
    store.get("another", compute)
    assert len(calls) == 2


def test_turned_off_it_neither_reads_nor_writes(tmp_path, scores):
    ScoreStore(tmp_path, enabled=False).get("entry", lambda: scores)
    assert list(tmp_path.iterdir()) == []


def damages():
    yield "empty", lambda path: path.write_bytes(b"")
    yield "cut off", lambda path: path.write_bytes(path.read_bytes()[:-100])
    yield "something else", lambda path: path.write_bytes(b"not scores at all")

    def flip(path):
        content = bytearray(path.read_bytes())
        content[content.index(b"values/JSD.npy") + 60] ^= 0xFF  # of the values, not of a header
        path.write_bytes(bytes(content))

    yield "a byte flipped", flip


@pytest.mark.parametrize(("name", "damage"), list(damages()))
def test_a_damaged_entry_is_computed_again(tmp_path, scores, caplog, name, damage):
    store = ScoreStore(tmp_path)
    store.get("entry", lambda: scores)
    damage(tmp_path / "entry.npz")
    calls = []
    store.get("entry", lambda: calls.append(1) or scores)
    assert len(calls) == 1
    assert "damaged" in caplog.text
    assert (Scores.load(tmp_path / "entry.npz").jsd == scores.jsd).all()


def test_a_failed_computation_leaves_nothing(tmp_path, scores):
    store = ScoreStore(tmp_path)

    def fail():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        store.get("entry", fail)
    assert not list(tmp_path.glob("*.npz"))
    assert store.get("entry", lambda: scores) is scores


def start(*args):
    process = multiprocessing.get_context("fork").Process(target=hold_and_compute, args=args)
    process.start()
    return process


def test_of_two_jobs_one_computes_and_the_other_waits(tmp_path):
    log = tmp_path / "log"
    jobs = [start(str(tmp_path / "store"), str(log), False) for _ in range(2)]
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    assert len(log.read_text().split()) == 1


def test_when_one_job_is_killed_the_one_that_waited_computes(tmp_path):
    log, root = tmp_path / "log", tmp_path / "store"
    first = start(str(root), str(log), True)
    while not log.exists():
        time.sleep(0.01)
    second = start(str(root), str(log), False)
    first.join()
    assert first.exitcode == 9
    second.join()
    assert second.exitcode == 0
    assert len(log.read_text().split()) == 2
    Scores.load(root / "entry.npz")


def test_names_follow_everything_that_scores_depend_on():
    model = toy()

    def name(model=model, clips="val: a b c", scope="layer", **settings):
        return entry_name(model, clips, scope=scope, **settings)

    changed = toy()
    with torch.no_grad():
        changed.head.bias[0] += 1e-7
    names = [
        name(),
        name(toy(seed=1)),
        name(changed),
        name(drop_layers(model, [0])),
        name(clips="val: a c b"),
        name(scope="head"),
        name(measure="cosine"),
        name(precision="bf16-mixed"),
        name(measure="random", seed=0),
        name(measure="random", seed=1),
    ]
    assert len(set(names)) == len(names)
    assert name() == name(toy()) == name(model.train())
    assert name().startswith("toy-layer-ablation-")
