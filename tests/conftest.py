"""Fixtures. `serve` starts servers for one test; `serve_all` for all tests of a module."""

import itertools
import os
from pathlib import Path

import pytest
from harness import DAEMUN, Server


def pytest_collection_modifyitems(items):
    # The slow ones first: four run at a time, and nobody waits for a straggler.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a few seconds")
    if not os.access(DAEMUN, os.X_OK):
        pytest.exit(f"there is no program at {DAEMUN}: run `make build`, or set DAEMUN", returncode=2)


def _factory(directory: Path, servers: list[Server]):
    counter = itertools.count()

    def serve(*args, **options) -> Server:
        own = directory / f"server{next(counter)}"
        own.mkdir()
        server = Server(*args, directory=own, **options)
        servers.append(server)
        return server

    return serve


@pytest.fixture
def serve(tmp_path):
    """Start a server: `serve("hello", "-w", 2)`. It ends with the test."""
    servers: list[Server] = []
    yield _factory(tmp_path, servers)
    for server in reversed(servers):
        server.__exit__()


@pytest.fixture(scope="module")
def serve_all(tmp_path_factory):
    """As `serve`, for a whole module: for tests that only ask."""
    servers: list[Server] = []
    yield _factory(tmp_path_factory.mktemp("servers"), servers)
    for server in reversed(servers):
        server.__exit__()
