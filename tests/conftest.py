"""Checks of the test run itself: groups are kept together, and no test is skipped where none may be."""

import os

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """``--dist loadgroup`` names a test's group in its id; pytest-xdist 3.8.0 fails to, silently, with pytest 9.2."""
    if getattr(session.config.option, "loadgroup", False):
        marked = [item.nodeid for item in session.items if item.get_closest_marker("xdist_group")]
        lost = [name for name in marked if "@" not in name]
        if lost:
            raise pytest.UsageError(f"pytest-xdist lost the group of {lost[0]}: install requirements-dev.txt")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """``POCKETLM_NO_SKIPS=1``: a skipped test fails the run. Only the process that reports counts, not a worker."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and os.environ.get("POCKETLM_NO_SKIPS"):
        for report in skipped:
            reporter.write_line(f"SKIPPED, and must not be: {report.nodeid}: {report.longrepr[2]}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
