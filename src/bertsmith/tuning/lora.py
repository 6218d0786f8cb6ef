"""LoRA: leave the weights alone and learn a low-rank change to some of them.

Adapters are read and written in the format of `peft`, so that they can be exchanged with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.checkpoint.folder import read_file, read_json, write_json, written_whole
from bertsmith.checkpoint.weights import WeightTable
from bertsmith.core.errors import CheckpointError
from bertsmith.layers.dropout import Dropout
from bertsmith.models.family import Model
from bertsmith.tuning.base import Tuning, tunings

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."


class LoraLinear(nn.Module):
    """A linear layer whose own weights rest, with a learned low-rank change beside them.

    Args:
        linear: The layer that it takes the place of.
        rank: Width of the change.
        scale: Factor on the change.
        dropout: Share of the input of the change set to zero while training, 0-1.
    """

    def __init__(self, linear: nn.Linear, rank: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.up = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        self.scale = scale
        self.dropout = Dropout(dropout)
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, states: Float[Tensor, "*places inputs"]) -> Float[Tensor, "*places outputs"]:
        """The layer's output plus the change."""
        return self.linear(states) + self.scale * F.linear(F.linear(self.dropout(states), self.down), self.up)

    def merged(self) -> nn.Linear:
        """An ordinary linear layer that computes the same."""
        with torch.no_grad():
            self.linear.weight += self.scale * (self.up @ self.down)
        return self.linear.requires_grad_(True)


@tunings.register("lora")
@dataclass(frozen=True, kw_only=True)
class Lora(Tuning):
    """Train a low-rank change to some linear layers, and the heads; everything else rests.

    After training the change is added to the weights, so that the model folder is an ordinary one; the adapter alone is kept beside it, in the format
    of `peft`.

    Use when:
        Memory is short, or many tasks share one model. It needs a higher learning rate than full fine-tuning (1e-4 to 1e-3).

    Reference:
        Hu et al. 2021, "LoRA". The start (Kaiming-uniform down, zero up) is that of `loralib` and `peft`.

    Args:
        rank: Width of the change.
        alpha: Its scale is `alpha / rank`.
        dropout: Share of the input of the change set to zero while training, 0-1.
        targets: Which linear layers of every block, by our names: query, key, value, output, widen, narrow.

    Example:
        >>> Lora(rank=4).targets
        ('query', 'value')
    """

    name: ClassVar = "lora"

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("query", "value")

    def __post_init__(self) -> None:
        known = {"query", "key", "value", "output", "widen", "narrow"}
        if self.rank < 1:
            raise ValueError(f"rank is {self.rank}; it must be at least 1")
        if self.alpha <= 0:
            raise ValueError(f"alpha is {self.alpha}; it must be greater than 0")
        if not self.targets:
            raise ValueError(f"targets is empty; name at least one of {', '.join(sorted(known))}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and below 1")
        if unknown := [target for target in self.targets if target not in known]:
            raise ValueError(f"targets has {', '.join(unknown)}; known: {', '.join(sorted(known))}")

    def apply(self, model: Model) -> None:
        """Let the encoder rest and put the changes in."""
        model.backbone.requires_grad_(False)
        for parent, child, linear in self._targeted(model):
            setattr(parent, child, LoraLinear(linear, self.rank, self.alpha / self.rank, self.dropout))

    def finish(self, model: Model, folder: Path, base: str) -> None:
        """Write the adapter to `folder/adapter` and add the change to the weights."""
        write_adapter(model, self, folder / "adapter", base)
        for parent in list(model.backbone.modules()):
            for child, module in list(parent.named_children()):
                if isinstance(module, LoraLinear):
                    setattr(parent, child, module.merged())
        model.requires_grad_(True)

    def _targeted(self, model: Model) -> list[tuple[nn.Module, str, nn.Linear]]:
        found: list[tuple[nn.Module, str, nn.Linear]] = []
        _, *blocks = model.backbone.levels()
        for parent in nn.ModuleList(blocks).modules():
            found += [(parent, name, child) for name, child in parent.named_children() if name in self.targets and isinstance(child, nn.Linear)]
        return found


