"""Tiny models of `transformers` with random weights, and batches to put through them and through ours."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from bertsmith.core.types import Batch
from bertsmith.layers.heads import span_scores
from bertsmith.models import Checkpoint, load
from bertsmith.testing.tiny import answered
from bertsmith.text.tokenizer import Tokenizer

TOLERANCE = 1e-5
QUESTION = 4
CLASSES = {
    "encoder": "Model",
    "mlm": "ForMaskedLM",
    "lm": "LMHeadModel",
    "nsp": "ForNextSentencePrediction",
    "classification": "ForSequenceClassification",
    "tagging": "ForTokenClassification",
    "span": "ForQuestionAnswering",
    "replaced": "ForPreTraining",
    "choice": "ForMultipleChoice",
}


@dataclass(frozen=True)
class Kind:
    """How a family is called and built in `transformers`.

    Attributes:
        stem: What stands at the front of its classes.
        heads: Those that are compared.
        segments: Whether it has segment embeddings for two segments.
        tiny: Keys of a tiny configuration beside the usual ones.
        pooler: Whether a bare encoder has a pooler.
        targets: Whether it has a decoder that reads a target.
        classes: What its classes are called where `CLASSES` has another name.
    """

    stem: str
    heads: tuple[str, ...] = ("encoder", "mlm", "classification", "tagging", "span", "choice")
    segments: bool = False
    tiny: Mapping[str, Any] = field(default_factory=dict[str, Any])
    pooler: bool = True
    targets: bool = False
    classes: Mapping[str, str] = field(default_factory=dict[str, str])


SEQUENCE_TO_SEQUENCE = {
    **{f"{side}_{size}": value for side in ("encoder", "decoder") for size, value in (("layers", 2), ("attention_heads", 3), ("ffn_dim", 40))},
    "dropout": 0.0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "forced_eos_token_id": 3,
}
CONDITIONAL = {"lm": "ForConditionalGeneration"}
FAMILIES = {
    "bert": Kind("Bert", ("encoder", "mlm", "nsp", "classification", "tagging", "span", "choice"), segments=True),
    "roberta": Kind("Roberta"),
    "xlm-roberta": Kind("XLMRoberta"),
    "electra": Kind(
        "Electra",
        ("encoder", "mlm", "replaced", "classification", "tagging", "span", "choice"),
        segments=True,
        tiny={"embedding_size": 16, "summary_last_dropout": 0.0},
        pooler=False,
    ),
    "albert": Kind("Albert", segments=True, tiny={"embedding_size": 16}),
    "gpt2": Kind(
        "GPT2",
        ("encoder", "lm", "classification", "tagging", "span"),
        tiny={"n_inner": 40, "bos_token_id": 2, "eos_token_id": 3, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
        pooler=False,
    ),
    "splinter": Kind("Splinter", ("encoder", "span"), segments=True, tiny={"question_token_id": QUESTION}, pooler=False),
    "distilbert": Kind("DistilBert", tiny={"hidden_dim": 40, "dropout": 0.0, "attention_dropout": 0.0}, pooler=False),
    "modernbert": Kind(
        "ModernBert",
        tiny={"num_hidden_layers": 3, "local_attention": 5, "cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3},
        pooler=False,
    ),
    "bart": Kind(
        "Bart", ("encoder", "lm"), tiny={**SEQUENCE_TO_SEQUENCE, "decoder_start_token_id": 3}, pooler=False, targets=True, classes=CONDITIONAL
    ),
    "pegasus": Kind(
        "Pegasus",
        ("encoder", "lm"),
        tiny={**SEQUENCE_TO_SEQUENCE, "decoder_start_token_id": 0, "scale_embedding": True, "activation_function": "relu", "decoder_layers": 3},
        pooler=False,
        targets=True,
        classes=CONDITIONAL,
    ),
    "marian": Kind(
        "Marian",
        ("encoder", "lm"),
        tiny={**SEQUENCE_TO_SEQUENCE, "decoder_start_token_id": 0, "scale_embedding": True, "activation_function": "swish", "encoder_ffn_dim": 36},
        pooler=False,
        targets=True,
        classes={"lm": "MTModel"},
    ),
}
FAMILIES_AND_HEADS = [(family, head) for family, kind in FAMILIES.items() for head in kind.heads]
TARGETED = {family for family, kind in FAMILIES.items() if kind.targets}
OLD_FAMILIES_AND_HEADS = [(family, head) for family, head in FAMILIES_AND_HEADS if family not in {"gpt2", "distilbert", "modernbert", *TARGETED}]
"""Those with norms that the first releases named otherwise."""
WITHOUT_SEGMENTS = {"gpt2", "distilbert", "modernbert", *TARGETED}
SENTENCE_HEADS = {"nsp", "classification", "choice"}
VOCABULARY_HEADS = {"mlm", "lm"}
LABELS = 3
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"的一是在不了有和人这中大为上个国我以要他", "the", "a", "##s", "model"]


@dataclass(frozen=True)
class Pair:
    """The same model twice."""

    family: str
    head: str
    peer: Any
    checkpoint: Checkpoint

    @property
    def published(self) -> dict[str, str]:
        """Our name of every weight to the full published one."""
        model = self.checkpoint.model
        table = model.family.table(list(model.heads))
        return {ours: table.theirs(ours) or "" for ours in model.state_dict()}

    def peer_gradients(self) -> dict[str, Tensor]:
        """The peer's gradients by full published names, matrices upright and by themselves; a bare encoder leaves out its own name at the front."""
        family = self.checkpoint.model.family
        prefix = f"{family.base}." if self.head == "encoder" else ""
        named = {prefix + name: weight.grad for name, weight in self.peer.named_parameters(remove_duplicate=False)}
        return family.weights.unfold({name: gradient for name, gradient in named.items() if gradient is not None})


