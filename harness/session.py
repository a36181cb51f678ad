"""One job on one device: start it, follow it, attach again when link or board come back."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from agents import wire
from harness.deploy import Site, write_job
from harness.errors import ConnectionLostError, DeviceError

# The agent says something at least every second; a silence this long means that the link is dead.
SILENCE_S = 30.0
# How long a board may be away: a reboot takes a Raspberry Pi about a minute.
AWAY_S = 600.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
MOST_STARTS = 3

Event = dict[str, Any]


class Listener(Protocol):
    """Takes what a session learns, in order."""

    def event(self, event: Event) -> None:
        """Take a floor, evaluation or launch (to be stored), a doing or a finished event."""

    def say(self, what: str) -> None:
        """Take news about the session itself, such as a lost link."""


@dataclass
class Session:
    """The host's side of a job that runs on a device whether or not the host is there."""

    site: Site
    reopen: Callable[[], Site]  # connect again, after the link was lost
    make_job: Callable[
        [str], wire.Job
    ]  # of an attempt; with what the store holds by now marked as done
    listener: Listener
    run: str
    offset: int = 0
    starts: int = 0
    attempt: str = ""
    last_words: str = ""

    def attend(self) -> wire.FinishedEvent:
        """Follow the job to its end, starting it where it does not run; raises DeviceError."""
        while True:
            try:
                finished = self._follow()
                if finished:
                    return finished
                self._start()
            except ConnectionLostError as lost:
                self._reconnect(lost)

    def _follow(self) -> wire.FinishedEvent | None:
        """Pass on what the journal says until the job ends; null when nobody works on it."""
        command = self.site.command("follow", self.site.job(self.run), str(self.offset))
        with self.site.connection.stream(command, silence=SILENCE_S) as lines:
            for line in lines:
                event: Event = json.loads(line)
                if event["kind"] == "gone":
                    self.last_words = event["log"]
                    return None
                if event["kind"] == "alive":
                    continue
                self.offset += len(line.encode()) + 1
                self.listener.event(event)
                # The end of an earlier attempt, in a journal that was kept, is not this one's.
                if event["kind"] == "finished" and event["attempt"] == self.attempt:
                    return cast(wire.FinishedEvent, event)
        raise ConnectionLostError("the agent stopped talking", where=self.site.device.name)

    def _start(self) -> None:
        """Start the supervisor, detached: it outlives the connection."""
        if self.starts == MOST_STARTS:
            raise DeviceError(
                f"the agent ended {MOST_STARTS} times before its job was done: "
                f"{self.last_words[-400:] or 'it left no message'}",
                where=self.site.device.name,
                next_step=f"edgeproof devices check {self.site.device.name}",
            )
        if self.starts:
            self.listener.say(f"the agent was gone; starting it again: {self.last_words[-200:]}")
        self.attempt = secrets.token_hex(4)
        folder = write_job(self.site, self.make_job(self.attempt))
        command = self.site.command("supervise", folder)
        detached = 'cd "$1" && shift && (setsid nohup "$@" >supervisor.log 2>&1 </dev/null &)'
        self.site.run(["sh", "-c", detached, "sh", folder, *command])
        self._await_identity(folder)
        self.starts += 1
        self.offset = 0  # the store takes nothing twice, and the folder may be a new one

    def _await_identity(self, folder: str) -> None:
        """Wait until the supervisor has written down who it is: before that it looks gone."""
        check = 'for i in $(seq 100); do [ -e "$1" ] && exit 0; sleep 0.1; done; exit 1'
        self.site.run(["sh", "-c", check, "sh", f"{folder}/supervisor.json"], timeout=60.0)

    def _reconnect(self, lost: ConnectionLostError) -> None:
        """Connect again, waiting as long as a reboot may take; raises DeviceError after that."""
        self.listener.say(f"connection lost ({lost.what}); the job there goes on")
        deadline = time.monotonic() + AWAY_S
        pause = FIRST_PAUSE_S
        while True:
            time.sleep(pause * random.uniform(0.75, 1.25))
            pause = min(2 * pause, LONGEST_PAUSE_S)
            try:
                self.site = self.reopen()
            except DeviceError as error:
                if time.monotonic() > deadline:
                    raise DeviceError(
                        f"away for {AWAY_S / 60:.0f} minutes: {error.what}",
                        where=self.site.device.name,
                        next_step=f"edgeproof run STUDY --resume {self.run}, once it is back",
                    ) from None
            else:
                self.listener.say("connected again")
                return


def stop(site: Site, run: str) -> None:
    """Ask the supervisor of a run to end after the launch in progress."""
    site.run(["touch", f"{site.job(run)}/{wire.STOP_FILE}"])


def enough(site: Site, run: str, group: str) -> None:
    """Tell the supervisor that a group needs no more launches."""
    site.run(["touch", f"{site.job(run)}/{wire.enough_file(group)}"])


def forget(site: Site, run: str) -> None:
    """Remove a job whose every result is stored."""
    site.run(["rm", "-rf", site.job(run)], timeout=120.0)
