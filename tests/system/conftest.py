"""Fixtures of the system tests: certificates, nodes, origins. Every process is ended here."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import harness  # noqa: E402
import origin as origin_module  # noqa: E402


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    """harness.Certificates: an authority of our own, what it signed, and one it did not."""
    return harness.Certificates(tmp_path_factory.mktemp("certs"))


def node_maker(folder, certs):
    nodes = []

    def make(config, start=True, **how):
        """A node in a folder of its own; `config`: a dict (harness.config) or YAML text."""
        place = folder / ("node%d" % len(nodes))
        place.mkdir()
        node = harness.Node(place, config, certs, **how)
        nodes.append(node)
        if start:
            node.start()
        return node

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
def make_node(tmp_path, certs):
    yield from node_maker(tmp_path, certs)


@pytest.fixture(scope="module")
def make_module_node(tmp_path_factory, certs):
    yield from node_maker(tmp_path_factory.mktemp("nodes"), certs)


def origin_maker():
    origins = []

    def make(**how):
        made = origin_module.Origin(**how)
        origins.append(made)
        return made

    yield make
    for made in origins:
        made.close()


@pytest.fixture
def make_origin():
    yield from origin_maker()


@pytest.fixture(scope="module")
def make_module_origin():
    yield from origin_maker()


@pytest.fixture
def origin(make_origin):
    return make_origin()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that failed shows what its nodes had to say."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for node in harness.live_nodes():
            report.sections.append(("stderr of %s" % node.name, node.log_tail()))


def pytest_configure(config):
    binary = pathlib.Path(harness.binary())
    if not binary.exists():
        raise pytest.UsageError("no program at %s: build it, or set PERIGEE_BIN" % binary)
