"""Tiny models of `transformers` with random weights, and batches to put through them and through ours."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from bertsmith.core.types import Batch
from bertsmith.models import Checkpoint, load
from bertsmith.text.tokenizer import Tokenizer

TOLERANCE = 1e-5
CLASSES = {
    "encoder": "Model",
    "mlm": "ForMaskedLM",
    "lm": "LMHeadModel",
    "nsp": "ForNextSentencePrediction",
    "classification": "ForSequenceClassification",
    "tagging": "ForTokenClassification",
    "span": "ForQuestionAnswering",
    "replaced": "ForPreTraining",
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
    """

    stem: str
    heads: tuple[str, ...] = ("encoder", "mlm", "classification", "tagging", "span")
    segments: bool = False
    tiny: Mapping[str, Any] = field(default_factory=dict[str, Any])
    pooler: bool = True


FAMILIES = {
    "bert": Kind("Bert", ("encoder", "mlm", "nsp", "classification", "tagging", "span"), segments=True),
    "roberta": Kind("Roberta"),
    "xlm-roberta": Kind("XLMRoberta"),
    "electra": Kind(
        "Electra", ("encoder", "mlm", "replaced", "classification", "tagging", "span"), segments=True, tiny={"embedding_size": 16}, pooler=False
    ),
    "albert": Kind("Albert", segments=True, tiny={"embedding_size": 16}),
    "gpt2": Kind(
        "GPT2",
        ("encoder", "lm", "classification", "tagging", "span"),
        tiny={"n_inner": 40, "bos_token_id": 2, "eos_token_id": 3, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
        pooler=False,
    ),
}
FAMILIES_AND_HEADS = [(family, head) for family, kind in FAMILIES.items() for head in kind.heads]
ENCODERS_AND_HEADS = [(family, head) for family, head in FAMILIES_AND_HEADS if "mlm" in FAMILIES[family].heads]
SENTENCE_HEADS = {"nsp", "classification"}
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
        """Our name of every weight to the peer's; a bare encoder of `transformers` leaves out its own name at the front."""
        model = self.checkpoint.model
        table = model.family.table(list(model.heads))
        names = {ours: table.theirs(ours) or "" for ours in model.state_dict()}
        return {ours: theirs.removeprefix(f"{model.family.base}.") if self.head == "encoder" else theirs for ours, theirs in names.items()}


def peer_config(family: str, **changes: Any) -> Any:
    values = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        **({"intermediate_size": 40} if "mlm" in FAMILIES[family].heads else {}),
        "max_position_embeddings": 20,
        **({"type_vocab_size": 2 if FAMILIES[family].segments else 1} if "mlm" in FAMILIES[family].heads else {}),
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "num_labels": LABELS,
        "pad_token_id": 0,
        **FAMILIES[family].tiny,
    }
    return getattr(transformers, f"{FAMILIES[family].stem}Config")(**{**values, **changes})


def peer_model(family: str, head: str, **changes: Any) -> Any:
    """A model all of whose weights are random, norms and biases too, so that none of them can be mistaken for another."""
    changes = {"num_labels": 2, **changes} if head == "span" else changes
    model = getattr(transformers, f"{FAMILIES[family].stem}{CLASSES[head]}")(peer_config(family, **changes))
    generator = torch.Generator().manual_seed(len(family) * 100 + len(head))
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.3 if "LayerNorm" in str(type(weight)) else 0.0, 0.2, generator=generator)
    return model.eval()


def save_peer(model: Any, folder: Path, **how: Any) -> Path:
    model.save_pretrained(folder, **how)
    if getattr(model.config, "type_vocab_size", 1) > 1:
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
    """Sequences of unequal length with random tokens; the padding stands on one side."""
    generator = torch.Generator().manual_seed(5)
    width = max(lengths)
    places = torch.arange(width).expand(len(lengths), width)
    size = torch.tensor(lengths)[:, None]
    mask = (places < size if side == "right" else places >= width - size).long()
    input_ids = torch.randint(1, len(VOCABULARY), mask.shape, generator=generator) * mask
    segments = torch.randint(0, 2, mask.shape, generator=generator) if FAMILIES[family].segments else torch.zeros_like(mask)
    return Batch(input_ids, mask, segments * mask)


def inputs(batch: Batch) -> dict[str, Tensor]:
    """What a peer is given; segments only where there are some, because GPT-2 takes them for tokens."""
    given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    return {**given, "token_type_ids": batch.token_type_ids} if batch.token_type_ids.any() else given


def ours(checkpoint: Checkpoint, head: str, batch: Batch, token_embeddings: Tensor | None = None) -> Tensor:
    """What our head says; for the vocabulary head and the bare encoder, at every real token."""
    encoded = checkpoint.model(batch, token_embeddings)
    if head == "encoder":
        return encoded.at(batch.attention_mask.bool())
    if head in VOCABULARY_HEADS:
        return checkpoint.model.heads[head](encoded.at(batch.attention_mask.bool()))
    scores: Tensor = checkpoint.model.heads[head](encoded)
    return scores[batch.attention_mask.bool()] if head in {"tagging", "span", "replaced"} else scores


def theirs(peer: Any, head: str, batch: Batch, **more: Any) -> Tensor:
    """What the peer's head says, at the same places."""
    output = peer(**{**inputs(batch), **more})
    real = batch.attention_mask.bool()
    if head == "encoder":
        return output.last_hidden_state[real]
    if head == "span":
        return torch.stack([output.start_logits, output.end_logits], dim=2)[real]
    return output.logits[real] if head in {*VOCABULARY_HEADS, "tagging"} else output.logits[real][:, None] if head == "replaced" else output.logits


def assert_close(actual: Tensor, expected: Tensor, what: str = "outputs") -> None:
    torch.testing.assert_close(actual, expected, rtol=TOLERANCE, atol=TOLERANCE, msg=lambda text: f"{what}: {text}")


def assert_gradients_equal(both: Pair) -> int:
    """Compare the gradients of all weights; returns how many were compared."""
    wanted: Mapping[str, Any] = dict(both.peer.named_parameters(remove_duplicate=False))
    compared = 0
    for name, weight in both.checkpoint.model.named_parameters():
        expected = wanted[both.published[name]].grad
        assert (weight.grad is None) == (expected is None), f"{name}: only one of the two has a gradient"
        if expected is not None:
            assert_close(weight.grad, expected, f"gradient of {name}")
            compared += 1
    return compared