def write_adapter(model: Model, lora: Lora, folder: Path, base: str) -> None:
    """Write the changes and the heads as a `peft` adapter folder.

    Args:
        model: With `LoraLinear` layers in it.
        lora: The options it was made with.
        folder: Where to.
        base: What the adapter belongs to.
    """
    table = model.family.table(list(model.heads))
    weights: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for path, (down, up) in _changes(model).items():
        ranks[re.split(r"\.\d+\.", path)[-1]] = len(down)
        weights[f"{PREFIX}{path}.lora_A.weight"] = down
        weights[f"{PREFIX}{path}.lora_B.weight"] = up
    others = {module: rank for module, rank in ranks.items() if rank != lora.rank}
    heads = {table.theirs(f"heads.{name}") or "": weight for name, weight in model.heads.named_parameters()}
    weights |= {f"{PREFIX}{name}": weight for name, weight in heads.items()}
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "rank_pattern": others,
        "alpha_pattern": {module: lora.alpha * rank / lora.rank for module, rank in others.items()},
        "target_modules": sorted(ranks),
        "modules_to_save": sorted({name.removeprefix(f"{model.family.base}.").split(".")[0] for name in heads}),
        "bias": "none",
        "fan_in_fan_out": False,
        "task_type": "SEQ_CLS" if "classification" in model.heads else None,
        "inference_mode": True,
    }
    with written_whole(folder) as draft:
        write_json(draft / CONFIG, config)
        save_file({name: weight.detach().cpu().contiguous() for name, weight in weights.items()}, draft / WEIGHTS, metadata={"format": "pt"})


def _changes(model: Model) -> dict[str, tuple[Tensor, Tensor]]:
    """Published names of the changed layers, and their changes, down and up. Where several layers are one there, their changes lie side by side."""
    table = model.family.table([])
    changed = {table.theirs(f"{name}.weight") or "": module for name, module in model.named_modules() if isinstance(module, LoraLinear)}
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for name, one in changed.items():
        parts = [changed.get(part) for part in table.parts(table.whole(name))]
        down = torch.cat([part.down for part in parts if part is not None])
        up = torch.block_diag(*(one.up.new_zeros(len(one.up), 0) if part is None else part.up for part in parts))
        found[table.whole(name).removesuffix(".weight")] = down, up
    return found


def merge_adapter(model: Model, folder: Path) -> None:
    """Add a `peft` LoRA adapter to a model's weights, and take over the heads that it carries.

    Raises:
        CheckpointError: The adapter is not a plain LoRA one, or does not fit the model; lists what does not, and nothing was changed.
    """
    config = read_json(folder / CONFIG)
    if problems := _not_plain(config):
        raise CheckpointError(f"{folder} is not an adapter that can be merged", problems)
    state = model.state_dict()
    table = model.family.table(list(model.heads))
    merged: dict[str, Tensor] = {}
    for theirs, weight, is_change in _adapted(read_file(folder / WEIGHTS), config, table):
        ours = table.ours(theirs)
        if ours is None or ours not in state:
            problems.append(f"{theirs} is not a weight of the model, or of a head that was loaded")
        elif weight.shape != state[ours].shape:
            problems.append(f"{theirs} has the shape {list(weight.shape)}; the model's has {list(state[ours].shape)}")
        else:
            merged[ours] = state[ours] + weight if is_change else weight
    if problems:
        raise CheckpointError(f"the adapter in {folder} does not fit this {model.family.model_type} model", problems)
    model.load_state_dict({**state, **merged})


def _adapted(weights: Mapping[str, Tensor], config: Mapping[str, Any], table: WeightTable) -> Iterator[tuple[str, Tensor, bool]]:
    """What an adapter holds: the name of a weight of the model, a tensor, and whether it is a change to that weight or takes its place."""
    for name, weight in weights.items():
        path = name.removeprefix(PREFIX).replace(".modules_to_save.default", "")
        if path.endswith(".lora_A.weight"):
            up = weights.get(name.replace(".lora_A.", ".lora_B."))
            if up is None:
                raise CheckpointError(f"the adapter has {name} without its lora_B")
            whole = path.replace(".lora_A.weight", ".weight")
            parts = table.parts(whole)
            change = _scale(whole.removesuffix(".weight"), len(weight), config) * (up @ weight)
            yield from zip(parts, change.chunk(len(parts)), [True] * len(parts), strict=False)
        elif not path.endswith(".lora_B.weight"):
            yield path, weight, False


def _scale(module: str, rank: int, config: Mapping[str, Any]) -> float:
    alphas = [alpha for name, alpha in (config.get("alpha_pattern") or {}).items() if f".{module}".endswith(f".{name}")]
    alpha = alphas[0] if alphas else config["lora_alpha"]
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _not_plain(config: Mapping[str, Any]) -> list[str]:
    wanted: dict[str, tuple[Any, ...]] = {
        "peft_type": ("LORA",),
        "bias": ("none", None),
        "use_dora": (False, None),
        "fan_in_fan_out": (False, None),
    }
    problems = [f"{key} is {config.get(key)!r}; built: {allowed[0]!r}" for key, allowed in wanted.items() if config.get(key) not in allowed]
    numbers = [f"{key} is {config.get(key)!r}; it must be a number above 0" for key in ("r", "lora_alpha") if not _positive(config.get(key))]
    wild = [
        f"alpha_pattern has {name!r}; built: names, without wildcards" for name in config.get("alpha_pattern") or {} if re.search(r"[^\w.]", name)
    ]
    return problems + numbers + wild


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0
