"""Compression with the training code: what is taken away is trained back before the next step.

Each method is a list of steps for `harness.training.loop.run`. Needs torch, the extra `author`.
"""

from harness.errors import InputError

try:
    import torch as _torch  # noqa: F401  # only to learn whether it is there
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise InputError(
        "compression with the training code needs torch, which is not installed",
        where="harness.training",
        next_step="pip install 'edgeproof[author]'",
    ) from None
