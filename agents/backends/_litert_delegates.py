"""By what a TFLite interpreter runs a model: XNNPACK, the built-in kernels, another delegate."""

from __future__ import annotations

from typing import Any, Dict

from agents import wire
from agents.backends import UnsupportedError

# external: a delegate by its path, `options: {delegate: PATH}` in the profile; further options are
# the delegate's own. What it does not take goes to the built-in kernels.
XNNPACK, BARE, EXTERNAL = "xnnpack", "builtin", "external"
BUILTIN = "built-in kernels"
PROVIDERS = {XNNPACK: "XNNPACK delegate", BARE: BUILTIN, EXTERNAL: "external delegate"}
WHERE = "`runtimes: {LABEL: {options: {delegate: PATH}}}` in the profile of the device"


def delegation(module: Any, cell: wire.Cell) -> Dict[str, Any]:
    """Say by what an interpreter runs a model; raises UnsupportedError without the delegate."""
    given = dict(cell["options"])
    path = given.pop("delegate", None) if cell["target"] == EXTERNAL else None
    if given and path is None:
        raise UnsupportedError("the interpreter has no option {}".format(", ".join(given)))
    if cell["target"] == XNNPACK:  # by default
        return {}
    bare = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    if cell["target"] == BARE:
        return {"experimental_op_resolver_type": bare}
    if path is None:
        raise UnsupportedError("which delegate is to be loaded? " + WHERE)
    try:
        delegate = module.load_delegate(path, given)
    except (ValueError, OSError) as error:
        raise UnsupportedError(
            "{}; what brings it: its library, and {}".format(error, WHERE)
        ) from None
    return {"experimental_op_resolver_type": bare, "experimental_delegates": [delegate]}
