"""The command ``gpufin``: options, exit codes, and the only place that prints.

Exit codes: 0 good, 1 failure, 2 wrong use or bad configuration, 75 try again.
"""

import logging
import os
import sys

import click

import agent
from agent.cli.config import check_config
from agent.cli.explain_price import explain_price
from agent.cli.ledger import inventory, ledger
from agent.cli.metrics import metrics
from agent.cli.render import dashboards, rules
from agent.cli.report import explain, report
from agent.cli.serve import demo, run
from agent.errors import EXIT_FAILURE, EXIT_TRY_AGAIN, EXIT_USAGE, ConfigError, GpufinError
from agent.runtime.ask import driver_hangs


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(agent.__version__, prog_name="gpufin")
def cli() -> None:
    """GPU telemetry and FinOps agent: what every card costs, and how much of it is idle."""


_COMMANDS = (
    *(run, demo, check_config, explain_price),
    *(report, explain, ledger, inventory),
    *(metrics, rules, dashboards),
)
for command in _COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line; errors meant for people are shown without a traceback."""
    code = _exit_code()
    if code == EXIT_TRY_AGAIN or driver_hangs():
        # A thread hangs in the driver's library; its destructors could hang in the same lock.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _exit_code() -> int:
    try:
        code = cli(standalone_mode=False)
    except ConfigError as error:
        for fault in error.faults:
            click.echo(f"gpufin: {fault}", err=True)
        return EXIT_USAGE
    except GpufinError as error:
        click.echo(f"gpufin: {error}", err=True)
        return EXIT_FAILURE
    except click.Abort:
        return EXIT_FAILURE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return code if isinstance(code, int) else 0
