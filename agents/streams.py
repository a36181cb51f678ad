"""Several requests in flight on one loaded model: a thread for each stream but the first."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Optional, Sequence

if TYPE_CHECKING:
    from agents.backends import Session

Infer = Callable[[], Any]
Work = Callable[[Infer], None]


class Streams:
    """Streams of one model, each with one request at a time.

    The first runs in the calling thread, so a single stream has no thread at all. All runtimes are
    driven by Python threads alike: their calls let go of the GIL while they compute. Around calls
    that do nothing, a query of one request to each of two streams takes 7 us, of eight 36 us. To it
    comes the waking of a core that has gone to sleep, up to 80 us in a virtual machine, as in the
    runtimes' own queues; threads that spin instead would take cores from the inference.
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.count = len(sessions)
        self.first = sessions[0].infer
        self.others = [Stream(session.infer) for session in sessions[1:]]

    def each(self, work: Work) -> None:
        """Do some work in every stream at once, and wait for all; raises what one raised."""
        for other in self.others:
            other.begin(work)
        try:
            work(self.first)
        finally:
            raised = [error for error in [other.end() for other in self.others] if error]
        if raised:
            raise raised[0]


class Stream:
    """A stream in a thread of its own, asleep until it is given work."""

    def __init__(self, infer: Infer) -> None:
        self.infer = infer
        self.work: Optional[Work] = None
        self.error: Optional[BaseException] = None
        self.given, self.done = threading.Lock(), threading.Lock()
        self.given.acquire()
        self.done.acquire()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        """Work for ever; whatever goes wrong is handed over, since nobody waits for a dead one."""
        while True:
            self.given.acquire()
            try:
                assert self.work is not None
                self.work(self.infer)
            except BaseException as error:
                self.error = error
            self.done.release()

    def begin(self, work: Work) -> None:
        """Give it work."""
        self.work, self.error = work, None
        self.given.release()

    def end(self) -> Optional[BaseException]:
        """Wait until the work is done; returns what it raised."""
        self.done.acquire()
        return self.error


class Query:
    """Requests that are given at once; it is timed like a session, from the first to all answers.

    Every stream takes one, and then another as long as some wait.
    """

    native_ns = None  # no runtime's clock sees more than one request

    def __init__(self, streams: Streams, requests: int) -> None:
        self.streams = streams
        self.requests = requests

    def infer(self) -> None:
        """Have all requests answered."""
        waiting = iter(range(self.requests - self.streams.count))
        self.streams.each(partial(drain, waiting))


def drain(waiting: Iterator[int], infer: Infer) -> None:
    """Answer one request, and then those that still wait; several streams may share these.

    Under the GIL the next of a range goes to one thread only.
    """
    infer()
    for _ in waiting:
        infer()


def opened(session: Session, inputs: Dict[str, Any], count: int) -> Streams:
    """Streams on a loaded model, of which one is there and bound to the inputs."""
    further = [session.another() for _ in range(count - 1)]
    for one in further:
        one.bind(inputs)
    return Streams([session, *further])
