"""The sides of the race of loading: each is a fresh process that opens a model, embeds one sentence, and says how it went in one line of JSON."""

import json
import os
import resource
import sys
import time

STARTED = time.perf_counter()

SENTENCE = "The hotel is ten minutes from the station, and breakfast is served from seven."


def main() -> None:
    """Run the side that is named on the command line."""
    side, folder = sys.argv[1:]
    marks = {"start": mark()}
    vector = SIDES[side](folder, marks)
    marks["first embedding"] = mark()
    print(json.dumps({"marks": marks, "vector": vector}), flush=True)
    os._exit(0)  # what is torn down afterwards is nobody's time


def mark() -> dict[str, float]:
    """Seconds since the beginning, and the most memory so far, in bytes."""
    return {"seconds": time.perf_counter() - STARTED, "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def with_bertsmith(folder: str, marks: dict[str, dict[str, float]]) -> list[float]:
    """As anyone would write it."""
    import bertsmith

    load, engine = bertsmith.load, bertsmith.Engine
    marks["imported"] = mark()
    checkpoint = load(folder, heads={})
    marks["loaded"] = mark()
    return engine(checkpoint, precision="float32").embed([SENTENCE])[0].tolist()


def with_transformers(folder: str, marks: dict[str, dict[str, float]]) -> list[float]:
    """As the model's page has it: tokenizer, model, mean of the states."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    marks["imported"] = mark()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    marks["loaded"] = mark()
    with torch.inference_mode():
        inputs = tokenizer([SENTENCE], return_tensors="pt")
        states, real = model(**inputs).last_hidden_state, inputs["attention_mask"].unsqueeze(2)
        return torch.nn.functional.normalize((states * real).sum(1) / real.sum(1))[0].tolist()


def with_torch(_: str, marks: dict[str, dict[str, float]]) -> list[float]:
    """What all sides have to do before they can begin."""
    import torch

    marks["imported"] = marks["loaded"] = mark()
    return torch.zeros(0).tolist()


SIDES = {"bertsmith": with_bertsmith, "transformers": with_transformers, "import torch": with_torch}

if __name__ == "__main__":
    main()
