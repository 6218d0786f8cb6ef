"""A text in, a text out: summaries, translations, questions, titles, keywords."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from bertsmith.core.chunks import characters, chunks
from bertsmith.core.errors import MissingExtraError, RecipeError
from bertsmith.core.types import Batch, Example, Features
from bertsmith.data.dataset import Dataset, Problem
from bertsmith.data.readers import wrong_text
from bertsmith.generation import Generation, Written, generate, options_of
from bertsmith.generation.forcing import forced
from bertsmith.layers.heads import NextTokenHead
from bertsmith.metrics.uncertainty import Interval, bootstrap_interval
from bertsmith.models.family import Family, Model
from bertsmith.models.sequence_to_sequence import SequenceToSequence
from bertsmith.objectives.base import HeadRequest, pad, padded_inputs
from bertsmith.tasks.base import CHUNK, ROUNDS, Belonging, Prediction, Task, tasks
from bertsmith.tasks.outcome import Outcome, Output
from bertsmith.tasks.tables import Table
from bertsmith.tasks.targets import closed, end_of, nothing_in, plain, references_of, targets_of, until
from bertsmith.text.sentences import split_sentences
from bertsmith.text.tokenizer import Tokenizer

OPTIONS = {
    "beams": "num_beams",
    "max_new_tokens": "max_new_tokens",
    "min_new_tokens": "min_new_tokens",
    "length_penalty": "length_penalty",
    "early_stopping": "early_stopping",
    "no_repeat_ngram": "no_repeat_ngram_size",
    "repetition_penalty": "repetition_penalty",
}
"""The task's options of writing, and what `generation_config.json` calls them."""

OF_BEAMS = ("length_penalty", "early_stopping")
"""Those that mean nothing to a single beam."""

Unit = Literal["auto", "english", "character", "word"]


