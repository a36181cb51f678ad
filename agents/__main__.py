"""The agent's command line; each verb is a module with main(arguments)."""

from __future__ import annotations

import importlib
import sys

VERBS = ("facts", "follow", "supervise", "unpack", "worker")


def main() -> None:
    """Run `agent VERB ARGUMENTS`."""
    if len(sys.argv) < 2 or sys.argv[1] not in VERBS:
        sys.exit("usage: agent {} ...".format("|".join(VERBS)))
    verb = sys.argv[1]
    module = "supervisor" if verb == "supervise" else verb
    # Modules come in only when needed: the supervisor and a worker count their memory in MiB.
    importlib.import_module("agents." + module).main(sys.argv[2:])


if __name__ == "__main__":
    main()
