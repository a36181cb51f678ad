"""Run a TFLite model on samples, with every tensor in reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.formats import Port
from harness.variants.network import Array, Feeds, Graph
from harness.variants.networks import feeding
from harness.variants.networks.tflite_file import DTYPES, pack
from harness.variants.networks.tflite_model import Model, numbers
from harness.variants.outputs import explained


def values(
    model: Model, graph: Graph, tensors: Sequence[str], feeds: Feeds, path: Path
) -> Iterator[dict[str, Array]]:
    """Yield the tensors of each sample, batch 1 first; a fixed batch is filled with copies.

    Raises InputError for samples that do not fit the inputs, and if LiteRT refuses the model.
    """
    ports = [_port(model, index) for index in model.inputs]
    batch = feeding.batch(ports)
    flattened = {node.outputs[0]: node for node in graph.nodes if node.kind == "reshape"}
    with explained(path):
        interpreter = _interpreter(pack(model.file))
        for fed in feeding.one_by_one(ports, feeds, str(path)):
            _run(interpreter, model.inputs, fed)
            found = {}
            for name in tensors:
                if name in model.index:
                    array = interpreter.get_tensor(model.index[name])
                else:  # what a fully connected layer makes of its data by itself
                    node = flattened[name]
                    array = interpreter.get_tensor(model.index[node.inputs[0]])
                    array = array.reshape(-1, graph.shapes[name][1])
                found[name] = feeding.first(array, batch)
            yield found


def _port(model: Model, index: int) -> Port:
    tensor = model.tensors[index]
    signature = numbers(tensor.shapeSignature)
    sizes = signature if len(signature) else numbers(tensor.shape)
    shape = tuple(int(size) if size >= 0 else None for size in sizes)
    return Port(model.names[index], DTYPES[tensor.type].name, shape)


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # XNNPACK would fuse tensors away, and threads would sum in an order that varies.
    return Interpreter(
        model_content=content,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )


def _run(interpreter: Any, inputs: Sequence[int], fed: Sequence[Array]) -> None:
    for index, array in zip(inputs, fed, strict=True):
        interpreter.resize_tensor_input(index, array.shape)
    interpreter.allocate_tensors()
    for index, array in zip(inputs, fed, strict=True):
        interpreter.set_tensor(index, array)
    interpreter.invoke()
