"""What a cluster's scheduler says of a failed job, printed whatever ``quiet`` is set to.

Snakemake counts a job's error among what ``quiet: rules`` leaves out. A local job has told its own story by then; one
that Slurm refused, cancelled or killed has not, and the run would end without a reason.
"""

from __future__ import annotations

import logging
import sys


class SchedulerWords(logging.Handler):
    """Prints the executor's message of each failed job; local jobs have none."""

    def emit(self, record: logging.LogRecord) -> None:
        """One paragraph: the rule, the scheduler's words, the job's logs."""
        words = getattr(record, "rule_msg", None)
        if words:
            logs = " ".join(str(path) for path in getattr(record, "log", []))
            print(f"{getattr(record, 'rule_name', 'job')}: {words}\nlogs: {logs}", file=sys.stderr, flush=True)


def listen(logger: logging.Logger) -> None:
    """Attach to Snakemake's logger, once however often the Snakefile is read."""
    if not any(type(handler).__name__ == SchedulerWords.__name__ for handler in logger.handlers):
        logger.addHandler(SchedulerWords())
