"""A training in one file: TOML or YAML into a plan that `workflows.train` carries out.

    model = "nano"                 # a name as `build_sam2` takes it
    weights = "published"          # or a file beside this one; left out: random numbers
    seed = 1
    store = "float16"              # type of the final weights

    [data]                         # left out: rendered eyes alone
    rendered = 0.2                 # share of rendered eyes among one's own pictures
    held_out = 5                   # every fifth video is only for scores; 0: none
    [[data.masks]]
    format = "davis"               # davis, run, coco, labelme, cvat
    path = "DAVIS"
    pictures = "DAVIS/JPEGImages/480p"
    sequence = false               # single pictures are frames of one video
    instances = false              # every shape of a single picture is an object of its own
    names = {1 = "pupil"}

    [[stage]]                      # stages follow one another, each from the weights of the one before
    name = "clips"
    kind = "clips"                 # or "images", or "parts": the encoder alone
    steps = 1000                   # every field of TrainConfig, ClipConfig and OptimConfig
    augment = {flip = 0.5}         # every field of AugmentConfig
    [[stage.alongside]]            # batches of another kind mixed in: every field of ClipConfig
    share = 0.4

Notable choices: an unknown key is refused with the known ones, since a misspelt one would silently train
something else; a value of another type is refused too. Paths are relative to the file.

What it does not know: how to train.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml  # type: ignore[import-untyped]

from ocusam.core.errors import InputError
from ocusam.training.augment import AugmentConfig
from ocusam.training.clips import ClipConfig
from ocusam.training.loop import TrainConfig
from ocusam.training.optim import OptimConfig

FORMATS = ("davis", "run", "coco", "labelme", "cvat")
CLIP_STAGE = ClipConfig(
    frames=8,
    pictures=4,
    objects=4,
    group=1,
    prompt_shares=(0.6, 0.15, 0.15, 0.1),
    nothing=0.02,
    two_eyes=0.05,
)
"""What a batch of a stage of clips holds by default."""
Table = Mapping[str, Any]
Filled = TypeVar("Filled", bound=Any)


@dataclass(frozen=True)
class MasksConfig:
    """Where somebody's own masks are; see the module's docstring."""

    format: str
    path: str
    pictures: str = ""
    sequence: bool = False
    instances: bool = False
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DataConfig:
    """What is trained on besides, or instead of, rendered eyes."""

    masks: tuple[MasksConfig, ...] = ()
    rendered: float = 0.0
    held_out: int = 5


@dataclass(frozen=True)
class Stage:
    """One stage with its name."""

    name: str
    config: TrainConfig


@dataclass(frozen=True)
class TrainingPlan:
    """All of a training.

    Attributes:
        home: folder of the file; paths in it start there.
        model: name of the network.
        weights: "published", a file, or "" for random numbers.
        store: type of the numbers in the final file.
    """

    home: Path
    model: str
    weights: str
    store: Literal["float16", "float32"]
    data: DataConfig
    stages: tuple[Stage, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        out = dataclasses.asdict(self)
        del out["home"]
        return out


def read_plan(path: Path) -> TrainingPlan:
    """Read a training's file.

    Raises:
        InputError: no such file, not TOML or YAML, or a key or value that is not understood.
    """
    return plan_of(_read(path), path)


def _read(path: Path) -> Table:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The training's file {path} cannot be read ({error}).") from None
    try:
        if path.suffix.lower() in (".yaml", ".yml"):
            content = yaml.safe_load(text)
        elif path.suffix.lower() == ".toml":
            content = tomllib.loads(text)
        else:
            raise InputError(f"{path}: a training is described in a .toml or .yaml file.")
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be understood: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no keys; see docs/training.md.")
    return content


def plan_of(content: Table, path: Path) -> TrainingPlan:
    """The plan of a file's content; errors as `read_plan`."""
    where = str(path)
    _check_keys(content, ("model", "weights", "seed", "store", "data", "stage"), where)
    model, seed = _typed(content, "model", str, "nano", where), _typed(content, "seed", int, 1, where)
    store = _typed(content, "store", str, "float16", where)
    if store not in ("float16", "float32"):
        raise InputError(f"{where}: store = {store!r}; use 'float16' or 'float32'.")
    data = _data(_typed(content, "data", dict, {}, where), f"{where}, data")
    tables = content.get("stage")
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        raise InputError(
            f"{where} has no stage; begin one with [[stage]] and kind = 'parts', 'images' or 'clips'."
        )
    stages = tuple(
        _stage(table, f"{where}, stage {k}", model=model, seed=seed + 100 * (k - 1), number=k, own=data.masks)
        for k, table in enumerate(tables, start=1)
    )
    weights = _typed(content, "weights", str, "", where)
    return TrainingPlan(
        path.parent, model, weights, "float16" if store == "float16" else "float32", data, stages
    )


