"""Templates are filled and tokenised as a whole, only texts are cut, and label words are the tokens that they would be in the gap."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel

from bertsmith.core.errors import RecipeError
from bertsmith.text.prompts import MASK, ROOM, Template, check_room, prompts, spelled, wrong_words
from bertsmith.text.tokenizer import Tokenizer
from tests.text import folders

TOKENIZER = Tokenizer.from_tokens(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", "##s", "##b", "hs", *"很好不错差的是，。!", ",", "great"]
)


def tokens(template: str, longest: int = 64, tokenizer: Tokenizer = TOKENIZER, **texts: str) -> list[str]:
    [prompt] = prompts(Template.parse(template), [texts], tokenizer, longest)
    assert prompt.input_ids[prompt.mask] == tokenizer.mask_id
    return [tokenizer.token(number) for number in prompt.input_ids]


@pytest.fixture
def byte_level(tmp_path: Path) -> Tokenizer:
    """RoBERTa's, with "great" and " great" as one token each."""
    merges = ["g r", "gr e", "gre a", "grea t", "Ġ great", "Ġ b", "Ġb a", "Ġba d"]
    made = ["".join(merge.split()) for merge in merges]
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet()), *made]
    (tmp_path / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(vocabulary)}), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    return Tokenizer.from_folder(tmp_path)


class TestTemplate:
    def test_it_has_slots_and_words(self):
        template = Template.parse("{text_pair}？[MASK]，{text}")
        assert template.parts == (("text_pair", ""), ("", "？"), (MASK, ""), ("", "，"), ("text", ""))
        assert template.fields == ("text", "text_pair")

    def test_braces_that_stand_for_themselves_are_written_twice(self):
        assert Template.parse("{{{text}}} [MASK]").filled({"text": "a"}, "_")[0] == "{a} _"

    def test_braces_and_masks_in_a_text_are_text(self):
        whole, spans = Template.parse("{text}[MASK]").filled({"text": "{text_pair}[MASK]"}, "<mask>")
        assert (whole, spans[MASK]) == ("{text_pair}[MASK]<mask>", (17, 23))

    @pytest.mark.parametrize(
        ("template", "wrong"),
        [
            ("{text}", ["it has no [MASK], the place of the label word; write it so, whatever the model's own token is called"]),
            ("[MASK]", ["it has no {text}"]),
            ("", ["it has no [MASK]", "it has no {text}"]),
            ("{text} <mask>", ["it has no [MASK]"]),
            ("{text} [MASK] [MASK]", ["it has 2 [MASK]; write one, which becomes as many as a label word has tokens"]),
            ("{text} {text} [MASK]", ["it has {text} 2 times; once is allowed"]),
            ("{txt} [MASK]", ["it has no {text}", "it has {txt}, which is no field (did you mean 'text'?); fields: {text}, {text_pair}"]),
            ("{text} {} [MASK]", ["a pair of braces holds the name of a field and nothing else"]),
            ("{text} {title} {label}", ["it has no [MASK]", "it has {title}, which", "it has {label}, which"]),
            ("{text [MASK]", ["template is '{text [MASK]'", "write {{ or }} for a brace that stands for itself"]),
            ("text} [MASK]", ["write {{ or }} for a brace"]),
            ("{text:>3} [MASK]", ["a pair of braces holds the name of a field and nothing else"]),
            ("{text!r} [MASK]", ["a pair of braces holds the name of a field and nothing else"]),
        ],
    )
    def test_everything_that_is_wrong_is_said_at_once(self, template: str, wrong: list[str]):
        with pytest.raises(ValueError, match="template is ") as caught:
            Template.parse(template)
        assert [part for part in wrong if part not in str(caught.value)] == []
        assert str(caught.value).count("it has") == sum(part.count("it has") for part in wrong)

    @given(st.text(), st.text())
    def test_any_texts_stand_where_they_are_said_to(self, text: str, text_pair: str):
        texts = {"text": text, "text_pair": text_pair}
        whole, spans = Template.parse("a{text}b[MASK]c{text_pair}").filled(texts, "M")
        assert whole == f"a{text}bMc{text_pair}"
        assert {slot: whole[begin:end] for slot, (begin, end) in spans.items()} == {**texts, MASK: "M"}