def peer_config(family: str, **changes: Any) -> Any:
    values = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 40,
        "max_position_embeddings": 20,
        "type_vocab_size": 2 if FAMILIES[family].segments else 1,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "num_labels": LABELS,
        "pad_token_id": 0,
    }
    kind = getattr(transformers, f"{FAMILIES[family].stem}Config")
    known = {name: value for name, value in values.items() if hasattr(kind, name) or name in kind.attribute_map}
    return kind(**{**known, **FAMILIES[family].tiny, **changes})


def peer_class(family: str, head: str) -> str:
    kind = FAMILIES[family]
    return f"{kind.stem}{kind.classes.get(head, CLASSES[head])}"


def peer_model(family: str, head: str, **changes: Any) -> Any:
    """A model all of whose weights are random, norms and biases too, so that none of them can be mistaken for another; computed positions stay."""
    changes = {"num_labels": 2, **changes} if head == "span" else changes
    model = getattr(transformers, peer_class(family, head))(peer_config(family, **changes))
    generator = torch.Generator().manual_seed(len(family) * 100 + len(head))
    with torch.no_grad():
        for weight in (*filter(lambda weight: weight.requires_grad, model.parameters()), *getattr(model, "final_logits_bias", ())):
            weight.normal_(0.3 if "LayerNorm" in str(type(weight)) else 0.0, 0.2, generator=generator)
    return model.eval()


def save_peer(model: Any, folder: Path, **how: Any) -> Path:
    model.save_pretrained(folder, **how)
    if getattr(model.config, "type_vocab_size", 2) > 1:
        Tokenizer.from_tokens(VOCABULARY).save(folder)
    else:  # a tokenizer without segments; the models of these tests are given ids
        (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(["<pad>", "<unk>", "<s>", "</s>", "<mask>"])}))
        (folder / "merges.txt").write_text("")
    return folder


def pair(family: str, head: str, folder: Path, **changes: Any) -> Pair:
    """A peer, and what we open of the folder that it was saved to."""
    peer = peer_model(family, head, **changes)
    return Pair(family, head, peer, load(str(save_peer(peer, folder))))


