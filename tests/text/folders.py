"""Model folders with the tokenizer files of each family, as they are published, over small vocabularies made of real text."""

import io
import json
import shutil
from collections.abc import Callable, Iterable
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from bertsmith.text.vocabulary import train_vocabulary

PUBLISHED: dict[str, dict[str, Any]] = {
    "albert": {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "control_symbols": ["[CLS]", "[SEP]", "[MASK]"]},
    "xlm-roberta": {},
    "pegasus": {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
    "marian": {"eos_id": 0, "unk_id": 1, "bos_id": -1},
}
"""How the special pieces of each family's SentencePiece model are numbered."""

NAMES = {"albert": "spiece.model", "xlm-roberta": "sentencepiece.bpe.model", "pegasus": "spiece.model"}


@cache
def lines_of(data: Path) -> tuple[list[str], list[str]]:
    """Some thousand lines of real English and of real Chinese."""
    with (data / "corpora/cluecorpussmall_sample.txt").open(encoding="utf-8") as file:
        chinese = [line.strip() for line in islice(file, 1500)]
    with (data / "sst2/train.txt").open(encoding="utf-8") as file:
        english = [line.strip().partition(" ")[2] for line in islice(file, 1000)]
    pairs = [line.split("\t") for line in (data / "news_commentary_en_zh/sample.tsv").read_text(encoding="utf-8").splitlines()]
    return english + [pair[0] for pair in pairs], chinese + [pair[1] for pair in pairs]


def trained(lines: Iterable[str], size: int = 3500, **settings: Any) -> bytes:
    """A SentencePiece model."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=size, minloglevel=2, num_threads=1, **settings
    )
    return model.getvalue()


def handmade(pieces: Iterable[tuple[str, float, int]], algorithm: int = 1) -> bytes:
    """A SentencePiece model of given pieces: text, score and kind."""
    model = sentencepiece_model_pb2.ModelProto()
    for piece, score, kind in pieces:
        model.pieces.add(piece=piece, score=score, type=kind)
    model.trainer_spec.model_type = algorithm
    model.trainer_spec.unk_id = next((number for number, piece in enumerate(model.pieces) if piece.type == 2), 0)
    model.normalizer_spec.name = "identity"
    return model.SerializeToString()


@cache
def model_of(family: str, data: Path, algorithm: str = "unigram") -> bytes:
    """A SentencePiece model of English and Chinese as the family has it."""
    english, chinese = lines_of(data)
    return trained([*english[::2], *chinese[::2]], model_type=algorithm, **PUBLISHED[family])


@cache
def marian_of(data: Path, algorithm: str = "unigram") -> tuple[bytes, bytes, dict[str, int]]:
    """An English and a Chinese SentencePiece model, and the vocabulary of both, which has neither the order nor quite all pieces of either."""
    settings = {**PUBLISHED["marian"], "model_type": algorithm}
    english, chinese = (trained(lines[::2], size, **settings) for lines, size in zip(lines_of(data), (1500, 3500), strict=True))
    processors = [sentencepiece.SentencePieceProcessor(model_proto=model) for model in (english, chinese)]
    pieces = {processor.id_to_piece(number) for processor in processors for number in range(2, processor.get_piece_size())}
    ordered = ["</s>", "<unk>", *sorted(pieces, reverse=True)[5:], ">>zho<<", "<pad>"]
    return english, chinese, {piece: number for number, piece in enumerate(ordered)}


def put(folder: Path, model_type: str | None, files: dict[str, Any]) -> Path:
    """Write a folder: bytes and text as they are, anything else as JSON."""
    folder.mkdir(exist_ok=True)
    if model_type:
        files = {"config.json": {"model_type": model_type}, **files}
    for name, content in files.items():
        if isinstance(content, Path):
            shutil.copyfile(content, folder / name)
        else:
            text = content if isinstance(content, str | bytes) else json.dumps(content)
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def sentencepiece_folder(family: str, **settings: Any) -> Callable[[Path, Path], Path]:
    """ALBERT, XLM-R or PEGASUS."""

    def build(folder: Path, data: Path) -> Path:
        config = {"tokenizer_config.json": settings} if settings else {}
        return put(folder, family, {NAMES[family]: model_of(family, data), **config})

    return build


def marian_folder(folder: Path, data: Path) -> Path:
    """Marian."""
    english, chinese, ids = marian_of(data)
    settings = {"source_lang": "en", "target_lang": "zh", "model_max_length": 512}
    return put(folder, "marian", {"source.spm": english, "target.spm": chinese, "vocab.json": ids, "tokenizer_config.json": settings})


def gpt2_folder(folder: Path, data: Path) -> Path:
    """GPT-2, whose vocabulary has no special token but the end of text, and whose merges are RoBERTa's."""
    tokens = (data / "vocab/huggingface_gpt2_vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    kept = [token for token in tokens if token not in {"<s>", "<pad>", "</s>", "<unk>", "<mask>"}]
    ids = {token: number for number, token in enumerate([*(token for token in kept if token != "<|endoftext|>"), "<|endoftext|>"])}
    return put(folder, "gpt2", {"vocab.json": ids, "merges.txt": data / "vocab/huggingface_gpt2_merges.txt"})


def bart_folder(folder: Path, data: Path) -> Path:
    """English BART."""
    tokens = (data / "vocab/huggingface_gpt2_vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    ids = {token: number for number, token in enumerate(tokens)}
    return put(folder, "bart", {"vocab.json": ids, "merges.txt": data / "vocab/huggingface_gpt2_merges.txt"})


def chinese_bart_folder(folder: Path, data: Path) -> Path:
    """BART and CPT of Fudan: BERT's vocabulary under BART's model type."""
    config = {"model_type": "bart", "tokenizer_class": "BertTokenizer"}
    return put(folder, None, {"config.json": config, "vocab.txt": data / "vocab/google_zh_vocab.txt"})


def splinter_folder(folder: Path, data: Path) -> Path:
    """Splinter: BERT's cased vocabulary with a token for questions in the place of an unused one."""
    text = (data / "vocab/google_cased_en_vocab.txt").read_text(encoding="utf-8").replace("[unused1]\n", "[QUESTION]\n", 1)
    return put(folder, "splinter", {"vocab.txt": text, "tokenizer_config.json": {"do_lower_case": False}})


def small_bert_folder(folder: Path, model_type: str = "bert", **settings: Any) -> Path:
    """BERT over a vocabulary of a few characters."""
    tokens = train_vocabulary(["我爱北京 we love it", "我爱北京 we love it"], 60)
    return put(folder, model_type, {"vocab.txt": "\n".join(tokens), "tokenizer_config.json": settings})