class TestPrompts:
    def test_a_template_is_tokenised_as_one_text(self):
        assert tokens("{text}是[MASK]的。", text="a b") == ["[CLS]", "a", "b", "是", "[MASK]", "的", "。", "[SEP]"]

    def test_a_mask_of_the_text_is_not_the_gap(self):
        [prompt] = prompts(Template.parse("{text}是[MASK]"), [{"text": "a[MASK]b[MASK]"}], TOKENIZER, 64)
        assert prompt.mask == 6

    def test_a_gap_can_be_wider(self):
        [prompt] = prompts(Template.parse("{text}[MASK]。"), [{"text": "a"}], TOKENIZER, 64)
        assert [TOKENIZER.token(number) for number in prompt.with_gap(3)] == ["[CLS]", "a", "[MASK]", "[MASK]", "[MASK]", "。", "[SEP]"]
        assert prompt.with_gap(1).tolist() == prompt.input_ids.tolist()

    @pytest.mark.parametrize("gap", [1, 2, 4])
    def test_a_wider_gap_is_what_tokenising_several_masks_gives(self, byte_level: Tokenizer, gap: int):
        for tokenizer in (TOKENIZER, byte_level):
            [prompt] = prompts(Template.parse("{text} is [MASK]."), [{"text": "a b"}], tokenizer, 64)
            expected = tokenizer.encode(f"a b is {gap * tokenizer.token(tokenizer.mask_id)}.").input_ids
            assert prompt.with_gap(gap).tolist() == expected.tolist()

    def test_only_the_text_is_cut_and_what_was_cut_is_counted(self):
        [prompt] = prompts(Template.parse("a b {text}是[MASK]的"), [{"text": "c d e f g h"}], TOKENIZER, 10)
        assert [TOKENIZER.token(number) for number in prompt.input_ids] == ["[CLS]", "a", "b", "c", "d", "e", "是", "[MASK]", "的", "[SEP]"]
        assert prompt.truncated == 3

    def test_a_gap_before_the_text_stays_too(self):
        assert tokens("[MASK]的{text}", 6, text="a b c d") == ["[CLS]", "[MASK]", "的", "a", "b", "[SEP]"]

    def test_of_two_texts_the_longer_is_cut(self):
        assert tokens("{text}[MASK]{text_pair}。", 9, text="a b c d e", text_pair="f g") == [*"[CLS] a b c [MASK] f g 。 [SEP]".split()]
        assert tokens("{text_pair}[MASK]{text}。", 9, text="a b c d e", text_pair="f g") == [*"[CLS] f g [MASK] a b c 。 [SEP]".split()]

    def test_a_token_of_both_text_and_template_belongs_to_the_template(self):
        assert tokens("{text}s [MASK]", 6, text="b b b h") == ["[CLS]", "b", "b", "hs", "[MASK]", "[SEP]"]

    def test_an_empty_text_is_one(self):
        assert tokens("{text}是[MASK]", text="") == ["[CLS]", "是", "[MASK]", "[SEP]"]

    @given(st.text(alphabet="ab 好x"), st.text(alphabet="cd 差!"), st.integers(6 + ROOM, 20))
    def test_whatever_the_texts_nothing_of_the_template_is_lost(self, text: str, text_pair: str, longest: int):
        template = Template.parse("。{text}。[MASK]，{text_pair}，")
        [prompt] = prompts(template, [{"text": text, "text_pair": text_pair}], TOKENIZER, longest)
        whole = TOKENIZER.encode(template.filled({"text": text, "text_pair": text_pair}, MASK)[0]).input_ids
        assert len(prompt.input_ids) == min(len(whole), longest) == len(whole) - prompt.truncated
        ids = iter(whole.tolist())
        assert all(number in ids for number in prompt.input_ids.tolist()), "in order"
        written = [TOKENIZER.token(number) for number in prompt.input_ids]
        assert (written.count("。"), written.count("，"), written.count("[MASK]")) == (2, 2, 1)

    def test_the_own_mask_of_a_vocabulary_is_used_and_a_space_before_it_is_the_words(self, byte_level: Tokenizer):
        assert tokens("{text} It was [MASK].", tokenizer=byte_level, text="bad")[-4:] == ["s", "<mask>", ".", "</s>"]

    @pytest.mark.parametrize("family", ["albert", "xlm-roberta"])
    def test_sentencepiece(self, family: str, shared_data: Path, tmp_path: Path):
        tokenizer = Tokenizer.from_folder(folders.sentencepiece_folder(family)(tmp_path / family, shared_data))
        template = Template.parse("{text} It was [MASK], {text_pair}")
        texts = {"text": "we watched this film in 2008, twice. " * 10, "text_pair": "这部电影非常好看。"}
        [whole] = prompts(template, [texts], tokenizer, 512)
        [cut] = prompts(template, [texts], tokenizer, 40)
        filled, _ = template.filled(texts, tokenizer.token(tokenizer.mask_id))
        assert whole.input_ids.tolist() == tokenizer.encode(filled).input_ids.tolist()
        assert (len(cut.input_ids), cut.truncated) == (40, len(whole.input_ids) - 40)
        assert cut.input_ids[cut.mask] == tokenizer.mask_id
        assert cut.input_ids[cut.mask - 2 :].tolist() == whole.input_ids[whole.mask - 2 :].tolist()


