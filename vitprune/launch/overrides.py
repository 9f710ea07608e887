"""What a command line said, as opposed to what the configuration already had."""

from __future__ import annotations

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser


def given_keys() -> frozenset[str]:
    """The keys that the command line of this job names: ``dataset.sampling``, ``model``, ..."""
    if not HydraConfig.initialized():
        return frozenset()
    words = [str(word) for word in HydraConfig.get().overrides.task]
    return frozenset(o.key_or_group for o in OverridesParser.create().parse_overrides(words))
