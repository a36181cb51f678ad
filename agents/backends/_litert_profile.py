"""LiteRT's own profile: what each operator takes, by which kernel, through its C API.

The interpreter offers no profiler; the compiled model of the same release does, which is another
library, libLiteRt.so, with the same delegate and kernels inside. It runs in a process of its own,
which a library that crashes takes no evaluation with: `python -m agents.backends._litert_profile`.
The calls are those of litert/c/litert_{compiled_model,model,options,profiler,tensor_buffer}.h.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import json
import os
import subprocess
import sys
from math import prod
from typing import Any, Dict, List, NamedTuple

from agents import proc

LIBRARY = "libLiteRt.so"
# Types of elements and their sizes, by numpy's names (litert_model_types.h).
TYPES = {
    "float32": (1, 4),
    "float16": (10, 2),
    "bool": (6, 1),
    "int8": (9, 1),
    "uint8": (3, 1),
    "int16": (7, 2),
    "int32": (2, 4),
    "int64": (4, 8),
}
CPU, READ, WRITE = 1, 0, 1
# Kinds of events: an operator of the file, and one of a delegate's own (litert_profiler_event.h).
OPERATOR, INNER = 2, (4, 8)
SPARE = 0xA5  # written before, to see how much of it the library overwrites
SLOWEST = 4.0  # times as long as the interpreter took may an inference take here
START_S = 60.0
# What it may take beyond what this process has, and what the device is to keep.
BEYOND_KIB = 192 * 1024


class UnavailableError(Exception):
    """There is no profile; the message is the reason."""


class Event(NamedTuple):
    """One operator as it ran, of the file or within a delegate."""

    tag: str  # the operator's, or the kernel's name
    inner: bool
    at: int  # the operator's index in the file, or in what the delegate took together
    ns: int  # mean of the inferences


class Profile(NamedTuple):
    """The events of one inference in order, and sums (sha256) of the outputs by their names."""

    events: List[Event]
    outputs: Dict[str, str]


class Layout(ctypes.Structure):
    """LiteRtLayout: the lowest 7 bits of `bits` are the rank."""

    _fields_ = [
        ("bits", ctypes.c_uint),
        ("dimensions", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    ]


class Ranked(ctypes.Structure):
    """LiteRtRankedTensorType."""

    _fields_ = [("element", ctypes.c_int), ("layout", Layout)]


class Memory(ctypes.Structure):
    """LiteRtMemoryUsage."""

    _fields_ = [("bytes", ctypes.c_size_t * 3)]


class Told(ctypes.Structure):
    """ProfiledEventData."""

    _fields_ = [
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("before", Memory),
        ("after", Memory),
        ("at", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    ]


def profiled(package: str, request: Dict[str, Any], seconds: float) -> Profile:
    """Profile a model in a process of its own; raises UnavailableError.

    The request has `path`, `builtin` (without XNNPACK), `threads`, `runs`, and `inputs` and
    `outputs`, ports by name. An inference takes the interpreter so many seconds.
    """
    library = os.path.join(os.path.dirname(str(sys.modules[package].__file__)), LIBRARY)
    if not os.path.exists(library):
        raise UnavailableError("{} has no profiler".format(package.replace("_", "-")))
    if proc.free_kib() < proc.resident()["rss_kib"] + BEYOND_KIB:
        raise UnavailableError("too little memory is left to load the model once more")
    root = __file__
    for _ in __name__.split("."):
        root = os.path.dirname(root)
    paths = [root, os.environ.get("PYTHONPATH", "")]
    try:
        done = subprocess.run(
            [sys.executable, "-S", "-m", __name__],
            input=json.dumps({**request, "library": library}).encode("ascii"),
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            timeout=START_S + SLOWEST * seconds * (1 + request["runs"]),
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError("LiteRT's profiler took too long") from None
    if done.returncode:
        raise UnavailableError("LiteRT's profiler ended with {}".format(done.returncode))
    told = json.loads(done.stdout.decode("ascii"))
    if "error" in told:
        raise UnavailableError("LiteRT's profiler: " + told["error"])
    return Profile([Event(*event) for event in told["events"]], told["outputs"])


def port(array: Any, fed: bool) -> Dict[str, Any]:
    """Describe an input or output for a request; the values are told of those that are fed."""
    found = {"dtype": str(array.dtype), "shape": [int(size) for size in array.shape]}
    data = base64.b64encode(array.tobytes()).decode("ascii")
    return {**found, "data": data} if fed else found


def sha256(array: Any) -> str:
    """Sum of the bytes of an array, as a profile has it."""
    return hashlib.sha256(array.tobytes()).hexdigest()


class Library:
    """libLiteRt.so; a call that fails raises UnavailableError."""

    def __init__(self, path: str) -> None:
        self.library = ctypes.CDLL(path)

    def __call__(self, name: str, *arguments: Any) -> None:
        """Call a function that returns a status."""
        try:
            function = getattr(self.library, "LiteRt" + name)
        except AttributeError:
            raise UnavailableError("this release has no LiteRt{}".format(name)) from None
        status = function(*arguments)
        if status:
            raise UnavailableError("LiteRt{} returned {}".format(name, status))

    def made(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call a function whose last argument takes a new object."""
        found = ctypes.c_void_p()
        self(name, *arguments, ctypes.byref(found))
        return found


