"""A params.yaml that names what a test is about, made whole as ``pocketlm compose`` does."""

from typing import Any

from omegaconf import OmegaConf

from pocketlm.config import Params


def whole(data: dict[str, Any]) -> dict[str, Any]:
    """``data`` with the schema's default for every key that it lacks."""
    found: Any = OmegaConf.to_container(OmegaConf.merge(OmegaConf.structured(Params), data))
    return dict(found)
