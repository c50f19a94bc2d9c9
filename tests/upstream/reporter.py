# SPDX-License-Identifier: Apache-2.0
"""A plugin of pytest's: writes what each test came to, {test id: "passed", "failed" or "skipped"}."""

import json
from pathlib import Path

outcomes = {}


def pytest_addoption(parser):
    parser.addoption("--outcomes", type=Path)


def pytest_runtest_logreport(report):
    before = outcomes.get(report.nodeid)
    if before == "failed" or (before == "skipped" and report.outcome == "passed"):
        return
    outcomes[report.nodeid] = report.outcome


def pytest_collectreport(report):
    if report.failed:
        outcomes[report.nodeid] = "failed"


def pytest_sessionfinish(session):
    session.config.getoption("--outcomes").write_text(json.dumps(outcomes))
