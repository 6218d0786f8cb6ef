"""Classification by filling a gap: which label's words does the model expect there?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bertsmith.core.errors import RecipeError
from bertsmith.core.types import IGNORED, Batch, Example, Features
from bertsmith.models.family import Model
from bertsmith.objectives.base import HeadRequest, pad, padded_inputs
from bertsmith.tasks.base import tasks
from bertsmith.tasks.marked import Mark, Marked
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.sentence import stacked_labels
from bertsmith.tasks.single import SingleSentence
from bertsmith.tasks.tables import Table, Value
from bertsmith.text.prompts import MASK, Template, check_room, prompts, spelled, wrong_words
from bertsmith.text.tokenizer import Tokenizer

EXAMPLE = 'verbalizer = { positive = ["good", "great"], negative = "bad" }'
"""How a verbalizer is written in a recipe."""


@tasks.register("prompted")
@dataclass(frozen=True, kw_only=True)
class Prompted(SingleSentence):
    """One text (or a pair), one label, by way of a sentence with a gap: the label whose words a masked language model expects there.

    The head is the one that was pre-trained, so it can do something without any training, and with a few dozen labels often more than a new one,
    for labels get their meaning from their words.

    A word of k tokens is scored in a gap of k [MASK]s by `log p(first token) + … + log p(last token)`, all of them from one reading of the text;
    words of as many tokens share that reading. A label's score is the mean over its words, and labels are compared by the softmax of their scores,
    in training too. For words of one token that is what PET and LM-BFF compute.

    Needs:
        `text`, `label`; and `text_pair` where the template has it. A model with a trained head for hidden tokens (`mlm`).

    Use when:
        You have no labels, or some dozens. From some hundreds on, `single` and `pair` are as good and need no template.

    Reference:
        Schick & Schütze 2021, "Exploiting Cloze Questions" (PET), and "It's Not Just Size That Matters", for words of several tokens; Gao et al.
        2021, "Making Pre-trained Language Models Better Few-shot Learners" (LM-BFF). We differ from PET in words of several tokens: it fills the
        gap token by token when it predicts and at once, in a gap as wide as the longest word, when it trains; here both are done at once, in a gap
        that fits. The template that stands in for a missing one is the null prompt of Logan et al. 2022.

    Args:
        template: The sentence, with `{text}`, `{text_pair}` and one `[MASK]`. A space before `[MASK]` belongs to the label word, as RoBERTa's
            vocabulary has it: `It was [MASK].` asks for " great", `([MASK])` for "great". Texts that are too long are cut, the template never is.
        verbalizer: Labels with their words, a word or a list of them. Without it, labels are their own words.
        scoring: "joint", as above; or "mean", which divides by the number of tokens, so that long words are not at a disadvantage.
        calibrate: Take off every word's score what it gets where the texts are empty: how common the word is in that place anyway (Zhao et al. 2021,
            Holtzman et al. 2021). Without training that often decides between a guess and an answer; training learns it by itself. Costs as many
            readings again, of the bare template.
        untrained_head: Train even where the model comes without a head for hidden tokens. It begins with random weights and has to be learned from
            the labels, which a few dozen are not enough for.

    Example:
        >>> task = Prompted(template="{text} It was [MASK].", verbalizer={"positive": ("great", "good"), "negative": "bad"})
        >>> task.labels, task.words["negative"]
        (('positive', 'negative'), ('bad',))
    """

    name: ClassVar = "prompted"
    problem_type: ClassVar = ""
    optional_columns: ClassVar = ("text_pair",)

    template: str = "{text} [MASK]"
    verbalizer: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict[str, str | tuple[str, ...]])
    scoring: Literal["joint", "mean"] = "joint"
    calibrate: bool = False
    untrained_head: bool = False

    def __post_init__(self) -> None:
        problems = list(wrong_words(_listed(self.verbalizer), self.labels or self.verbalizer)) if self.verbalizer else []
        try:
            Template.parse(self.template)
        except ValueError as error:
            problems.insert(0, str(error))
        if problems:
            raise ValueError("; ".join(problems))
        object.__setattr__(self, "labels", self.labels or tuple(self.verbalizer))
        super().__post_init__()

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """The words of every label, in the order of the labels."""
        given = _listed(self.verbalizer)
        return {label: given.get(label, (label,)) for label in self.labels}

    @property
    def num_scores(self) -> int:
        """Label words."""
        return sum(map(len, self.words.values()))

    def heads(self) -> Mapping[str, HeadRequest]:
        """The family's vocabulary head, which has to come with the model."""
        return {"mlm": HeadRequest(pretrained=not self.untrained_head)}

    @property
    def reads(self) -> tuple[str, ...]:
        """What the template takes."""
        return Template.parse(self.template).fields

    def as_read(self, row: Mapping[str, str], tokenizer: Tokenizer) -> tuple[str, str | None]:
        """The filled template."""
        return Template.parse(self.template).filled(row, tokenizer.token(tokenizer.role_ids["mask_token"]))[0], None

    def passed_over(self, row: Example) -> str:
        """A second text for which the template has no place."""
        reason = super().passed_over(row)
        return reason and f"{reason}: its template has no {{text_pair}}"

    def needed(self) -> tuple[str, ...]:
        """What the template takes."""
        return self.reads

    def check(self, tokenizer: Tokenizer) -> None:
        """Whether every label has words, which the vocabulary can write and tell apart, and the template leaves room for the texts.

        Raises:
            RecipeError: Lists what is wrong.
        """
        if not self.labels:
            raise RecipeError(f"the task {self.name!r} has no labels; give a verbalizer: {EXAMPLE}")
        longest = max(map(len, self._spelled(tokenizer)))
        check_room(Template.parse(self.template), tokenizer, self.max_length, longest)

    def encode(self, examples: Iterable[Example], tokenizer: Tokenizer, *, labelled: bool = True) -> Iterator[Features]:
        """The filled template once for every length of label words, laid end to end; how long each is, and where its gap begins."""
        self.check(tokenizer)
        yield from super().encode(examples, tokenizer, labelled=labelled)

    def collate(self, rows: Sequence[Features], generators: Sequence[np.random.Generator], tokenizer: Tokenizer) -> Batch:  # noqa: ARG002
        """A sequence for every length that label words have, the gaps, and the words' tokens; nothing is random."""
        words = [np.array(word) for word in self._spelled(tokenizer)]
        widths = sorted({len(word) for word in words})
        parts = [part for row in rows for part in np.split(row["input_ids"], np.cumsum(row["lengths"])[:-1])]
        inputs = padded_inputs([{"input_ids": part} for part in parts], tokenizer)
        begins = torch.from_numpy(np.concatenate([row["gaps"] for row in rows])).unsqueeze(1)
        ends = begins + torch.tensor(widths).repeat(len(parts) // len(widths)).unsqueeze(1)
        columns = torch.arange(inputs[0].shape[1])
        gaps = (columns >= begins) & (columns < ends)
        return Batch(*inputs, {**stacked_labels(rows), "gaps": gaps, "words": pad(words, IGNORED).expand(len(rows), -1, -1)}, {self.name: len(rows)})

    def outputs(self, model: Model, batch: Batch) -> Sequence[Tensor]:
        """The scores of every label word."""
        return list(self.word_scores(model, batch))

    def scores(self, model: Model, batch: Batch) -> Float[Tensor, "rows labels"]:
        """The mean score of every label's words."""
        return self._by_label(self.word_scores(model, batch))

    def label_scores(self, outcome: Outcome) -> Float[np.ndarray, "rows labels"]:
        """The same, of what the model has said already."""
        said = outcome.scores.reshape(len(outcome.outputs), self.num_scores)
        return self._by_label(torch.from_numpy(said)).numpy()

    def marked(self, outcome: Outcome) -> Marked:
        """The filled template, the label in its gap, and every word's share of what the words get there together."""
        [example], [said] = outcome.examples, self.decode(outcome)
        template = Template.parse(self.template)
        text, spans = template.filled({column: str(example[column]) for column in template.fields}, MASK)
        words = tuple(word for _, word in self._pairs)
        shares = torch.from_numpy(outcome.scores).softmax(1).numpy()
        return Marked(text, (Mark(*spans[MASK], said["label"], said["score"]),), words, np.array([spans[MASK]]), shares)

    def details(self, outcome: Outcome) -> list[dict[str, Any]]:
        """The word that fits best, which need not be one of the label's: a label's score is the mean over its words."""
        words = [word for _, word in self._pairs]
        return [{"likeliest word": words[number]} for number in self._likeliest(outcome)]

    def tables(self, outcome: Outcome) -> list[Table]:
        """How often every word fits best, and how often the label that is then said is right."""
        best, right = self._likeliest(outcome), self.correct(outcome)
        rows: list[dict[str, Value]] = []
        for number, (label, word) in enumerate(self._pairs):
            won = right[best == number]
            rows.append({"word": word, "of label": label, "times": len(won), "accuracy": float(won.mean()) if len(won) else None})
        about = "How often a word fits the gap best of all, and how many of those examples get the right label. A word that never does is of no use."
        return [Table("Which word wins", about, rows)]

    def word_scores(self, model: Model, batch: Batch) -> Float[Tensor, "rows words"]:
        """How much each label word is expected, label by label: the log probability of all its tokens, or their mean; calibrated or not."""
        words = batch.labels["words"][0]
        said: Tensor = model.heads["mlm"](model(batch, only=batch.labels["gaps"]).at(batch.labels["gaps"])).float()
        said = said.unflatten(0, (len(batch.labels["words"]), 1 + self.calibrate, -1))
        owners, places = _places(words)
        tokens = said[:, :, places, words[words != IGNORED]] - said.logsumexp(3)[:, :, places]
        scores = tokens.new_zeros(*tokens.shape[:2], len(words)).index_add(2, owners, tokens)
        if self.scoring == "mean":
            scores = scores / (words != IGNORED).sum(1)
        return scores[:, 0] - scores[:, 1] if self.calibrate else scores[:, 0]

    def _features(self, examples: Sequence[Example], tokenizer: Tokenizer) -> list[Features]:
        widths = sorted({len(word) for word in self._spelled(tokenizer)})
        template, longest = Template.parse(self.template), self.max_length - widths[-1] + 1
        texts = [{column: str(example[column]) for column in template.fields} for example in examples]
        blank = prompts(template, [dict.fromkeys(template.fields, "")] if self.calibrate else [], tokenizer, longest)
        found: list[Features] = []
        for prompt in prompts(template, texts, tokenizer, longest):
            sequences = [reading.with_gap(width) for reading in (prompt, *blank) for width in widths]
            found.append(
                {
                    "input_ids": np.concatenate(sequences),
                    "lengths": np.array([len(sequence) for sequence in sequences], np.int32),
                    "gaps": np.repeat(np.array([reading.mask for reading in (prompt, *blank)], np.int32), len(widths)),
                    "truncated": np.array([prompt.truncated], np.int32),
                }
            )
        return found

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        """Every word with its label, in the order of the scores."""
        return [(label, word) for label, words in self.words.items() for word in words]

    def _likeliest(self, outcome: Outcome) -> Int[np.ndarray, " examples"]:
        return outcome.scores.reshape(len(outcome.outputs), self.num_scores).argmax(1)

    def _by_label(self, scores: Float[Tensor, "rows words"]) -> Float[Tensor, "rows labels"]:
        parts = scores.split([len(words) for words in self.words.values()], 1)
        return torch.stack([part.mean(1) for part in parts], 1)

    def _spelled(self, tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
        return spelled(tuple(self.words.items()), Template.parse(self.template).before_mask, tokenizer)


def _listed(verbalizer: Mapping[str, str | Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """A verbalizer with a list of words for every label."""
    return {label: (words,) if isinstance(words, str) else tuple(words) for label, words in verbalizer.items()}


def _places(words: Int[Tensor, "words longest"]) -> tuple[Int[Tensor, " tokens"], Int[Tensor, " tokens"]]:
    """For every token of every word, the number of its word, and the number of its [MASK] among those of all gaps of an example.

    Gaps come in the order of their widths, and every width that words have has one.

    Example:
        >>> [found.tolist() for found in _places(torch.tensor([[7, 8], [9, IGNORED]]))]    # gaps: [MASK] and [MASK][MASK]
        [[0, 0, 1], [1, 2, 0]]
    """
    owners, within = (words != IGNORED).nonzero(as_tuple=True)
    sizes = (words != IGNORED).sum(1)
    widths, gap_of_word = sizes.unique(return_inverse=True)
    firsts = widths.cumsum(0) - widths
    return owners, firsts[gap_of_word][owners] + within
