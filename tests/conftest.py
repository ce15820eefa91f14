"""``POCKETLM_NO_SKIPS=1``: a test that is skipped fails the run, because a skipped check proves nothing."""

import os

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Only the process that reports counts; workers of xdist have no reporter."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and os.environ.get("POCKETLM_NO_SKIPS"):
        for report in skipped:
            reporter.write_line(f"SKIPPED, and must not be: {report.nodeid}: {report.longrepr[2]}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