def _data(table: Table, where: str) -> DataConfig:
    _check_keys(table, ("masks", "rendered", "held_out"), where)
    masks = []
    for k, entry in enumerate(_typed(table, "masks", list, [], where), start=1):
        place = f"{where}, masks {k}"
        if not isinstance(entry, dict) or not {"format", "path"} <= entry.keys():
            raise InputError(f"{place}: give at least format and path.")
        # YAML reads the number of an object as a number.
        names = {str(a): str(b) for a, b in _typed(entry, "names", dict, {}, place).items()}
        one = _filled(MasksConfig(str(entry["format"]), str(entry["path"])), {**entry, "names": names}, place)
        if one.format not in FORMATS:
            raise InputError(f"{place}: format = {one.format!r}; use one of {', '.join(FORMATS)}.")
        if one.instances and (one.sequence or one.format == "run"):
            raise InputError(
                f"{place}: instances = true is for single pictures; in a video an object needs one name "
                "throughout."
            )
        masks.append(one)
    rest = {k: v for k, v in table.items() if k != "masks"}
    data = dataclasses.replace(_filled(DataConfig(), rest, where), masks=tuple(masks))
    if not 0 <= data.rendered < 1 or data.held_out < 0:
        raise InputError(f"{where}: rendered is a share from 0 to below 1, held_out a number from 0 on.")
    if rest and not masks:
        raise InputError(f"{where}: {', '.join(rest)} makes sense only with [[data.masks]].")
    return data


def _stage(table: Table, where: str, *, model: str, seed: int, number: int, own: object) -> Stage:
    kind = table.get("kind")
    if kind not in ("parts", "images", "clips"):
        raise InputError(f"{where}: kind = {kind!r}; use 'parts', 'images' or 'clips'.")
    if kind == "parts" and own:
        raise InputError(f"{where}: the parts of the eye are known in rendered pictures alone; leave it out.")
    base = TrainConfig(
        model=model,
        seed=seed,
        stage=kind,
        clips=CLIP_STAGE if kind == "clips" else ClipConfig(parts_only=kind == "parts"),
    )
    parts: dict[str, Any] = {"clips": base.clips, "optim": base.optim}
    own_keys = {f.name for f in dataclasses.fields(TrainConfig)} - {"model", "stage", *parts, "alongside"}
    known = own_keys | {f.name for part in parts.values() for f in dataclasses.fields(part)}
    _check_keys(table, ("name", "kind", "alongside", *sorted(known)), where)
    config = _filled(base, {k: v for k, v in table.items() if k in own_keys}, where)
    clips = _clips(base.clips, table, where, frames=None if kind == "clips" else 1, own=bool(own))
    optim = {f.name for f in dataclasses.fields(OptimConfig)}
    config = dataclasses.replace(
        config,
        clips=clips,
        optim=_filled(base.optim, {k: v for k, v in table.items() if k in optim}, where),
        alongside=tuple(
            _alongside(entry, f"{where}, alongside {k}", clips, own=bool(own))
            for k, entry in enumerate(_typed(table, "alongside", list, [], where), start=1)
        ),
    )
    _check_ranges(config, where)
    shares = [share for share, _ in config.alongside]
    if shares and (min(shares) <= 0 or sum(shares) > 1):
        raise InputError(f"{where}: the shares alongside are {shares}; each above 0, together at most 1.")
    return Stage(_typed(table, "name", str, f"{kind}-{number}", where), config)


def _check_ranges(config: TrainConfig, where: str) -> None:
    """Values that would end in the middle of a training, or train nothing."""
    optim = config.optim
    least = {"steps": 1, "log_every": 1, "score_every": 1, "minutes": 0, "workers": 0, "held_out_batches": 0,
             "max_corrections": 0, "checkpoint_minutes": 0, "export_minutes": 0}  # fmt: skip
    for key, lowest in least.items():
        if getattr(config, key) < lowest:
            raise InputError(f"{where}: {key} = {getattr(config, key)}; it is at least {lowest}.")
    if optim.lr <= 0 or optim.clip_norm <= 0:
        raise InputError(f"{where}: lr = {optim.lr:g}, clip_norm = {optim.clip_norm:g}; they are above 0.")
    shares = {
        "correction_share": config.correction_share,
        "ema_decay": optim.ema_decay,
        "final_lr_share": optim.final_lr_share,
        "layer_decay": optim.layer_decay,
        **{key: getattr(config.clips, key) for key in ("nothing", "two_eyes", "shapes", "gap", "blink")},
    }
    for key, share in shares.items():
        if not 0 <= share <= 1:
            raise InputError(f"{where}: {key} = {share:g}; it is from 0 to 1.")


