"""From what names a network to its config: a name, a YAML file, a folder of transformers.

Notable choices: a file that exists wins over an official name, so that an edited copy is read and not
replaced by the original.
"""

from __future__ import annotations

import re
from pathlib import Path

from ocusam.core.errors import ModelError
from ocusam.model.config import PRESETS, Sam2Config, get_config
from ocusam.tracking.huggingface_config import CONFIG_FILE, read_huggingface_config
from ocusam.tracking.official_yaml import OfficialConfig, official_preset, read_official_yaml
from ocusam.weights.hub import PUBLISHED

# A file of the port for live streams: the network at half the input size.
_IN_512 = re.compile(r"_512(\.ya?ml)?\Z")


def find_config(config: str | Path | Sam2Config) -> OfficialConfig:
    """Return the config that is meant, and options of a predictor where the file has some.

    Args:
        config: a preset's name ("sam2.1_hiera_tiny"), the name of an official YAML file
            ("configs/sam2.1/sam2.1_hiera_t.yaml"; with "_512", as in the port for streams, at that input
            size), a path to such a file, a folder of transformers or its config.json, a repository on the hub
            ("facebook/sam2.1-hiera-tiny"), or a `Sam2Config`.

    Raises:
        ModelError: nothing of that name, or a file that describes another network.
    """
    if isinstance(config, Sam2Config):
        return OfficialConfig(config)
    if not isinstance(config, str | Path):
        raise ModelError(f"A network is named by its name, a file or a Sam2Config; got {config!r}.")
    name, path = str(config), Path(config)
    if name in PRESETS:
        return OfficialConfig(get_config(name))
    if path.is_dir() or path.name == CONFIG_FILE:
        return OfficialConfig(read_huggingface_config(path))
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return read_official_yaml(path)
    preset = official_preset(name) or repository_preset(name)
    if preset is not None and "samurai" in path.parts:
        raise ModelError(
            f"{name}: SAMURAI chooses masks and memories by a model of motion, not here. Its network is "
            f"{preset!r}; it loads the same checkpoint."
        )
    if preset is not None:
        return OfficialConfig(get_config(preset))
    smaller = official_preset(_IN_512.sub("", name)) if _IN_512.search(name) else None
    if smaller is not None:
        return OfficialConfig(get_config(smaller, image_size=512))
    if path.suffix in (".yaml", ".yml"):
        raise ModelError(f"{name}: there is no such file, and it is not the name of an official one.")
    if path.suffix in (".pt", ".pth", ".safetensors"):
        raise ModelError(f"{name} is named like a file of weights: give a model's name first, then it.")
    return OfficialConfig(get_config(name))


def repository_preset(repository: str) -> str | None:
    """Return the network whose published checkpoint lies in a repository of the hub, or None."""
    return next((name for name, file in PUBLISHED.items() if file.repo == repository), None)
