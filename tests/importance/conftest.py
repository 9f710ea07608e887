import pytest
import torch
from toy_chain import CLIP


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Models this small are faster in one thread, and far faster beside other busy processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def clips():
    """Three clips for the toy model."""
    return torch.randn(3, *CLIP, generator=torch.Generator().manual_seed(1))
