"""Two hundred clients for one large cold object: one fetch, every byte right, little memory."""

import os
import time

import pytest

import crowd
import harness

MEBIBYTE = 1 << 20


def run_crowd(make_node, origin, body, gather):
    """The node's growth in bytes of memory while `gather(crowd, node)`'s clients read `body`."""
    node = make_node(harness.config(
        origin.port, cache={"memory": "64MiB", "disk": {"size": "256MiB"}},
        limits={"timeouts": {"body_idle": "300s"}}))

    @origin.on("/large")
    def answer(x):
        x.head(200, [("Cache-Control", "max-age=600"), ("Content-Length", len(body))])
        for at in range(0, len(body), 256 * 1024):
            x.send(body[at:at + 256 * 1024])
            time.sleep(0.02)  # a slow origin: about 12 MiB a second

    node.get("/warm")
    before, most = node.memory(), 0

    def sample():
        nonlocal most
        most = max(most, node.memory())

    group = crowd.Crowd(body)
    try:
        gather(group, node)
        group.run(sample)
    finally:
        group.close()
    assert all(reader.done for reader in group.readers)
    # All but the leader and those that came when it was over already.
    assert sum(reader.collapsed for reader in group.readers) >= len(group.readers) * 3 // 4
    assert origin.count("/large") == 1
    print("memory grew by %.1f MiB" % ((most - before) / MEBIBYTE))
    return most - before


def bytes_of(mebibytes):
    block = os.urandom(MEBIBYTE)
    return b"".join(block[i:] + block[:i] for i in range(mebibytes))


def test_a_crowd_in_clear_text(make_node, origin):
    def gather(group, node):
        for i in range(200):
            group.http1(node.http_port, "/large", slow=i % 10 == 0)

    assert run_crowd(make_node, origin, bytes_of(50), gather) <= 16 * MEBIBYTE


def test_a_crowd_over_tls_in_both_protocols(make_node, origin):
    """A TLS connection and an HTTP/2 one need memory of their own besides."""
    def gather(group, node):
        for i in range(30):
            group.http1(node.https_port, "/large", tls=True, slow=i % 10 == 0)
        for i in range(6):
            group.http2(node.https_port, "/large", streams=5, slow=i % 3 == 0)

    assert run_crowd(make_node, origin, bytes_of(20), gather) <= 24 * MEBIBYTE