def _alongside(entry: Any, where: str, clips: ClipConfig, *, own: bool) -> tuple[float, ClipConfig]:
    if not isinstance(entry, dict) or "share" not in entry:
        raise InputError(f"{where}: give at least share.")
    _check_keys(entry, ("share", *sorted(f.name for f in dataclasses.fields(ClipConfig))), where)
    base = ClipConfig(size=clips.size, grid=clips.grid, augment=clips.augment, parts_only=clips.parts_only)
    frames = _typed(entry, "frames", int, 1, where)
    return float(_typed(entry, "share", float, 0.0, where)), _clips(
        base, entry, where, frames=frames, own=own
    )


def _clips(base: ClipConfig, table: Table, where: str, *, frames: int | None, own: bool) -> ClipConfig:
    """What batches hold; the truth's grid is half the input unless given."""
    names = {f.name for f in dataclasses.fields(ClipConfig)}
    given = {k: v for k, v in table.items() if k in names and k != "augment"}
    if "size" in given and "grid" not in given and isinstance(given["size"], int):
        given["grid"] = given["size"] // 2
    if own:
        # Somebody's masks need not be eyes, and every step reads pictures of its own.
        base = dataclasses.replace(
            base, augment=dataclasses.replace(base.augment, frame_eye=0.0), two_eyes=0.0
        )
        given["group"] = given["uses"] = 1
    clips = _filled(base, given, where)
    augment = _typed(table, "augment", dict, {}, where)
    _check_keys(augment, tuple(f.name for f in dataclasses.fields(AugmentConfig)), f"{where}, augment")
    clips = dataclasses.replace(clips, augment=_filled(clips.augment, augment, f"{where}, augment"))
    if clips.parts_only and (own or clips.frames > 1):
        raise InputError(
            f"{where}: parts_only is for single rendered pictures; nowhere else are the eye's parts known."
        )
    if frames is not None and clips.frames != frames:
        raise InputError(f"{where}: frames = {clips.frames}, but pictures have one; use kind = 'clips'.")
    counts = (clips.pictures, clips.objects, clips.frames, clips.group, clips.uses)
    if clips.size % 32 or min(clips.size, clips.grid, *counts) < 1:
        raise InputError(
            f"{where}: size is a multiple of 32, and pictures, objects, frames, group, uses are at least 1."
        )
    if len(clips.prompt_shares) != 4 or min(clips.prompt_shares) < 0 or sum(clips.prompt_shares) <= 0:
        raise InputError(f"{where}: prompt_shares are four: of a click, a box, several clicks, a mask.")
    if clips.frames == 1 and clips.prompt_shares[3] > 0:
        raise InputError(f"{where}: a single picture with its mask as prompt leaves nothing to learn.")
    return dataclasses.replace(clips, group=1) if clips.frames > 1 else clips


# ---- values


def _check_keys(table: Table, known: tuple[str, ...], where: str) -> None:
    unknown = [str(key) for key in table if key not in known]
    if unknown:
        raise InputError(f"{where}: unknown {', '.join(unknown)}. Known: {', '.join(known)}.")


def _filled(base: Filled, given: Table, where: str) -> Filled:
    """A dataclass with fields replaced; names and types are checked."""
    wanted = typing.get_type_hints(type(base))
    _check_keys(given, tuple(f.name for f in dataclasses.fields(base)), where)
    values = {name: _as(value, wanted[name], f"{where}: {name}") for name, value in given.items()}
    return dataclasses.replace(base, **values)


def _typed(table: Table, key: str, kind: Any, default: Any, where: str) -> Any:
    return _as(table[key], kind, f"{where}: {key}") if key in table else default


def _as(value: Any, wanted: Any, what: str) -> Any:
    origin = typing.get_origin(wanted)
    if origin in (typing.Union, types.UnionType):
        return value
    if origin is tuple:
        inner = typing.get_args(wanted)
        if isinstance(value, list | tuple):
            return tuple(_as(item, inner[0], what) for item in value)
        raise InputError(f"{what} = {value!r}; give a list.")
    plain = origin or wanted
    if plain is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if plain is float and isinstance(value, str) and re.fullmatch(r"[+-]?[0-9.]+[eE][+-]?[0-9]+", value):
        return float(value)  # YAML takes 1e-3 for a text
    if isinstance(value, plain) and not (plain is int and isinstance(value, bool)):
        return value
    raise InputError(f"{what} = {value!r}; it is a {plain.__name__}.")
