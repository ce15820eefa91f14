"""A dry run of thousands of jobs ends with its table of jobs and its reasons.

Snakemake puts each job into words (its files, its resources, its command three times) also where ``quiet: rules``
prints none of them: a quarter of a large dry run. It stops before that where ``quiet`` is just rules and progress, but
then it prints no table either. So this asks for it when the table is out, and says what Snakemake would have said last.
"""

from __future__ import annotations

import logging
from typing import Any

from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

MANY = 1000  # jobs; the words for fewer cost a second at most, and whoever edits a rule learns that its words are right


class Ending(logging.Handler):
    """Ends a dry run of many jobs after the table, unless the jobs are listed."""

    def __init__(self, workflow: Any, logger: logging.Logger) -> None:
        super().__init__()
        self.workflow, self.logger = workflow, logger

    def emit(self, record: logging.LogRecord) -> None:
        """Wait for the table; Snakemake looks at ``quiet`` next."""
        if getattr(record, "event", None) is not LogEvent.RUN_INFO:
            return
        output = self.workflow.output_settings
        if Quietness.RULES in (output.quiet or ()) and getattr(record, "stats", {}).get("total", 0) >= MANY:
            output.quiet = {Quietness.RULES, Quietness.PROGRESS}
            self.workflow.dag.print_reasons()
            self.workflow.log_provenance_info()
            self.logger.info("This was a dry run. It lists its jobs with: snakemake -n --quiet host")


def shorten(workflow: Any, logger: logging.Logger) -> None:
    """Attach to Snakemake's logger if this is a dry run."""
    if workflow.output_settings.dryrun:
        logger.addHandler(Ending(workflow, logger))
