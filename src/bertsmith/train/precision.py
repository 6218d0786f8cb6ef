"""Which numbers to compute with: what the machine has instructions for."""

from contextlib import AbstractContextManager

import torch


def resolve(precision: str, device: torch.device) -> str:
    """What "auto" stands for: bfloat16 only where the processor multiplies in it; elsewhere it is several times slower than float32."""
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16(device) else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 matrix instructions."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    capabilities = torch.backends.cpu.get_cpu_capability(), *_flags()
    return any("bf16" in flag.lower() for flag in capabilities)


def _flags() -> list[str]:
    checks = {"avx512_bf16": "_is_avx512_bf16_supported", "amx_bf16": "_is_amx_tile_supported"}
    return [flag for flag, check in checks.items() if getattr(torch.cpu, check, bool)()]


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Compute matrix products in `precision` ("float32" or "bfloat16"); the weights stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
