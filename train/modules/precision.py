"""What stays in float32 where autocast has the products computed in half precision."""

import torch

__all__ = ["widened"]


def widened(x: torch.Tensor) -> torch.Tensor:
    """Return ``x``, in float32 where autocast has left it in half precision: what adds up over time wants more digits."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
