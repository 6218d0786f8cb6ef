"""Which numbers to compute with: what the machine is fast in, found out and not assumed.

bfloat16 halves the memory and, where the processor multiplies in it, more than halves the time. Where it does not, products are emulated: on AVX2 at
a ninth of the rate of float32.
"""

from contextlib import AbstractContextManager

import torch

from bertsmith.core.errors import RecipeError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CPU_QUESTIONS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
"""Functions of `torch.cpu`; there are no public ones."""


def resolve(precision: str, device: torch.device) -> str:
    """The name of the numbers to compute with; "auto" is bfloat16 where the device has instructions for it, float32 elsewhere.

    Raises:
        RecipeError: The name is not "auto", "float32" or "bfloat16".

    Example:
        >>> resolve("float32", torch.device("cpu"))
        'float32'
    """
    if precision == "auto":
        return "bfloat16" if multiplies_bfloat16(device) else "float32"
    if precision not in PRECISIONS:
        raise RecipeError(f"precision is {precision!r}; allowed: 'auto', {', '.join(map(repr, PRECISIONS))}")
    return precision


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has matrix instructions for bfloat16: AVX-512 BF16 or AMX on a CPU, tensor cores from Ampere on."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and any(getattr(torch.cpu, question, bool)() for question in CPU_QUESTIONS)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Compute matrix products in `precision` ("float32" or "bfloat16"); the weights stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
