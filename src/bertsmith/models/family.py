"""What a family of models is: the fields of its `config.json`, how it is built, and one table of weight names.

A family is a frozen dataclass in a file of this folder. Its fields *are* the keys of the published `config.json`, so nothing is renamed on the way in
or out. What the blocks cannot do is refused: a key that would change the arithmetic must have one of the values in `fixed`.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, get_args, get_type_hints

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bertsmith.checkpoint.weights import WeightTable
from bertsmith.core.errors import CheckpointError
from bertsmith.core.registry import Registry, nearest
from bertsmith.core.types import Batch
from bertsmith.layers.activations import ACTIVATIONS
from bertsmith.layers.crf import Chain
from bertsmith.layers.decoder import Backbone
from bertsmith.layers.embeddings import SinusoidalPositions
from bertsmith.layers.encoder import Encoder
from bertsmith.layers.heads import FIRST_TOKEN_HEADS
from bertsmith.layers.layout import Encoded

families: Registry[type[Family]] = Registry("model family", "bertsmith.models")
"""Families by the `model_type` of their `config.json`."""

DESCRIPTIVE = frozenset(
    "_name_or_path _num_labels adapters add_pooling_layer architectures attn_implementation bad_words_ids bos_token_id chunk_size_feed_forward "
    "directionality do_sample dtype early_stopping eos_token_id finetuning_task gradient_checkpointing id2label label2id language "
    "max_length min_length model_type num_labels output_attentions output_hidden_states output_past output_scores pad_token_id pooler_fc_size "
    "pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type prefix problem_type return_dict sep_token_id cls_token_id "
    "task_specific_params tokenizer_class torch_dtype torchscript transformers_version use_cache vocab_type _attn_implementation_autoset "
    "use_return_dict summary_activation summary_first_dropout summary_last_dropout summary_proj_to_labels summary_type summary_use_proj n_ctx "
    "license num_beams num_beam_groups temperature top_k top_p typical_p repetition_penalty length_penalty diversity_penalty num_return_sequences "
    "padding tf_legacy_loss truncation use_bfloat16 xla_device mask_token_id unk_token_id sentence_transformers matryoshka_dimensions".split()
)
"""Keys of a `config.json` that change nothing of what an encoder computes."""

DESCRIBING = frozenset(
    "author authors checkpoint citation class commit copyright corpus created data dataset date description domain framework hash home hub id ids "
    "label labels lang language languages library license metadata model name note notes path repo revision run sbert source tag tags task time "
    "tokenizer train trained training url version".split()
)
"""Words in the names of keys whose strings, lists and tables only describe: `model_name`, `training_data`."""

ACTIVATION_KEYS = {"hidden_act", "activation", "activation_function", "hidden_activation", "classifier_activation"}
"""What families call the fields that name an activation."""

TYPE_NAMES: dict[type, str] = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}


@dataclass(frozen=True)
class Head:
    """A head that a family knows.

    Attributes:
        build: Makes it for a configuration, a backbone and a number of labels.
        weights: Its weights' names, ours (inside the head) to the published ones.
        architecture: The class of `transformers` that opens a folder with this head.
        labelled: Whether the number of its outputs is the user's to choose.
    """

    build: Callable[[Any, Any, int], nn.Module]
    weights: WeightTable
    architecture: str
    labelled: bool = True


def token_heads(build: Callable[[Any, Any, int], nn.Module], weights: WeightTable, architecture: str) -> dict[str, Head]:
    """The head for tagging, by itself and with a chain on it, whose weights `transformers` passes over.

    Args:
        build: Makes the head without the chain.
        weights: Its names.
        architecture: The class of `transformers` that opens either.
    """

    def chained(family: Any, backbone: Any, labels: int) -> nn.Module:
        head = build(family, backbone, labels)
        head.add_module("chain", Chain(labels))
        return head

    chain = WeightTable({"chain.transitions.{}": "crf.transitions.{}", "chain.edges.{}": "crf.edges.{}"})
    return {"tagging": Head(build, weights, architecture), "crf": Head(chained, weights | chain, architecture)}


class Model(nn.Module):
    """A backbone and the heads on it.

    Args:
        family: The configuration it was built from.
        backbone: The encoder; or an encoder with a decoder, whose `decoder.remember` and `decoder.step` write a target token by token.
        heads: By name; what each takes is said in `bertsmith.layers.heads`.

    Attributes:
        generation: How it is to write, by the keys of `generation_config.json`; empty where nobody has said so.
        described: What its `config.json` says beside the keys of the family; it is said again where the model is saved.
    """

    def __init__(self, family: Family, backbone: Backbone, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.family = family
        self.backbone: Backbone = backbone
        self.heads = nn.ModuleDict(dict(heads))
        self.generation: dict[str, Any] = {}
        self.described: dict[str, Any] = {}

    def with_heads(self, heads: Mapping[str, nn.Module]) -> Model:
        """The same backbone, and what is said of it, under other heads."""
        model = Model(self.family, self.backbone, heads).train(self.training)
        model.generation, model.described = dict(self.generation), dict(self.described)
        return model

    def forward(
        self,
        batch: Batch,
        token_embeddings: Float[Tensor, "batch length width"] | None = None,
        *,
        only: Bool[Tensor, "batch length"] | None = None,
    ) -> Encoded:
        """States of all tokens, give them to a head: of those of the batch; or, where there is a decoder, of those of its target.

        Args:
            batch: What is read.
            token_embeddings: See `Encoder.forward`.
            only: Tokens that will be looked at; states of others may be left out, which saves work.
        """
        if only is not None and isinstance(self.backbone, Encoder):
            return self.backbone(batch, token_embeddings, only=only)
        return self.backbone(batch, token_embeddings)

    def states_for(self, head: str, batch: Batch) -> Encoded:
        """States of the tokens that a head looks at; those of others may be left out.

        Args:
            head: The head's name.
            batch: What is read.
        """
        return self(batch, only=batch.first_tokens() if isinstance(self.heads[head], FIRST_TOKEN_HEADS) else None)

    @property
    def num_parameters(self) -> int:
        """Numbers that are learned, tied ones counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    def reinitialise(self, generator: torch.Generator, module: nn.Module | None = None) -> None:
        """Draw fresh weights: normal with the configuration's `initializer_range`, biases 0, norms 1.

        Args:
            generator: The source of randomness.
            module: Which part; the whole model by default.
        """
        for part in (module or self).modules():
            if isinstance(part, SinusoidalPositions):
                part.reset_parameters()
            elif isinstance(part, nn.Linear | nn.Embedding):
                nn.init.normal_(part.weight, std=self.family.initializer_range, generator=generator)
            if isinstance(part, nn.LayerNorm):
                nn.init.ones_(part.weight)
            bias = getattr(part, "bias", None)
            if isinstance(bias, Tensor):
                nn.init.zeros_(bias)


