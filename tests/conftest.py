"""What all tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import settings
from omegaconf import OmegaConf

# isort: off
# Of several processes that run tests, each takes its share of the cores. Read by torch when loaded.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

import vitprune.launch.commands  # noqa: F401  (sets how OpenMP waits, before torch is loaded)
import torch
# isort: on

from vitprune.data import DAIDataModule, UCF101DataModule
from vitprune.demo import StandIn
from vitprune.launch.arguments import CONF

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")

settings.register_profile("seeded", derandomize=True)
settings.load_profile("seeded")

PATIENCE = 180_000
"""Milliseconds that a page may take for a step, as on a machine whose cores do other things."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What is marked ``gpu`` runs where there is one."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, and a GPU where there is one."""
    return torch.device(request.param)


@pytest.fixture(scope="session")
def composed() -> Callable[..., Any]:
    """``composed("prune", "metric=JSD")``: what Hydra makes of a command line, in plain types."""

    def composed(task: str, *overrides: str) -> Any:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return OmegaConf.to_container(compose(task, list(overrides)), resolve=True)

    return composed


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with ``demo_dai`` and ``demo_ucf101``."""
    root = tmp_path_factory.mktemp("stand-ins")
    for layout in ("dai", "ucf101"):
        small = StandIn(layout, {"train": 4, "val": 2, "test": 2}, frames=10)  # type: ignore[arg-type]
        small(root / f"demo_{layout}")
    return root


@pytest.fixture(scope="session")
def dai_module(stand_ins: Path) -> Callable[..., DAIDataModule]:
    """Makes a DataModule over the small stand-in of DAI, set up."""

    def make(**options: Any) -> DAIDataModule:
        options = {"num_frames": 4, "image_size": 32, "batch_size": 5, "num_workers": 0, **options}
        module = DAIDataModule(**{"root": stand_ins / "demo_dai", **options})
        module.prepare_data()
        module.setup()
        return module

    return make


@pytest.fixture(scope="session")
def ucf101_module(stand_ins: Path) -> Callable[..., UCF101DataModule]:
    """Makes a DataModule over the small stand-in of UCF101, set up."""

    def make(**options: Any) -> UCF101DataModule:
        options = {"num_frames": 4, "image_size": 32, "batch_size": 5, "num_workers": 0, **options}
        module = UCF101DataModule(**{"root": stand_ins / "demo_ucf101", **options})
        module.prepare_data()
        module.setup()
        return module

    return make


class OpenPage(Protocol):
    """Opens a local HTML file as a reader would see it."""

    def __call__(
        self, path: Path, width: int = 1440, height: int = 900, dark: bool = False
    ) -> Page: ...


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium; Debian's, since Playwright's own would have to be downloaded."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """``open_page(path)``; what the page asks the network for is listed in ``page.requests``."""
    contexts = []

    def open_page(path: Path, width: int = 1440, height: int = 900, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.requests = []  # type: ignore[attr-defined]

        def note(request: Request) -> None:
            if not request.url.startswith(("file:", "data:", "blob:")):
                page.requests.append(request.url)  # type: ignore[attr-defined]

        page.on("request", note)
        page.goto(Path(path).resolve().as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
