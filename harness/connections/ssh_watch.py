"""Closes a transport whose far end went silent, where the socket cannot tell."""

from __future__ import annotations

import contextlib
import threading
import time

import paramiko

# Rarely, because a question wakes the sshd of a board that is measuring.
ASK_EVERY_S = 15.0
# Long, because on a slow link both wait behind queued data.
ANSWER_WITHIN_S = 60.0


def watch(transport: paramiko.Transport) -> None:
    """Ask from time to time for an answer, from a thread that ends with the transport.

    A link broken behind a hop, or an sshd that hangs on a live board, would block us for ever:
    paramiko waits for the reply to a request without any limit.
    """
    name = f"watch {transport.name}"
    threading.Thread(target=_ask, args=(transport,), name=name, daemon=True).start()


def _ask(transport: paramiko.Transport) -> None:
    while transport.is_active():
        deadline = threading.Timer(ANSWER_WITHIN_S, transport.close)
        deadline.daemon = True
        deadline.start()
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport.global_request("keepalive@openssh.com", wait=True)
        deadline.cancel()
        time.sleep(ASK_EVERY_S)
