"""The commands of edgeproof: arguments in, exit codes out, nothing decided here.

Statistics, SSH and the database take a second to import, so commands import what they need.
"""

from __future__ import annotations

import os
import sys
import traceback

import click

from harness.cli_devices import devices
from harness.cli_init import init, schema
from harness.cli_measure import gate, run
from harness.cli_reports import report
from harness.cli_select import select
from harness.cli_selftest import selftest
from harness.cli_sessions import compare, history
from harness.cli_shared import EXIT_BUG, EXIT_PIPE, EXIT_STOPPED
from harness.cli_variants import models, variants
from harness.errors import EdgeproofError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgeproof")
def cli() -> None:
    """Prove on the board itself whether a pruned or quantised network pays off.

    \b
    edgeproof init net.onnx               write a study for a model file
    edgeproof devices add pi5 pi@pi5.lab  look at a board, note it in the inventory
    edgeproof run                         measure study.yaml, store, report
    edgeproof variants build study.yaml   prune and quantise as a study says
    edgeproof gate study.yaml             measure, and answer with an exit code
    edgeproof report latest --format md   the last run again, in another form

    \b
    To complete commands, runs, devices and variants with Tab:
    eval "$(_EDGEPROOF_COMPLETE=bash_source edgeproof)"         in ~/.bashrc
    eval "$(_EDGEPROOF_COMPLETE=zsh_source edgeproof)"          in ~/.zshrc
    _EDGEPROOF_COMPLETE=fish_source edgeproof | source          in config.fish
    """


for command in (
    init,
    run,
    gate,
    report,
    compare,
    history,
    select,
    variants,
    models,
    devices,
    selftest,
    schema,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; an error is one message and an exit code that is no verdict."""
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EdgeproofError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(EXIT_STOPPED)
    except BrokenPipeError:
        # Python flushes at exit, and would complain about the same pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_PIPE)
    except Exception:
        traceback.print_exc()
        sys.exit(EXIT_BUG)