def ragged(family: str, side: str = "right", lengths: tuple[int, ...] = (7, 3, 12, 12, 1)) -> Batch:
    """Sequences of unequal length with random tokens; the padding stands on one side. Targets have the lengths reversed."""
    target = _ragged(family, side, lengths[::-1], seed=6) if FAMILIES[family].targets else None
    return replace(_ragged(family, side, lengths, seed=5), target=target)


def _ragged(family: str, side: str, lengths: tuple[int, ...], seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    width = max(lengths)
    places = torch.arange(width).expand(len(lengths), width)
    size = torch.tensor(lengths)[:, None]
    mask = (places < size if side == "right" else places >= width - size).long()
    input_ids = torch.randint(1, len(VOCABULARY), mask.shape, generator=generator) * mask
    if "question_token_id" in FAMILIES[family].tiny:
        input_ids = torch.where(mask.cumsum(1) == size, QUESTION, input_ids) * mask  # the last token at the latest
    segments = torch.randint(0, 2, mask.shape, generator=generator) if FAMILIES[family].segments else torch.zeros_like(mask)
    return Batch(input_ids, mask, segments * mask)


def inputs(batch: Batch, peer: Any = None) -> dict[str, Tensor]:
    """What a peer is given; GPT-2 would take segments for tokens."""
    given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if batch.target is not None:
        given |= {"decoder_input_ids": batch.target.input_ids, "decoder_attention_mask": batch.target.attention_mask}
    known = peer is None or peer.config.model_type not in WITHOUT_SEGMENTS
    return {**given, "token_type_ids": batch.token_type_ids} if known else given


def as_choices(given: dict[str, Tensor], choices: int) -> dict[str, Tensor]:
    """Sequences as a peer takes the choices of questions, so many of each."""
    return {name: tensor.unflatten(0, (-1, choices)) for name, tensor in given.items()}


def ours(checkpoint: Checkpoint, head: str, batch: Batch, token_embeddings: Tensor | None = None) -> Tensor:
    """What our head says; for the vocabulary head and the bare encoder, at every real token."""
    encoded = checkpoint.model(batch, token_embeddings)
    if head == "encoder":
        return encoded.at(answered(batch))
    if head in VOCABULARY_HEADS:
        return checkpoint.model.heads[head](encoded.at(answered(batch)))
    if head == "span":
        return span_scores(checkpoint.model.heads[head], encoded, batch)[batch.attention_mask.bool()]
    scores: Tensor = checkpoint.model.heads[head](encoded)
    return scores[batch.attention_mask.bool()] if head in {"tagging", "replaced"} else scores


def theirs(peer: Any, head: str, batch: Batch, **more: Any) -> Tensor:
    """What the peer's head says, at the same places."""
    real = answered(batch)
    if head == "choice":
        return peer(**as_choices(inputs(batch, peer), len(real))).logits.T
    output = peer(**{**inputs(batch, peer), **more})
    if head == "encoder":
        return output.last_hidden_state[real]
    if head == "span":
        return torch.stack([output.start_logits, output.end_logits], dim=2)[real]
    return output.logits[real] if head in {*VOCABULARY_HEADS, "tagging"} else output.logits[real][:, None] if head == "replaced" else output.logits


def assert_close(actual: Tensor, expected: Tensor, what: str = "outputs") -> None:
    torch.testing.assert_close(actual, expected, rtol=TOLERANCE, atol=TOLERANCE, msg=lambda text: f"{what}: {text}")


def assert_gradients_equal(both: Pair) -> int:
    """Compare the gradients of all weights; returns how many were compared."""
    wanted = both.peer_gradients()
    compared = 0
    for name, weight in both.checkpoint.model.named_parameters():
        expected = wanted.get(both.published[name])
        assert (weight.grad is None) == (expected is None), f"{name}: only one of the two has a gradient"
        if expected is not None:
            assert_close(weight.grad, expected, f"gradient of {name}")
            compared += 1
    return compared