class TestRoom:
    def test_a_template_that_leaves_too_little_is_refused(self):
        template = Template.parse("a b c {text}是[MASK]的。")
        check_room(template, TOKENIZER, 9 + ROOM, 1)
        with pytest.raises(
            RecipeError, match="max_length is 16; template, label words and special tokens take 9 tokens, and the texts need at least 8"
        ) as error:
            check_room(template, TOKENIZER, 8 + ROOM, 1)
        assert "ask for at least 17, or for a shorter template" in str(error.value)
        with pytest.raises(RecipeError, match="take 11 tokens"):
            check_room(template, TOKENIZER, 9 + ROOM, 3)


class TestWords:
    def written(self, *words: str, before: str = "", tokenizer: Tokenizer = TOKENIZER) -> list[list[str]]:
        return [[tokenizer.token(number) for number in ids] for ids in spelled((("label", words),), before, tokenizer)]

    def test_words_of_several_characters_are_several_tokens(self):
        assert self.written("好", "不错", "abs") == [["好"], ["不", "错"], ["a", "##b", "##s"]]

    @pytest.mark.parametrize(
        ("template", "token"),
        [("{text} It was [MASK].", "Ġgreat"), ("{text} ([MASK])", "great"), ("[MASK]: {text}", "great"), ("{text}[MASK]", "great")],
    )
    def test_a_space_before_the_gap_belongs_to_the_word(self, byte_level: Tokenizer, template: str, token: str):
        assert self.written("great", before=Template.parse(template).before_mask, tokenizer=byte_level) == [[token]]

    def test_the_word_in_the_gap_is_what_the_whole_text_would_have_there(self, byte_level: Tokenizer):
        template = Template.parse("{text} It was [MASK].")
        whole = [byte_level.token(number) for number in byte_level.encode("bad It was great.").input_ids]
        assert whole[-3:-2] == self.written("great", before=template.before_mask, tokenizer=byte_level)[0]

    def test_wordpiece_knows_no_space(self):
        for before in ("", ",", ", "):
            assert self.written("great", "好", before=before) == [["great"], ["好"]]

    def test_sentencepiece_in_chinese_has_no_space_unless_the_template_has(self, shared_data: Path, tmp_path: Path):
        tokenizer = Tokenizer.from_folder(folders.sentencepiece_folder("xlm-roberta")(tmp_path / "x", shared_data))
        for template, space in (("{text}，[MASK]。", False), ("{text} It was [MASK].", True)):
            [first, *_] = self.written("的" if not space else "the", before=Template.parse(template).before_mask, tokenizer=tokenizer)[0]
            assert first.startswith("▁") == space

    def test_every_word_that_cannot_be_used_is_listed(self):
        words = (("good", ("很好", "甲", "Great", "\u200b")), ("bad", ("差", "great", "不乙", "不[MASK]")))
        with pytest.raises(RecipeError, match="5 label words cannot be used with this model's vocabulary; choose others") as caught:
            spelled(words, "", TOKENIZER)
        assert caught.value.problems == (
            "'甲' of the label 'good' has something in it that the vocabulary cannot write ([UNK])",
            "'\\u200b' of the label 'good' is nothing that the vocabulary writes",
            "'great' of the label 'bad' is written as 'Great' of the label 'good' is: great",
            "'不乙' of the label 'bad' has something in it that the vocabulary cannot write (不 [UNK])",
            "'不[MASK]' of the label 'bad' has [MASK] in it, which is no word but a sign of the model's own",
        )


@pytest.mark.parametrize(
    ("verbalizer", "labels", "wrong"),
    [
        ({"a": ("好",), "b": ("差",)}, ["a", "b"], []),
        ({"a": ("好",)}, ["a", "b"], ["verbalizer has no words for the label 'b'"]),
        (
            {"good": ("好",), "baad": ("差",)},
            ["bad", "good"],
            ["no words for the label 'bad' (did you mean 'baad'?)", "words for 'baad', which is not one"],
        ),
        ({"a": (), "b": ("差",)}, ["a", "b"], ["verbalizer gives no words to 'a'; give it at least one"]),
        ({"a": ("",), "b": ("差 ",)}, ["a", "b"], ["verbalizer gives '' to 'a'", "verbalizer gives '差 ' to 'b'"]),
        ({"a": ("好",), "b": ("差", "好")}, ["a", "b"], ["verbalizer gives the word '好' to 'a' and to 'b'; a word belongs to one label"]),
    ],
)
def test_words_that_are_wrong_whatever_the_vocabulary(verbalizer: dict[str, tuple[str, ...]], labels: list[str], wrong: list[str]):
    found = list(wrong_words(verbalizer, labels))
    assert len(found) == len(wrong)
    assert all(part in message for part, message in zip(wrong, found, strict=True))
