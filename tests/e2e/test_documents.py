"""The commands and snippets of the documents work, each in its place, on small stand-ins."""

from __future__ import annotations

import functools
import importlib.util
import re
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import pytest
from documented import anchors, fenced, inline_code, links, mentioned, shell_lines
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from in_process import call
from omegaconf import DictConfig
from small_commands import ROOT, SMALL, environment

from vitprune.errors import InputError
from vitprune.importance import MEASURES
from vitprune.launch.arguments import CONF, check_lists, check_overrides
from vitprune.launch.overrides import overrides_of
from vitprune.launch.sweeps import Guard
from vitprune.models.registry import ARCHITECTURES

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
PAGES = [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
TASKS = ("train", "prune", "evaluate")
DATASETS = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml"))
Run = Callable[..., subprocess.CompletedProcess[str]]


def composed(task: str, words: Sequence[str]) -> DictConfig:
    """The configuration of a job, which exists only if all keys and groups do."""
    cfg = _composed(task, *words)
    cfg.hydra.overrides.task = list(words)
    return cfg


@functools.cache
def _composed(task: str, *words: str) -> DictConfig:
    check_overrides(task, words)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(task, overrides=list(words), return_hydra_config=True)


def sweep_of(task: str, words: Sequence[str]) -> list[list[str]]:
    """Cells of a multirun, as overrides, in which every value occurs; they are checked together."""
    parsed = OverridesParser.create().parse_overrides(list(words))
    plain = [o.input_line for o in parsed if not o.is_sweep_override()]
    cfg = composed(task, plain)
    cfg.hydra.overrides.task = list(words)
    Guard().on_multirun_start(cfg)
    params = [o for o in overrides_of(cfg) if o.is_sweep_override()]
    if params and any(not o.is_discrete_sweep() or o.is_range_sweep() for o in params):
        return [plain]  # cells that a search makes up
    (batch,) = BasicSweeper.split_arguments(params, None)
    seen: set[str] = set()
    cells = []
    for cell in batch:
        if not seen.issuperset(cell):
            seen.update(cell)
            cells.append([*plain, *cell])
    return cells


class Reader:
    """Does what the documents say, in one directory.

    Args:
        directory: where data, results and checkpoints of the session's commands lie.
        place: the working directory.
    """

    def __init__(self, directory: Path, place: Path) -> None:
        self.place = place
        self.environment = environment(directory)
        self.done: set[tuple[str, ...]] = set()
        """Programs and arguments that have run: several pages begin with the same command."""

    def do(self, words: list[str]) -> None:
        """Run a command, or check what can be checked of one that is not to be run.

        Raises:
            AssertionError: it fails, or nobody knows how to run it.
        """
        program, *rest = words
        if program == "python" and rest[0].removesuffix(".py") in TASKS:
            self.task(rest[0].removesuffix(".py"), rest[1:])
        elif program == "python" and rest[0] == "-m":
            self.module(rest[1], rest[2:])
        elif program == "make":
            plan = subprocess.run(
                ["make", "-n", *rest], cwd=ROOT, capture_output=True, text=True, check=True
            )
            for line in plan.stdout.splitlines():
                if ".py" in line:
                    self.do(["python", *line.split()[1:]])
        elif words[:3] == ["pip", "install", "-e"]:
            extra = re.fullmatch(r"\.(?:\[(\w+)\])?", words[3])
            assert extra, words
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            assert extra[1] is None or extra[1] in project["optional-dependencies"]
        elif words[:2] == ["wandb", "sweep"]:  # tests/tracking has what an agent makes of it
            assert (ROOT / words[2]).is_file()
        else:
            raise AssertionError("no test knows how to run this command: teach Reader.do")

    def task(self, task: str, words: list[str]) -> None:
        """Run a job, or the first cell of a sweep; where data are real ones, only compose."""
        values = [word for word in words if not word.startswith("-")]
        if len(values) == len(words):
            check_lists(words)
        multirun = "-m" in words or composed(task, one_each(values)).hydra.mode == RunMode.MULTIRUN
        cells = sweep_of(task, [*values, f"runs={self.place / 'runs'}"]) if multirun else [values]
        jobs = [composed(task, cell) for cell in cells]
        if not all(job.dataset.name.startswith("demo_") for job in jobs):
            return
        flags = ["-m"] if multirun else []
        small = [a for a in SMALL if task != "evaluate" or not a.startswith("model.")]
        if any(word.startswith("dataset@other_dataset=") for word in values):
            small += [a.replace("dataset.", "other_dataset.", 1) for a in small[:2]]
        if not any(word.startswith("logger") for word in values):
            small.append("logger=none")
        if task == "prune":
            small += ["draws=1"] if any(job.curves for job in jobs) else []
            small += ["k=14"] if any(job.export for job in jobs) else []  # two layers to export
        if any(word.startswith("export=") for word in values):
            small += ["deploy.seconds=0", "deploy.compare=false"]  # test_deploy.py compares
        if multirun:
            params = composed(task, one_each(values)).hydra.sweeper.params or {}
            first = {key: str(value).split(",")[0] for key, value in params.items()}
            # At once, as a key of a key has a dot of its own.
            pairs = ", ".join(f"{key}: {value}" for key, value in first.items())
            small.append(f"hydra.sweeper.params={{{pairs}}}")
        self.succeed(f"{ROOT / task}.py", [*flags, *one_each(values), *small])

    def module(self, name: str, arguments: list[str]) -> None:
        """Run one of the package's programs; the one that needs an account, up to there."""
        if name == "vitprune.tracking.dashboard":
            done = call(f"-m{name}", arguments, self.place, self.without_account())
            assert "set WANDB_API_KEY" in done.stderr or "pip install" in done.stderr, done.stderr
            return
        small = SMALL[:2] if name == "vitprune.data.check" else ()
        self.succeed(f"-m{name}", [*arguments, *small])

    def succeed(self, program: str, arguments: list[str]) -> None:
        if (program, *arguments) in self.done:
            return
        done = call(program, arguments, self.place, self.environment)
        assert done.returncode == 0, done.stderr
        self.done.add((program, *arguments))

    def without_account(self) -> dict[str, str]:
        kept = {k: v for k, v in self.environment.items() if not k.startswith("WANDB_")}
        return {**kept, "HOME": str(self.place), "NETRC": str(self.place / "netrc")}


def one_each(words: Sequence[str]) -> list[str]:
    """The overrides with the first value of each that is swept over."""
    parsed = OverridesParser.create().parse_overrides(list(words))
    return [
        f"{o.key_or_group}={next(iter(o.sweep_string_iterator()))}"
        if o.is_sweep_override()
        else word
        for word, o in zip(words, parsed, strict=True)
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of wandb-workspaces itself
def test_every_command_of_the_documents_does_what_it_says(directory: Path, tmp_path: Path) -> None:
    commands = shell_lines(DOCUMENTS)
    assert any(words[:2] == ["python", "prune.py"] for _, words in commands)
    reader = Reader(directory, tmp_path)
    for line, words in commands:
        try:
            reader.do(words)
        except (Exception, SystemExit) as error:
            pytest.fail(f"{line}\n{error}")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_snippet_of_python_runs(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other; each has the names of those before it in its document."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "snippet"}
    with patch.dict(MEASURES), patch.dict(ARCHITECTURES):  # what snippets add goes with them
        for snippet in fenced(document, "python"):
            exec(compile(snippet, str(document), "exec"), names)


def test_a_command_that_nobody_knows_how_to_run_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="teach Reader"):
        Reader(tmp_path, tmp_path).do(["rm", "-r", "runs"])
    (tmp_path / "a.md").write_text(
        "```sh\nX=runs/x\npython prune.py \\\n  ckpt=$X 'a=${b}'  # c\n```"
    )
    ((_, words),) = shell_lines([tmp_path / "a.md"])
    assert words == ["python", "prune.py", "ckpt=runs/x", "a=${b}"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_keys_that_are_mentioned_exist(document: Path) -> None:
    """In some command; those of a dataset and of launchers only where that is chosen."""
    for code in inline_code(document):
        words = code.split()
        if not all(re.fullmatch(r"[a-z][\w./@]*=\S+", word) for word in words) or not words:
            continue
        words = [word.split("|")[0] for word in words]
        if any(missing(word) for word in words):
            continue
        if reason := refused(tuple(words)):
            pytest.fail(f"{document.name}: `{code}`: {reason}")


@functools.cache
def refused(words: tuple[str, ...]) -> Exception | None:
    """Why no command takes these overrides, or None if one does."""
    reason: Exception | None = None
    choices = [*(f"dataset={name}" for name in DATASETS), "hydra/launcher=ray"]
    jobs = [(task, []) for task in (*TASKS, "check")] + [("prune", [c]) for c in choices]
    for task, chosen in jobs:
        try:
            composed(task, [*chosen, *words])
            return None
        except (HydraException, InputError) as error:
            reason = error
    return reason


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_links_lead_to_a_file_and_a_heading_in_it(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def test_every_picture_is_shown_on_some_page() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    assert not {*(ROOT / "docs" / "images").iterdir()} - shown


def missing(word: str) -> bool:
    """Whether an override is about a launcher that is not installed."""
    key, _, value = word.partition("=")
    if key.startswith("hydra.launcher.ray."):
        value = "ray"
    elif key != "hydra/launcher":
        return False
    plugin = "submitit" if value == "slurm" else value
    return not installed(f"hydra_plugins.hydra_{plugin}_launcher")


def installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def test_commands_that_are_mentioned_exist() -> None:
    Plugins.instance()
    sources = [
        *DOCUMENTS, *ROOT.glob("*.py"), *ROOT.glob("conf/**/*.yaml"), *ROOT.glob("benchmarks/*.py"),
        *ROOT.glob("vitprune/**/*.py"), *ROOT.glob("vitprune/**/*.jinja"),
    ]  # fmt: skip
    found = list(mentioned(sources))
    assert len(found) > 15
    for (program, *words), line in {tuple(words): line for line, words in found}.items():
        task = program.removesuffix(".py")
        if any(missing(word) for word in words):
            continue
        try:
            if task in TASKS:
                values = [word for word in words if word != "-m"]
                if "experiment=search_k" not in words or installed(
                    "hydra_plugins.hydra_optuna_sweeper"
                ):
                    composed(task, one_each(values))
            elif program.startswith("-m "):
                assert installed(program.removeprefix("-m "))
            else:
                assert (ROOT / program).is_file()
        except Exception as error:
            pytest.fail(f"{line}: {error}")
