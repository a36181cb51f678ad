"""Closes a transport whose far end went silent, where the socket cannot tell."""

from __future__ import annotations

import contextlib
import threading
import time

import paramiko

# Seconds between two questions, and for an answer: long, since both wait behind queued data.
ASK_EVERY_S = 5.0
ANSWER_WITHIN_S = 30.0


def watch(transport: paramiko.Transport) -> None:
    """Ask from time to time for an answer, from a thread that ends with the transport.

    Behind a hop, or without TCP_USER_TIMEOUT, a broken link would block a transfer for ever.
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