@tasks.register("text_to_text")
@dataclass(frozen=True, kw_only=True)
class TextToText(Task):
    """A text in, a text out: summaries, translations, questions, titles, keywords.

    An encoder-decoder (BART, PEGASUS, Marian) reads the source and writes the target. A decoder alone (GPT-2) reads both as one sequence, `source
    <|endoftext|> target <|endoftext|>`, or with BERT's vocabulary `[CLS] source [SEP] [CLS] target [SEP]`, and goes on with the source when it is to
    write. The loss is that of the target's tokens, those that begin and end it included, and never that of the source's.

    Needs:
        `text`, `target`. A target is a text, or a list of texts that are equally right: the first of them is trained on, all of them are measured by.

    Use when:
        What is wanted is not in the text as it stands. A part of the text, word for word: `extractive_qa`, or `tagging`; one of some names: `single`.

    Reference:
        Lewis et al. 2020, section 3 (BART); Zhang et al. 2020 (PEGASUS); Junczys-Dowmunt et al. 2018 (Marian). The format of a decoder alone is that
        of Li & Liang 2021, "Prefix-Tuning", section 3. Label smoothing: Szegedy et al. 2016, section 7.

    Args:
        max_length: Tokens of the longest source; longer ones lose their end, and are counted.
        max_new_tokens: Tokens of the longest target, those that begin and end it included. Longer ones lose their end in training, and are counted;
            none is written longer.
        min_new_tokens: The shortest that is written.
        prefix: Put in front of every source: `>>cmn_Hans<< ` tells a Marian model of several languages which one to write.
        label_smoothing: Share of probability that is spread over the whole vocabulary in training, 0-1; 0.1 is usual. The loss that is measured is
            without it.
        beams: How many unfinished texts are followed at once; 1 follows the likeliest token alone.
        length_penalty: Scores of beams are divided by the number of tokens to this power: above 0 longer texts gain.
        early_stopping: Whether a search stops as soon as there are as many finished texts as beams; "never" looks for better ones at any length.
        no_repeat_ngram: No sequence of so many tokens is written twice; 0 lets everything repeat.
        repetition_penalty: By how much tokens that are already there are made unlikely; 1 leaves them as they are.
        measure: "rouge", for summaries, titles, keywords; "bleu" and chrF, for translations, which need sacrebleu; or "both".
        unit: What ROUGE counts: "english" words as the package rouge-score does, Chinese by the "character" or by the "word" (jieba); "auto" is by
            the character where the targets are Chinese.
        validate_by: What is measured during training: the "loss" of the targets, which is quick; or the "text" that is written, which takes about as
            long as to write all of it. The finished model is measured by what it writes in either case.

    Example:
        >>> TextToText(beams=1, measure="bleu").best_metric
        'bleu'
    """

    name: ClassVar = "text_to_text"
    columns: ClassVar = ("text", "target")
    label_columns: ClassVar = ("target",)
    has_labels: ClassVar = False

    max_length: int = 512
    max_new_tokens: int = 128
    min_new_tokens: int = 0
    prefix: str = ""
    label_smoothing: float = 0.0
    beams: int = 4
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    no_repeat_ngram: int = 0
    repetition_penalty: float = 1.0
    measure: Literal["rouge", "bleu", "both"] = "rouge"
    unit: Unit = "auto"
    validate_by: Literal["loss", "text"] = "loss"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels:
            raise ValueError(f"labels is {list(self.labels)}; texts are written and not chosen: leave it out, or take the task 'single'")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing is {self.label_smoothing}; it must be at least 0 and below 1")
        try:
            self.generation(Generation(), 0)
        except RecipeError as error:
            raise ValueError("; ".join(error.problems)) from None

    @property
    def best_metric(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """`bleu` where that is all that is measured, otherwise `rougeL`."""
        return "bleu" if self.measure == "bleu" else "rougeL"

    @property
    def yardstick(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What texts are measured by one by one."""
        return "chrF" if self.measure == "bleu" else "ROUGE-L"

    @property
    def written(self) -> int:
        """As many as are followed at once."""
        return self.beams

    @property
    def validated_by_loss(self) -> bool:
        """As `validate_by` says."""
        return self.validate_by == "loss"

    def heads(self) -> Mapping[str, HeadRequest]:
        """The language model's."""
        return {"lm": HeadRequest()}

    def misfits(self, family: Family) -> Iterator[tuple[str, str]]:
        """A source, or a target, that the model has no positions for; for a decoder alone, the two together."""
        positions = family.max_length
        if isinstance(family, SequenceToSequence):
            if self.max_new_tokens > positions:
                yield "max_new_tokens", f"got {self.max_new_tokens}; the model has {positions} positions"
        elif self.max_length <= positions < self.max_length + self.max_new_tokens - 1:
            both = f"max_length = {self.max_length} and max_new_tokens = {self.max_new_tokens} are one sequence to a decoder alone"
            yield "max_length", f"{both}, and the model has {positions} positions: lower one of them"

    def within(self, family: Family) -> TextToText:
        """The same task with sources and targets as long as the model takes them; to a decoder alone, they are one sequence."""
        positions, is_one = family.max_length, not isinstance(family, SequenceToSequence)
        most = min(self.max_new_tokens, positions // 2 if is_one else positions)
        longest = min(self.max_length, positions + 1 - most if is_one else positions)
        return replace(self, max_length=longest, max_new_tokens=most, min_new_tokens=min(self.min_new_tokens, most))

    @classmethod
    def as_published(cls, model: Model) -> dict[str, Any]:
        """The options of writing that a model from elsewhere was published with; an encoder reads as much as it has positions for."""
        options, said = options_of(model), model.generation
        names = [name for name in OPTIONS if name != "max_new_tokens" or said.get("max_length") or said.get("max_new_tokens")]
        longest = {"max_length": model.family.max_length} if isinstance(model.family, SequenceToSequence) else {}
        return {**longest, **{name: getattr(options, name) for name in names}}

    def generation_config(self, tokenizer: Tokenizer) -> dict[str, Any]:
        """By this, `transformers` writes as the task does."""
        options = {theirs: getattr(self, ours) if self.beams > 1 or ours not in OF_BEAMS else None for ours, theirs in OPTIONS.items()}
        return {**options, "max_length": None, "min_length": None, "eos_token_id": end_of(tokenizer.target)}

    def settled(self, data: Dataset, *, training: bool = False) -> Dataset:
        """Without the rows that have no target, or an empty one; in training, of several targets the first."""
        reasons = [(example, nothing_in(example.get("target"))) for example in data]
        dropped = [Problem.of(example, reason) for example, reason in reasons if reason]
        kept = [example for example, reason in reasons if not reason]
        several = [example for example in kept if training and len(targets_of(example.get("target"))) > 1]
        mended = [Problem.of(example, "several targets: the first is trained on") for example in several]
        return replace(data, examples=kept, dropped_rows=(*data.dropped_rows, *dropped), mended_rows=(*data.mended_rows, *mended))

    def as_read(self, row: Mapping[str, str], tokenizer: Tokenizer) -> tuple[str, str | None]:  # noqa: ARG002
        """The text behind the prefix."""
        return self.prefix + row["text"], None

    def wrong_row(self, example: Example) -> str:
        """A source or a target that is no text."""
        return self._wrong(example, labelled=True)

    def fitted(self, examples: Sequence[Example]) -> TextToText:  # noqa: ARG002
        """The task as it is: the data tells it nothing.

        Raises:
            MissingExtraError: BLEU is to be measured and sacrebleu is not there; better to know it before training.
        """
        if self.measure != "rouge" and find_spec("sacrebleu") is None:
            raise MissingExtraError(f"measure = {self.measure!r}", "metrics")
        return self

    def label_names(self, examples: Sequence[Example]) -> set[str]:  # noqa: ARG002
        """There are none."""
        return set()

    def encode(self, examples: Iterable[Example], tokenizer: Tokenizer, *, labelled: bool = True) -> Iterator[Features]:
        """Token ids of source and target, and how many tokens were cut off either."""
        problems: list[str] = []
        for chunk in chunks(examples, CHUNK, characters):
            reasons = [(example, self._wrong(example, labelled)) for example in chunk]
            problems += [f"{example.where}: {reason}" for example, reason in reasons if reason]
            yield from self._encoded([example for example, reason in reasons if not reason], tokenizer, labelled)
        self.refuse(problems)

    def collate(self, rows: Sequence[Features], generators: Sequence[np.random.Generator], tokenizer: Tokenizer) -> Batch:  # noqa: ARG002
        """Pad; nothing is random. The target is as it is to be written: only the model knows what its decoder reads in front of it."""
        inputs = padded_inputs(rows, tokenizer)
        end = {"end": torch.full((len(rows), 1), end_of(tokenizer.target))}
        if "target_ids" not in rows[0]:
            return Batch(*inputs, end, {self.name: len(rows)})
        ids = pad([row["target_ids"] for row in rows], tokenizer.target.pad_id)
        mask = pad([np.ones_like(row["target_ids"]) for row in rows], 0)
        return Batch(*inputs, end, {self.name: int(mask.sum())}, Batch(ids, mask, torch.zeros_like(ids)))

    def loss(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of the target's tokens, each foretold from the source and those before it."""
        read, places, labels = forced(model, batch)
        head = model.heads["lm"]
        assert isinstance(head, NextTokenHead), "every family's head of this name is one"
        smoothing = self.label_smoothing if model.training else 0.0
        return {self.name: head.loss(model(read, only=places).at(places), labels, smoothing)}

    def outputs(self, model: Model, batch: Batch) -> Sequence[Tensor]:
        """What the model writes about every source: how sure it is, and the tokens."""
        options = self.within(model.family).generation(options_of(model), int(batch.labels["end"][0, 0]))
        texts = generate(model, replace(batch, target=None), options)
        return [_output(found[0], options.length_penalty) for found in texts]

    def blank(self, row: Features) -> Output:  # noqa: ARG002
        """Nothing is written."""
        return np.zeros(1, np.float32)

    def decode(self, outcome: Outcome) -> list[Prediction]:
        """The text, and the geometric mean of the probabilities of its tokens, 0-1."""
        confidences = (float(output[0]) for output in outcome.outputs)
        return [{"output": text, "score": round(sure, 6)} for text, sure in zip(self._texts(outcome), confidences, strict=True)]

    def metrics(self, outcome: Outcome) -> dict[str, float]:
        """F1 of ROUGE-1, -2 and -L, or BLEU and chrF; and the share of texts that are exactly right but for case and white space. All 0-1."""
        return self._measured(self._texts(outcome), outcome)

    def correct(self, outcome: Outcome) -> np.ndarray:
        """F1 of ROUGE-L of every text; chrF where BLEU is what is measured."""
        texts, references = self._texts(outcome), references_of(outcome)
        if self.measure == "bleu":
            from bertsmith.metrics.translation import sentence_chrf

            return sentence_chrf(texts, references)
        from bertsmith.metrics.rouge import rouge

        tokens = self._tokens(references)
        return np.array([rouge(text, wanted, tokens)["rougeL"].f1 for text, wanted in zip(texts, references, strict=True)])

    def baseline(self, outcome: Outcome) -> dict[str, float]:
        """The metrics of the first sentences of the source, as many as a target has on average; for a translation, of the source itself."""
        sources, references = [str(example["text"]) for example in outcome.examples], references_of(outcome)
        if self.measure != "bleu":
            count = max(1, round(float(np.mean([len(split_sentences(wanted[0])) for wanted in references]))))
            sources = ["".join(split_sentences(source)[:count]).strip() for source in sources]
        return self._measured(sources, outcome)

    def gold(self, example: Example) -> str | list[str] | None:
        """The target."""
        return example.get("target")

    def answer(self, said: Prediction) -> str:
        """The text that was written."""
        return said["output"]

    def groups(self, example: Example) -> Mapping[str, Belonging]:
        """How long its target is; of several, the first."""
        return {"characters of the target": len(targets_of(example["target"])[0])}

    def tables(self, outcome: Outcome) -> list[Table]:
        """How texts are done that are as long as they may be, of which most would have gone on."""
        scores, lengths = self.correct(outcome), np.array([len(output) - 1 for output in outcome.outputs])
        full = lengths >= self.max_new_tokens
        kinds = {"shorter than max_new_tokens": ~full, f"max_new_tokens = {self.max_new_tokens} reached": full}
        if not full.any():
            return []
        rows = [{"written texts": kind, "number": int(own.sum()), "score": float(scores[own].mean())} for kind, own in kinds.items() if own.any()]
        about = f"A text that reaches max_new_tokens has in most cases lost its end. The score is {self.yardstick}."
        return [Table("Cut off while writing", about, rows)]

    def interval(self, outcome: Outcome) -> Interval:
        """How far the main metric can be trusted; BLEU, which is of a whole set, from what it counts in every text."""
        if self.measure != "bleu":
            return super().interval(outcome)
        from bertsmith.metrics.translation import bleu_counts, bleu_of

        return bootstrap_interval(bleu_of, bleu_counts(self._texts(outcome), references_of(outcome)), rounds=ROUNDS)

    def generation(self, published: Generation, end: int) -> Generation:
        """Ids of tokens are the model's; all that can be chosen is the task's."""
        chosen: dict[str, Any] = {name: getattr(self, name) for name in OPTIONS}
        suppressed = tuple(number for number in published.suppressed if number != end)
        return replace(published, **chosen, eos_token_id=end, suppressed=suppressed)

    def _wrong(self, example: Example, labelled: bool) -> str:
        if reason := wrong_text(example.get("text")):
            return f"text {reason}"
        if not labelled:
            return ""
        if reason := nothing_in(example.get("target")):
            return reason
        return next((f"target {reason}" for target in targets_of(example["target"]) if (reason := wrong_text(target))), "")

    def _encoded(self, examples: Sequence[Example], tokenizer: Tokenizer, labelled: bool) -> Iterator[Features]:
        sources = closed([self.prefix + example["text"] for example in examples], tokenizer, self.max_length)
        if not labelled:
            yield from ({"input_ids": ids, "truncated": cut} for ids, cut in sources)
            return
        around = tokenizer.target.num_special(pair=False) or 1
        if self.max_new_tokens <= around:
            raise RecipeError(f"max_new_tokens is {self.max_new_tokens}; {around} of them begin and end a target, and a text needs at least one more")
        targets = closed([targets_of(example["target"])[0] for example in examples], tokenizer.target, self.max_new_tokens)
        for (ids, cut), (target_ids, target_cut) in zip(sources, targets, strict=True):
            yield {"input_ids": ids, "truncated": cut, "target_ids": target_ids, "target_truncated": target_cut}

    def _texts(self, outcome: Outcome) -> list[str]:
        assert outcome.tokenizer is not None, "texts are read with a tokenizer"
        tokenizer = outcome.tokenizer.target
        end = end_of(tokenizer)
        return [tokenizer.text_of(until(output[1:].astype(np.int64), end)).strip() for output in outcome.outputs]

    def _measured(self, texts: Sequence[str], outcome: Outcome) -> dict[str, float]:
        references = references_of(outcome)
        scores: dict[str, float] = {}
        if self.measure != "bleu":
            from bertsmith.metrics.rouge import rouge_scores

            scores |= rouge_scores(texts, references, self._tokens(references))
        if self.measure != "rouge":
            from bertsmith.metrics.translation import translation_scores

            scores |= translation_scores(texts, references)
        same = [plain(text) in map(plain, wanted) for text, wanted in zip(texts, references, strict=True)]
        return {**scores, "exact_match": float(np.mean(same))}

    def _tokens(self, references: Sequence[Sequence[str]]) -> Callable[[str], list[str]]:
        from bertsmith.metrics.rouge import chinese_characters, chinese_words, english_tokens
        from bertsmith.metrics.texts import is_chinese

        units = {"english": english_tokens, "character": chinese_characters, "word": chinese_words}
        if self.unit != "auto":
            return units[self.unit]
        return units["character" if is_chinese(text for wanted in references for text in wanted) else "english"]


def _output(text: Written, length_penalty: float) -> Tensor:
    """How sure the model is of a text, 0-1, and the tokens; as numbers of one kind, which hold the ids of any vocabulary exactly."""
    length = len(text.input_ids)
    return torch.tensor([math.exp(text.score * length**length_penalty / length), *text.input_ids.tolist()], dtype=torch.float32)