class _NothingDrawn(TorchFunctionMode):
    """The functions of `torch.nn.init` return their tensor as it is."""

    def __torch_function__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        given = kwargs or {}
        return given["tensor"] if getattr(function, "__module__", "") == nn.init.__name__ and "tensor" in given else function(*args, **given)


@contextmanager
def without_values() -> Generator[None]:
    """Models that are built in this context have shapes and no values: their weights are on the device "meta".

    Drawing numbers for them is left out: there would be none, and PyTorch's way of not drawing them begins with importing its compiler, which takes
    more than a second.
    """
    with torch.device("meta"), _NothingDrawn():
        yield


@dataclass(frozen=True, kw_only=True)
class Family(ABC):
    """The base of all families; a subclass adds the fields of its `config.json`."""

    vocab_size: int
    pad_token_id: int = 0

    model_type: ClassVar[str]
    base: ClassVar[str]
    """The encoder's name at the front of published weight names."""
    base_architecture: ClassVar[str]
    """The class of `transformers` for the bare encoder."""
    weights: ClassVar[WeightTable]
    heads: ClassVar[Mapping[str, Head]]
    combined: ClassVar[Mapping[frozenset[str], str]] = {}
    """Classes of `transformers` that hold several heads at once, by the heads."""
    fixed: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Keys that would change the arithmetic, with the values that the blocks compute."""
    unused: ClassVar[frozenset[str]] = frozenset()
    """Keys of heads that are not built, and others that change nothing here, in any value."""

    if TYPE_CHECKING:  # a field in most families, a property in those that call it otherwise
        hidden_size: Any
        initializer_range: Any

    @abstractmethod
    def build(self) -> Backbone:
        """The encoder, or an encoder with a decoder, with weights still to be filled in."""

    @property
    @abstractmethod
    def max_length(self) -> int:
        """Tokens of the longest sequence."""

    def build_model(self, heads: Mapping[str, int]) -> Model:
        """The encoder with heads.

        Args:
            heads: Name to number of labels (0 for heads whose size is not a choice).
        """
        backbone = self.build()
        return Model(self, backbone, {name: self.head(name).build(self, backbone, labels) for name, labels in heads.items()})

    @classmethod
    def head(cls, name: str) -> Head:
        """One of this family's heads.

        Raises:
            CheckpointError: The family has no such head.
        """
        if name not in cls.heads:
            raise CheckpointError(f"{cls.model_type} models have no head {name!r}; they have: {', '.join(cls.heads)}")
        return cls.heads[name]

    @classmethod
    def table(cls, heads: Mapping[str, Any] | list[str]) -> WeightTable:
        """Weight names of the encoder and of some heads, ours as in `Model.state_dict()`."""
        table = cls.weights.under("backbone")
        for name in heads:
            table |= cls.head(name).weights.under(f"heads.{name}")
        return table

    @classmethod
    def from_config(cls, config: Mapping[str, Any], origin: str = "config.json") -> Family:
        """Read a published `config.json`.

        Args:
            config: Its content. Missing keys have the published defaults.
            origin: Its name, for messages.

        Raises:
            CheckpointError: Lists every key with an impossible value and every key that would change the arithmetic in a way that is not built.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        known = {key: value for key, value in config.items() if key in fields and value is not None}
        wrong = list(cls._wrong_types(known))
        problems = [*wrong, *cls._not_built(config, fields)]
        if not wrong:
            family = cls(**known)
            problems += family.impossible()
            if not problems:
                return family
        raise CheckpointError(f"{origin} describes a {cls.model_type} model that cannot be built", problems)

    def impossible(self) -> Iterator[str]:
        """Everything in this configuration that cannot be built, one line each."""
        hints = get_type_hints(type(self))
        for name in (field.name for field in dataclasses.fields(self)):
            value, hint = getattr(self, name), hints[name]
            least = 0 if name.endswith("_id") else 1
            if int in (hint, *get_args(hint)) and value is not None and value < least:
                yield f"{name} is {value}; it must be at least {least}"
            low, high = (1, math.inf) if name.endswith("_theta") else (0, 1)
            if (hint is float or float in get_args(hint)) and value is not None and not low <= value <= high:
                yield f"{name} is {value}; it must be {f'between {low} and {high}' if high < math.inf else f'at least {low}'}"
        for name in ACTIVATION_KEYS & {field.name for field in dataclasses.fields(self)}:
            if getattr(self, name) not in ACTIVATIONS:
                yield f"{name} is {getattr(self, name)!r}; known: {', '.join(ACTIVATIONS)}"

    def _uneven(self, width: str, heads: str, parts: int = 1) -> Iterator[str]:
        """That a width cannot be shared out evenly among heads, each of them in so many parts, if it cannot; by their keys."""
        whole, number = getattr(self, width), getattr(self, heads)
        if number > 0 and whole % (parts * number):
            multiple = heads if parts == 1 else f"{parts} * {heads}"
            yield f"{width} is {whole}; it must be a multiple of {multiple}, which is {parts * number}"

    def to_config(self) -> dict[str, Any]:
        """The content of a `config.json`, without the architecture."""
        return {"model_type": self.model_type, **dataclasses.asdict(self)}

    @classmethod
    def _wrong_types(cls, known: Mapping[str, Any]) -> Iterator[str]:
        hints = get_type_hints(cls)
        for key, value in known.items():
            wanted: tuple[type, ...] = get_args(hints[key]) or (hints[key],)
            accepted = (*wanted, int) if float in wanted else wanted
            if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in wanted):
                yield f"{key} is {value!r}; it must be {' or '.join(TYPE_NAMES.get(kind, 'null') for kind in wanted)}"

    @classmethod
    def _not_built(cls, config: Mapping[str, Any], fields: set[str]) -> Iterator[str]:
        for key, value in config.items():
            if key in cls.fixed:
                if value not in cls.fixed[key]:
                    yield f"{key} is {value!r}, which changes what the model computes; built: {', '.join(map(repr, cls.fixed[key]))}"
            elif key not in fields | cls.unused and value and not _describes(key, value):
                hint = nearest(key, fields)
                yield (
                    f"{key} is {value!r}, and what it does to the model is not known{hint}; expected is a configuration without it: "
                    "take the key out if it only describes"
                )


def _describes(key: str, value: Any) -> bool:
    words = isinstance(value, str | list | dict) and not DESCRIBING.isdisjoint(key.lower().split("_"))
    return words or key in DESCRIPTIVE or key.startswith("_")
