"""What the sides of the inference race share: one model in every engine's form, and the same texts as token ids.

python -m benchmarks.inference_models     requests on standard input
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.racing import answer_requests


def make(*, place: str, size: str, minilm: str, texts: dict[str, list[str]], limits: dict[str, int], counts: dict[str, int]) -> dict[str, Any]:
    """Write the model in every engine's form, and the texts.

    Args:
        place: An empty folder.
        size: "minilm" for the genuine weights, "base" for the shape of BERT-base with random weights.
        minilm: Folder of the genuine weights.
        texts: Sets of texts by name.
        limits: Tokens of the longest text of each set; longer ones are left out, so that nobody has to truncate.
        counts: Texts to keep of each set.
    """
    from bertsmith.models.bert import Bert
    from bertsmith.models.loading import create, load, save

    folder = Path(place)
    checkpoint = load(minilm, heads={})
    if size == "minilm":
        (folder / "model").symlink_to(minilm, target_is_directory=True)
    else:
        checkpoint = create("bert", checkpoint.tokenizer, {}, seed=1)
        save(checkpoint, folder / "model")
        config = json.loads((folder / "model" / "config.json").read_text(encoding="utf-8"))
        config["position_embedding_type"] = "absolute"  # the default, which CTranslate2 wants to be told
        (folder / "model" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    sets = {
        name: _within(limits[name], counts[name], some, [one.input_ids for one in checkpoint.tokenizer.encode_many(some)])
        for name, some in texts.items()
    }
    sets["check"] = sets["short"][:64]
    sets["one"] = [min(sets["short"], key=lambda pair: abs(len(pair[1]) - 32))]
    (folder / "texts.json").write_text(json.dumps({name: [text for text, _ in pairs] for name, pairs in sets.items()}), encoding="utf-8")
    lengths = {name: [len(ids) for _, ids in pairs] for name, pairs in sets.items()}
    ends = {f"{name}_ends": np.cumsum(some) for name, some in lengths.items()}
    np.savez(folder / "tokens.npz", **{name: np.concatenate([ids for _, ids in pairs]) for name, pairs in sets.items()}, **ends)
    family = checkpoint.model.family
    assert isinstance(family, Bert), "both models are"
    hidden, inner = family.hidden_size, family.intermediate_size
    return {
        "missing": {name: why for name, export in EXPORTS.items() if (why := export(folder, family.num_attention_heads, hidden))},
        "layers": family.num_hidden_layers,
        "hidden": hidden,
        "shapes": [(hidden, 3 * hidden), (hidden, hidden), (hidden, inner), (inner, hidden)],
        "lengths": lengths,
    }


def _within(limit: int, count: int, texts: list[str], ids: list[np.ndarray]) -> list[tuple[str, np.ndarray]]:
    kept = [(text, row) for text, row in zip(texts, ids, strict=True) if len(row) <= limit]
    assert len(kept) >= count, "there is too little text within the limit"
    return kept[:count]


def _export_onnx(folder: Path, heads: int, hidden: int) -> str | None:
    try:
        import onnxruntime.transformers.optimizer as fusing
    except ImportError as error:
        return str(error)
    import torch

    model, example = _for_export(folder, "eager")
    names = ["input_ids", "attention_mask"]
    axes = {name: {0: "batch", 1: "length"} for name in (*names, "states")}
    # The older exporter: the patterns of the newer one are not among those that the optimiser fuses into its attention kernel.
    torch.onnx.export(model, example, str(folder / "plain.onnx"), input_names=names, output_names=["states"], dynamic_axes=axes, dynamo=False)
    fused = fusing.optimize_model(str(folder / "plain.onnx"), model_type="bert", num_heads=heads, hidden_size=hidden, opt_level=0)
    assert fused.get_fused_operator_statistics()["Attention"], "attention was not fused, which would not be this engine at its best"
    fused.save_model_to_file(str(folder / "optimised.onnx"))
    return None


def _export_openvino(folder: Path, _: int, __: int) -> str | None:
    try:
        import openvino as ov
    except ImportError as error:
        return str(error)
    model, (ids, mask) = _for_export(folder, "sdpa")
    ov.save_model(ov.convert_model(model, example_input={"input_ids": ids, "attention_mask": mask}), folder / "model.xml", compress_to_fp16=False)
    return None


def _export_ctranslate2(folder: Path, _: int, __: int) -> str | None:
    try:
        from ctranslate2.converters import TransformersConverter
    except ImportError as error:
        return str(error)
    TransformersConverter(str(folder / "model")).convert(str(folder / "ctranslate2"))
    return None


EXPORTS = {"ONNX Runtime": _export_onnx, "OpenVINO": _export_openvino, "CTranslate2": _export_ctranslate2}


def _for_export(folder: Path, attention: str) -> tuple[Any, tuple[Any, Any]]:
    import torch
    from transformers import AutoModel

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(folder / "model", attn_implementation=attention).eval()

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    ids = torch.randint(5, 1000, (2, 16))
    return States().eval(), (ids, torch.ones_like(ids))


if __name__ == "__main__":
    answer_requests({"make": make})
