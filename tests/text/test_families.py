"""Every family's tokenizer from the files that it is published with: ids, segments and offsets are those of transformers on thousands of lines."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor
from transformers import AutoTokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from bertsmith.core.errors import CheckpointError, RecipeError
from bertsmith.core.types import Example
from bertsmith.objectives.mlm import MaskedLanguageModel
from bertsmith.text.tokenizer import Tokenizer
from tests.text import folders
from tests.text.test_tokenizer_parity import ODD_TEXTS

KINDS: dict[str, Callable[[Path, Path], Path]] = {
    "albert": folders.sentencepiece_folder("albert"),
    "albert-cased": folders.sentencepiece_folder("albert", do_lower_case=False, keep_accents=True),
    "xlm-roberta": folders.sentencepiece_folder("xlm-roberta"),
    "pegasus": folders.sentencepiece_folder("pegasus"),
    "gpt2": folders.gpt2_folder,
    "bart": folders.bart_folder,
    "chinese-bart": folders.chinese_bart_folder,
    "splinter": folders.splinter_folder,
}
NUMBERS = [("▁in", -1, 1), ("▁2008,", -1, 1), ("▁2008", -2, 1), (",", -2, 1), ("▁a,", -1, 1), ("▁a", -2, 1)]
WITHOUT_SEPARATOR = {"pegasus", "gpt2"}
ROLES = ("cls", "sep", "pad", "mask", "unk", "bos", "eos")


@pytest.fixture(scope="module", params=list(KINDS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    return KINDS[request.param](tmp_path_factory.mktemp("folders") / request.param, shared_data)


@pytest.fixture(scope="module")
def ours(folder: Path) -> Tokenizer:
    return Tokenizer.from_folder(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def texts(shared_data: Path) -> list[str]:
    english, chinese = folders.lines_of(shared_data)
    return english + chinese + ODD_TEXTS


def assert_equal(ours: Tokenizer, theirs: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None = None) -> None:
    expected = theirs(texts, pairs, return_offsets_mapping=True, return_token_type_ids=True)
    got = ours.encode_many(texts, pairs)
    assert [row.input_ids.tolist() for row in got] == expected["input_ids"]
    assert [row.token_type_ids.tolist() for row in got] == expected["token_type_ids"]
    assert [[tuple(span) for span in row.offsets.tolist()] for row in got] == expected["offset_mapping"]


def test_texts(ours: Tokenizer, theirs: PreTrainedTokenizerBase, texts: list[str]) -> None:
    assert len(texts) > 4000
    assert_equal(ours, theirs, texts)


def test_pairs(folder: Path, ours: Tokenizer, theirs: PreTrainedTokenizerBase, texts: list[str]) -> None:
    some = texts[::20]
    if folder.name in WITHOUT_SEPARATOR:
        with pytest.raises(RecipeError, match=r"two texts need a sep_token between them.*it has .*eos_token"):
            ours.encode("a", "b")
    else:
        assert_equal(ours, theirs, some, some[::-1])


def test_truncated(ours: Tokenizer, theirs: PreTrainedTokenizerBase, texts: list[str]) -> None:
    some = texts[::20]
    expected = theirs(some, truncation=True, max_length=12)["input_ids"]
    assert [row.input_ids.tolist() for row in ours.encode_many(some, max_length=12)] == expected


def test_special_tokens(folder: Path, ours: Tokenizer, theirs: PreTrainedTokenizerBase) -> None:
    assert ours.special_ids == set(theirs.all_special_ids)
    assert ours.vocabulary_size == len(theirs)
    for role in ROLES:
        assert ours.role_ids.get(f"{role}_token") == getattr(theirs, f"{role}_token_id"), role
    assert (ours.bos_id, ours.eos_id, ours.unknown_id) == (theirs.bos_token_id, theirs.eos_token_id, theirs.unk_token_id)
    assert ours.pad_id == (theirs.eos_token_id if folder.name == "gpt2" else theirs.pad_token_id)
    assert ours.num_segments == (2 if {"albert", "albert-cased", "chinese-bart", "splinter"} & {folder.name} else 1)
    assert ours.num_special(pair=False) == theirs.num_special_tokens_to_add(False)


def test_decode(ours: Tokenizer, theirs: PreTrainedTokenizerBase, texts: list[str]) -> None:
    for text in texts[::40]:
        ids = ours.encode(text).input_ids
        assert ours.decode(ids) == theirs.decode(ids.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert ours.decode(ids, skip_special=False) == theirs.decode(ids.tolist(), clean_up_tokenization_spaces=False)


def test_saved_folder_opens_in_transformers_and_here(folder: Path, ours: Tokenizer, texts: list[str], tmp_path: Path) -> None:
    ours.save(tmp_path)
    shutil.copyfile(folder / "config.json", tmp_path / "config.json")
    opened, again = AutoTokenizer.from_pretrained(tmp_path), Tokenizer.from_folder(tmp_path)
    for tokenizer in (ours, again):
        assert_equal(tokenizer, opened, texts[::5])
    assert again.role_ids == ours.role_ids
    assert again.special_ids == ours.special_ids == set(opened.all_special_ids)


def test_tokenizer_json_alone(ours: Tokenizer, theirs: PreTrainedTokenizerBase, texts: list[str], tmp_path: Path) -> None:
    theirs.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    alone = Tokenizer.from_folder(tmp_path)
    some = texts[::20]
    assert [row.input_ids.tolist() for row in alone.encode_many(some)] == [row.input_ids.tolist() for row in ours.encode_many(some)]
    assert alone.pad_id == ours.pad_id
    assert {role: alone.role_ids[role] for role in ("unk_token", "mask_token") if role in alone.role_ids}.items() <= {
        **ours.role_ids,
        "mask_token": ours.role_ids.get("mask_token"),
    }.items()


@pytest.mark.parametrize("kind", ["albert", "xlm-roberta", "pegasus", "bart", "gpt2"])
def test_offsets_and_decoding_lead_back_to_the_text(kind: str, shared_data: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_folder(KINDS[kind](tmp_path / kind, shared_data))
    english, chinese = folders.lines_of(shared_data)
    for text in [*english[:200], *(line for line in chinese[:400] if line.isascii() or kind in ("bart", "gpt2"))]:
        pieces = tokenizer.pieces(text)
        if tokenizer.unknown_id in pieces.input_ids or (kind == "albert" and not text.isascii()):
            continue
        expected = text.lower().replace("``", '"').replace("''", '"') if kind == "albert" else text
        assert tokenizer.decode(pieces.input_ids).strip() == expected.strip()
        if expected.isascii() and len(expected) == len(text):
            written = [tokenizer.token(number).strip("▁Ġ").lower() for number in pieces.input_ids]
            covered = [text[begin:end].strip().lower() for begin, end in pieces.offsets.tolist()]
            assert [cover for cover, word in zip(covered, written, strict=True) if word] == [word for word in written if word]


def test_what_gpt2_does_not_have(shared_data: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_folder(folders.gpt2_folder(tmp_path, shared_data))
    assert tokenizer.role_ids == dict.fromkeys(("unk_token", "bos_token", "eos_token"), tokenizer.id("<|endoftext|>"))
    assert tokenizer.encode("a").tokens == ["a"]
    for role in ("cls", "sep", "mask"):
        with pytest.raises(CheckpointError, match=rf"no {role}_token; it has unk_token <\|endoftext\|>, bos_token .*another family"):
            getattr(tokenizer, f"{role}_id")


def test_masking_needs_tokens_that_gpt2_does_not_have(shared_data: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_folder(folders.gpt2_folder(tmp_path, shared_data))
    with pytest.raises(CheckpointError, match=r"no cls_token; it has unk_token <\|endoftext\|>"):
        list(MaskedLanguageModel(unit="token").encode([Example({"text": "a"})], tokenizer))


def test_merges_instead_of_likelihoods(shared_data: Path, tmp_path: Path) -> None:
    model = folders.model_of("xlm-roberta", shared_data, "bpe")
    folder = folders.put(tmp_path / "bpe", "xlm-roberta", {"sentencepiece.bpe.model": model})
    lines = [line for part in folders.lines_of(shared_data) for line in part[:500]]
    expected = [[0, *(3 if number == 0 else number + 1 for number in row), 2] for row in SentencePieceProcessor(model_proto=model).encode(lines)]
    assert [row.input_ids.tolist() for row in Tokenizer.from_folder(folder).encode_many(lines)] == expected


def test_nothing_to_pad_with(tmp_path: Path) -> None:
    folders.small_bert_folder(tmp_path / "a")
    Tokenizer.from_folder(tmp_path / "a").save(tmp_path / "b")
    text = (tmp_path / "b/tokenizer.json").read_text(encoding="utf-8").replace("[PAD]", "[FILL]")
    tokenizer = Tokenizer.from_folder(folders.put(tmp_path / "c", None, {"tokenizer.json": text}))
    assert (tokenizer.bos_id, tokenizer.eos_id) == (None, None)
    with pytest.raises(CheckpointError, match=r"no pad_token; it has unk_token \[UNK\]"):
        _ = tokenizer.pad_id


def test_albert_keeps_numbers_and_commas_apart(tmp_path: Path) -> None:
    model = folders.handmade([("<pad>", 0, 3), ("<unk>", 0, 2), ("[CLS]", 0, 3), ("[SEP]", 0, 3), ("[MASK]", 0, 3), *NUMBERS])
    folder = folders.put(tmp_path / "albert", "albert", {"spiece.model": model})
    assert AutoTokenizer.from_pretrained(folder).tokenize("in 2008, a,") == ["▁in", "▁2008,", "▁a,"]
    assert Tokenizer.from_folder(folder).encode("in 2008, a,").tokens == ["[CLS]", "▁in", "▁2008", ",", "▁a,", "[SEP]"]


def test_what_follows_a_user_defined_piece_is_no_beginning(tmp_path: Path) -> None:
    pieces = [("<pad>", 0, 3), ("</s>", 0, 3), ("<unk>", 0, 2), ("<n>", 0, 4), ("▁a", -1, 1), ("b", -2, 1), ("▁", -3, 1)]
    model = folders.handmade(pieces)
    tokenizer = Tokenizer.from_folder(folders.put(tmp_path / "pegasus", "pegasus", {"spiece.model": model}))
    assert tokenizer.encode("a<n>b").tokens[:-1] == SentencePieceProcessor(model_proto=model).encode("a<n>b", out_type=str) == ["▁a", "<n>", "b"]


def test_pegasus_masks_stand_where_it_was_trained_with_them(shared_data: Path, tmp_path: Path) -> None:
    names = {"mask_token": "<mask_2>", "mask_token_sent": "<mask_1>"}
    tokenizer = Tokenizer.from_folder(folders.sentencepiece_folder("pegasus", **names)(tmp_path / "pegasus", shared_data))
    assert tokenizer.encode("<mask_1><mask_2><unk_2>").input_ids.tolist() == [2, 3, 4, 1]
    assert [tokenizer.id(token) for token in ("<pad>", "</s>", "<unk_2>", "<unk_102>", "<unk>")] == [0, 1, 4, 104, 105]
    assert (tokenizer.mask_id, tokenizer.role_ids["mask_token_sent"]) == (3, 2)


def test_a_published_chinese_model(shared_data: Path, tmp_path: Path) -> None:
    """Tencent's, of 100,000 pieces, whose special pieces are BERT's."""
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    model = (shared_data / "vocab/cluecorpussmall_spm.model").read_bytes()
    folder = folders.put(tmp_path / "albert", "albert", {"spiece.model": model, "tokenizer_config.json": names})
    ours, theirs = Tokenizer.from_folder(folder), AutoTokenizer.from_pretrained(folder)
    english, chinese = folders.lines_of(shared_data)
    assert_equal(ours, theirs, chinese + english[::4])
    assert (ours.pad_id, ours.unknown_id, ours.cls_id, ours.sep_id, ours.mask_id) == (0, 1, 2, 3, 4)


def test_bert_vocabularies_under_other_model_types(tmp_path: Path) -> None:
    for model_type in ("bart", "gpt2", "pegasus", "albert", "roberta", "cpt"):
        tokenizer = Tokenizer.from_folder(folders.small_bert_folder(tmp_path / model_type, model_type))
        assert tokenizer.encode("我爱", "北").tokens == ["[CLS]", "我", "爱", "[SEP]", "北", "[SEP]"]


def test_the_class_decides_before_the_model_type_and_this_before_the_name(shared_data: Path, tmp_path: Path) -> None:
    pegasus = folders.model_of("pegasus", shared_data)
    for number, (model_type, name, settings) in enumerate(
        [("albert", "other.model", {"tokenizer_class": "PegasusTokenizerFast"}), ("pegasus", "spiece.model", {}), ("pegasus", "other.model", {})]
    ):
        files = {name: pegasus, "tokenizer_config.json": settings}
        assert Tokenizer.from_folder(folders.put(tmp_path / str(number), model_type, files)).role_ids["mask_token_sent"] == 2
    for name, family in (("spiece.model", "albert"), ("sentencepiece.bpe.model", "xlm-roberta")):
        folder = folders.put(tmp_path / family, None, {name: folders.model_of(family, shared_data)})
        cls = {"albert": "[CLS]", "xlm-roberta": "<s>"}[family]
        assert Tokenizer.from_folder(folder).encode("a").tokens[0] == cls


def test_the_files_of_what_is_declared_are_chosen(shared_data: Path, tmp_path: Path) -> None:
    vocabulary = {"vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na"}
    albert = folders.put(tmp_path / "albert", "albert", {**vocabulary, "spiece.model": folders.model_of("albert", shared_data)})
    assert Tokenizer.from_folder(albert).unknown_id == Tokenizer.from_folder(albert).id("<unk>")
    bert = folders.put(tmp_path / "bert", "bert", {**vocabulary, "spiece.model": b""})
    assert Tokenizer.from_folder(bert).vocabulary_size == 6


def test_saved_settings_of_splinter(shared_data: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_folder(folders.splinter_folder(tmp_path / "splinter", shared_data))
    tokenizer.save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved/tokenizer_config.json").read_text())["question_token"] == "[QUESTION]"
    assert tokenizer.encode("Who", "He").tokens == ["[CLS]", "Who", "[QUESTION]", ".", "[SEP]", "He", "[SEP]"]
