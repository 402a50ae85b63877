"""Fixtures that give a test an AWS of its own: moto's server on a free loopback port, one per test run.

Use them with `from tests.aws_server import aws, faults` (or `pytest_plugins = ["tests.aws_server"]` in a conftest).
"""

from collections.abc import Iterator

import pytest

from cli.embedded_aws import EmbeddedAws
from tests.faults.proxy import FaultProxy


@pytest.fixture(scope="session")
def aws() -> Iterator[EmbeddedAws]:
    """The running server, empty at first; tests of one run share it and choose names of their own."""
    with EmbeddedAws() as server:
        yield server


@pytest.fixture
def faults(aws: EmbeddedAws) -> Iterator[FaultProxy]:
    """A fault proxy in front of it, new for each test."""
    with FaultProxy(aws.endpoint) as proxy:
        yield proxy
