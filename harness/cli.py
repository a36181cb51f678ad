"""The commands of edgeproof: arguments in, exit codes out, nothing decided here.

Statistics, SSH and the database take a second to import, so commands import what they need.
"""

from __future__ import annotations

import sys
import traceback

import click

from harness.cli_devices import devices
from harness.cli_init import init, schema
from harness.cli_measure import gate, run
from harness.cli_reports import report
from harness.cli_select import select
from harness.cli_sessions import compare, history
from harness.cli_shared import EXIT_BUG, EXIT_STOPPED
from harness.cli_variants import models, variants
from harness.errors import EdgeproofError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgeproof")
def cli() -> None:
    """Prove on the board itself whether a pruned or quantised network pays off.

    \b
    edgeproof variants build study.yaml   prune and quantise as the study says
    edgeproof run study.yaml              measure a study, report, store
    edgeproof report latest --format md   the last run again, in another form
    edgeproof devices check pi5           is this board ready?
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
        click.echo("interrupted; a job on a device goes on: run STUDY --resume latest", err=True)
        sys.exit(EXIT_STOPPED)
    except Exception:
        traceback.print_exc()
        sys.exit(EXIT_BUG)