class Compiled:
    """A compiled model that profiles itself, fed and run; it lives as long as its process."""

    def __init__(self, request: Dict[str, Any]) -> None:
        self.call = call = Library(request["library"])
        self.environment = call.made("CreateEnvironment", 0, None)
        path = request["path"].encode()
        model = call.made("CreateModelFromFile", self.environment, path)
        options = call.made("CreateOptions")
        call("SetOptionsHardwareAccelerators", options, CPU)
        kernels = "builtin" if request["builtin"] else "delegate"
        own = 'kernel_mode = "{}"\nnum_threads = {}\n'.format(kernels, request["threads"])
        self.kept: List[Any] = []
        self.add(options, b"runtime_options_string", b"enable_profiling = true\n")
        self.add(options, b"xnnpack", own.encode())
        self.model = call.made("CreateCompiledModel", self.environment, model, options)
        self.signature = call.made("GetModelSignature", model, ctypes.c_size_t(0))
        self.inputs = self.buffers("Input", request["inputs"])
        self.outputs = self.buffers("Output", request["outputs"])

    def add(self, options: Any, name: bytes, text: bytes) -> None:
        """Add options in TOML, of which the library keeps no copy."""
        destroy = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
        payload = ctypes.create_string_buffer(text)
        self.kept += [destroy, payload]
        address = ctypes.cast(payload, ctypes.c_void_p)
        made = self.call.made("CreateOpaqueOptions", name, address, destroy)
        self.call("AddOpaqueOptions", options, made)

    def buffers(self, kind: str, ports: Dict[str, Any]) -> Dict[str, Any]:
        """Make the buffers of inputs or outputs, in the signature's order; inputs are filled."""
        call, made, names = self.call, {}, self.names(kind)
        if set(names) != set(ports):
            raise UnavailableError("it names the ports {}".format(", ".join(names)))
        for at, name in enumerate(names):
            if kind == "Input":
                shape = ports[name]["shape"]
                sizes = (ctypes.c_int * len(shape))(*shape)
                where = [self.model, ctypes.c_size_t(0), ctypes.c_size_t(at)]
                rank = ctypes.c_size_t(len(shape))
                call("CompiledModelResizeInputTensorNonStrict", *where, sizes, rank)
        if kind == "Output":
            layouts = (Layout * len(names))()
            count, update = ctypes.c_size_t(len(names)), ctypes.c_bool(True)
            where = [self.model, ctypes.c_size_t(0)]
            call("GetCompiledModelOutputTensorLayouts", *where, count, layouts, update)
        for at, name in enumerate(names):
            made[name] = self.buffer(kind, at, ports[name])
        return made

    def names(self, kind: str) -> List[str]:
        """Names of the tensors of the first signature."""
        count = ctypes.c_size_t()
        self.call("GetNumSignature{}s".format(kind), self.signature, ctypes.byref(count))
        found = []
        for at in range(count.value):
            which = "GetSignature{}TensorByIndex".format(kind)
            tensor = self.call.made(which, self.signature, ctypes.c_size_t(at))
            name = ctypes.c_char_p()
            self.call("GetTensorName", tensor, ctypes.byref(name))
            found.append((name.value or b"").decode())
        return found

    def buffer(self, kind: str, at: int, port: Dict[str, Any]) -> Any:
        """Make one buffer."""
        call, where = self.call, [self.model, ctypes.c_size_t(0), ctypes.c_size_t(at)]
        needs = call.made("GetCompiledModel{}BufferRequirements".format(kind), *where)
        dimensions = (ctypes.c_int32 * 8)(*port["shape"])
        layout = Layout(len(port["shape"]), dimensions, (ctypes.c_uint32 * 8)())
        ranked = ctypes.byref(Ranked(TYPES[port["dtype"]][0], layout))
        made = call.made(
            "CreateManagedTensorBufferFromRequirements", self.environment, ranked, needs
        )
        if "data" in port:
            data = base64.b64decode(port["data"])
            ctypes.memmove(self.locked(made, WRITE), data, len(data))
            call("UnlockTensorBuffer", made)
        return made

    def run(self) -> None:
        """Run it once."""
        ports = []
        for held in (self.inputs, self.outputs):
            buffers = (ctypes.c_void_p * len(held))(*(one.value for one in held.values()))
            ports += [ctypes.c_size_t(len(held)), buffers]
        self.call("RunCompiledModel", self.model, ctypes.c_size_t(0), *ports)

    def locked(self, buffer: Any, how: int) -> Any:
        """Map a buffer into memory."""
        address = ctypes.c_void_p()
        self.call("LockTensorBuffer", buffer, ctypes.byref(address), how)
        return address

    def sums(self, ports: Dict[str, Any]) -> Dict[str, str]:
        """Sums of the outputs of the last run."""
        found = {}
        for name, buffer in self.outputs.items():
            size = prod(ports[name]["shape"]) * TYPES[ports[name]["dtype"]][1]
            data = ctypes.string_at(self.locked(buffer, READ), size)
            self.call("UnlockTensorBuffer", buffer)
            found[name] = hashlib.sha256(data).hexdigest()
        return found

    def timed(self, runs: int) -> List[Event]:
        """Run it once cold and so many times more; returns the mean of these."""
        self.run()
        profiler = self.call.made("CompiledModelGetProfiler", self.model)
        self.call("StartProfiler", profiler)
        for _ in range(runs):
            self.run()
        self.call("StopProfiler", profiler)
        return means([one for one in self.events(profiler) if one.subgraph == 0], runs)

    def events(self, profiler: Any) -> List[Told]:
        """Copy the events; raises UnavailableError when they are laid out in another way."""
        count = ctypes.c_int()
        self.call("GetNumProfilerEvents", profiler, ctypes.byref(count))
        size = ctypes.sizeof(Told)
        room = ctypes.create_string_buffer(bytes([SPARE]) * (2 * size * count.value + size))
        self.call("GetProfilerEvents", profiler, count, room)
        written = len(room.raw.rstrip(bytes([SPARE, 0])))
        if count.value < 2 or not size * (count.value - 1) < written <= size * count.value:
            raise UnavailableError("its events are laid out in a way that is not known here")
        return list((Told * count.value).from_buffer(room))


def means(told: List[Told], runs: int) -> List[Event]:
    """Average what every inference repeats."""
    ran = [one for one in told if one.kind == OPERATOR or one.kind in INNER]
    count = len(ran) // runs
    each = [ran[at : at + count] for at in range(0, len(ran), count)] if count else []
    found = []
    for same in zip(*each):
        first = same[0]
        if len({(one.tag, one.kind, one.at) for one in same}) > 1 or len(ran) % runs:
            raise UnavailableError("inferences differ in what they run")
        ns = round(1000 * sum(one.elapsed_us for one in same) / runs)
        found.append(Event(first.tag.decode(), first.kind in INNER, first.at, ns))
    return found


def main() -> None:
    """Answer the request on the standard input; what the library prints goes to the log."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    try:
        compiled = Compiled(request)
        events = compiled.timed(request["runs"])
        answer: Dict[str, Any] = {"events": events, "outputs": compiled.sums(request["outputs"])}
    except (UnavailableError, OSError) as error:
        answer = {"error": str(error)}
    channel.write(json.dumps(answer))
    channel.flush()
    os._exit(0)  # nothing is worth taking apart


if __name__ == "__main__":
    main()
