"""One fetch per cluster: misses go through the key's owner; its faults cost a fetch at most."""

import os
import re
import signal
import socket
import subprocess
import threading

import pytest

import gossip
import harness
from cache_bench import cache_status, is_hit
from crew import Crew
from harness import wait_until

FRESH = [("Cache-Control", "max-age=3600")]
OBJECTS = 60


def peers_metric(node, result):
    return gossip.metric(node, 'perigee_peer_fetches_total{result="%s"}' % result)


def most(crew, objects):
    """Origin requests for so many objects: one each, and one for each time that a node was asked in
    vain. On a slow machine a deadline may pass (origin/peers.h): that is a fetch, and no fault."""
    return objects * 101 / 100 + 1 + sum(peers_metric(node, result)
                                         for node in crew.running.values()
                                         for result in ("failed", "refused"))


def serve_all(origin, fields=(), body=b"body of "):
    """Every path is an object; how often each was asked for."""
    asked = {}

    def answer(x):
        asked[x.request.target] = asked.get(x.request.target, 0) + 1
        x.respond(200, [*FRESH, *fields], body + x.request.target.encode())

    origin.handlers["*"] = (answer, True)
    return asked


def wait_met(crew):
    """Until the workers know of each other's nodes: a miss here goes through its owner."""
    crew.wait_together()
    for i, node in enumerate(crew.running.values()):
        for k in range(200):
            before = peers_metric(node, "taken")
            node.get("/meet/%d/%d" % (i, k))
            if peers_metric(node, "taken") > before:
                break
        else:
            raise AssertionError("%s asks nobody" % node.name)


@pytest.fixture
def crew(make_node, origin, tmp_path):
    return Crew(make_node, origin, tmp_path)


def test_one_fetch_for_all_nodes(crew, origin):
    asked = serve_all(origin)
    wait_met(crew)
    asked.clear()
    for _ in range(3):
        for node in crew:
            with node.http() as client:
                for i in range(OBJECTS):
                    response = client.get("/o/%d" % i)
                    assert response.status == 200
                    assert response.body == b"body of /o/%d" % i
                    cache_status(response)  # one member of ours, whoever else had a part
    assert sum(asked.values()) <= most(crew, OBJECTS), sum(asked.values())
    assert all(peers_metric(node, "taken") > OBJECTS / 4 for node in crew)


def test_peers_false_goes_straight(make_node, origin, tmp_path):
    routes = [{"match": {"path": "/alone/*"}, "peers": False}, {"match": {"path": "/*"}}]
    crew = Crew(make_node, origin, tmp_path, routes=routes)
    asked = serve_all(origin)
    wait_met(crew)
    for node in crew:
        node.get("/alone/1")
    assert asked["/alone/1"] == 3


def test_age_tags_and_fields_come_along(crew, origin):
    """What another node stores is what the owner has: purges by tag work, Age goes on."""
    asked = serve_all(origin, [("Surrogate-Key", "news"), ("Age", "100"),
                               ("CDN-Cache-Control", "max-age=7200"), ("X-Own", "1")])
    wait_met(crew)
    for i in range(9):
        for node in crew:
            response = node.get("/t/%d" % i)
            assert int(response.get("age")) >= 100
            assert response.get("x-own") == "1"
            for hidden in ("surrogate-key", "cdn-cache-control", "perigee-vector"):
                assert response.get(hidden) is None, hidden
    assert sum(asked[p] for p in asked if p.startswith("/t/")) <= most(crew, 9)
    answer = crew["n2"].admin("POST", "/v1/purge", {"type": "tag", "selectors": ["news"]})
    assert answer.status == 200
    for node in crew:
        node.get("/t/0")
    assert 2 <= asked["/t/0"] <= 1 + most(crew, 1)


def test_conditional_and_range_and_head(crew, origin):
    asked = serve_all(origin, [("ETag", '"v1"')])
    wait_met(crew)
    for i in range(6):
        path = "/c/%d" % i
        for name, node in crew.nodes.items():
            with node.http() as client:
                assert client.request("HEAD", path).status == 200
                got = client.request("GET", path, [("Range", "bytes=0-3")])
                assert got.status == 206 and got.body == b"body", (name, got)
                got = client.request("GET", path, [("If-None-Match", '"v1"')])
                assert got.status == 304, (name, got)
    assert sum(asked[p] for p in asked if p.startswith("/c/")) <= most(crew, 6)


def test_clients_address_reaches_the_origin(crew, origin):
    seen = []

    def answer(x):
        seen.append((x.request.get("x-forwarded-for"), x.request.get("x-forwarded-host"),
                     x.request.get("cdn-loop")))
        x.respond(200, FRESH, b"x")

    serve_all(origin)
    wait_met(crew)
    origin.handlers["*"] = (answer, True)
    for i in range(12):
        crew["n1"].get("/f/%d" % i)
    assert len(seen) == 12
    for forwarded, host, loop in seen:
        assert forwarded == "127.0.0.1" and host == "localhost", (forwarded, host)
        assert "node=" in loop
    assert any(loop.count("node=") == 2 for _, _, loop in seen)


def test_private_answers_stay_private(crew, origin):
    def answer(x):
        x.respond(200, [("Cache-Control", "private")], (x.request.get("cookie") or "").encode())

    serve_all(origin)
    wait_met(crew)
    origin.handlers["*"] = (answer, True)
    for i in range(6):
        for node in crew:
            for who in ("a", "b"):
                with node.http() as client:
                    got = client.request("GET", "/p/%d" % i, [("Cookie", who)])
                    assert got.body == who.encode()


def test_dead_owner_costs_a_fetch(crew, origin):
    asked = serve_all(origin)
    wait_met(crew)
    crew["n3"].kill()
    for i in range(OBJECTS):
        assert crew["n1"].get("/d/%d" % i).status == 200
    crew.wait_state("n1", "n3", "failed")
    crew.wait_state("n2", "n3", "failed")
    asked.clear()
    for name in ("n1", "n2"):
        for i in range(OBJECTS):
            assert crew[name].get("/e/%d" % i).status == 200
    assert sum(asked.values()) <= most(crew, OBJECTS) + 2, sum(asked.values())


class Slow:
    """A body that stops in the middle for whoever asks for all of it, until it is let go."""

    def __init__(self, origin):
        self.body, self.go, self.rests = os.urandom(1 << 20), threading.Event(), []
        origin.handlers["*"] = (self.answer, True)

    def answer(self, x):
        fields = [*FRESH, ("ETag", '"v"')]
        asked = re.match(r"bytes=(\d+)-$", x.request.get("range") or "")
        if asked and x.request.get("if-range") == '"v"':
            at = int(asked[1])
            self.rests.append(at)
            x.respond(206, [*fields, ("Content-Range", "bytes %d-%d/%d" % (
                at, len(self.body) - 1, len(self.body)))], self.body[at:])
            return
        x.head(200, [*fields, ("Content-Length", len(self.body))])
        x.send(self.body[:len(self.body) // 2])
        assert self.go.wait(60)
        x.send(self.body[len(self.body) // 2:])


def read_until(sock, data, count):
    while len(data) < count:
        piece = sock.recv(65536)
        if not piece:
            break
        data += piece
    return data


def objects_asked(node):
    return gossip.metric(node, 'perigee_peer_requests_total{kind="object"}')


def test_owner_that_dies_within_a_body(crew, origin):
    """The rest is the origin's; the client does not see it."""
    serve_all(origin)
    wait_met(crew)
    slow = Slow(origin)
    for i in range(40):
        before = {name: objects_asked(crew[name]) for name in ("n2", "n3")}
        with harness.connect(crew["n1"].http_port) as sock:
            sock.sendall(b"GET /die/%d HTTP/1.1\r\nHost: localhost\r\n"
                         b"Connection: close\r\n\r\n" % i)
            data = read_until(sock, b"", len(slow.body) // 3)
            owners = [name for name in before if objects_asked(crew[name]) > before[name]]
            if owners:
                crew[owners[0]].kill()
            slow.go.set()
            data = read_until(sock, data, 1 << 30)
        assert data.partition(b"\r\n\r\n")[2] == slow.body
        if owners:
            break
        slow.go.clear()
    assert owners and len(slow.rests) == 1 and len(slow.body) // 3 <= slow.rests[0] + 65536
    assert peers_metric(crew["n1"], "resumed") == 1
    got = crew["n1"].get("/die/%d" % i)  # and it was stored as if nothing had been
    assert got.body == slow.body and "hit" in got.get("cache-status")


def test_frozen_owner_costs_a_deadline(crew, origin):
    serve_all(origin)
    wait_met(crew)
    crew.freeze("n3")
    try:
        for i in range(30):
            assert crew["n1"].get("/z/%d" % i).status == 200
        assert peers_metric(crew["n1"], "failed") < 25  # it is left alone for a while
    finally:
        crew.thaw("n3")


def test_owner_without_an_origin(make_node, make_origin, origin, tmp_path):
    """An owner that cannot reach the origin is no reason for others to fail."""
    crew = Crew(make_node, origin, tmp_path)
    serve_all(origin)
    wait_met(crew)
    dead = crew.config("n3")
    dead["origins"]["app"]["servers"] = [{"url": "http://127.0.0.1:%d" % harness.free_port()}]
    assert crew["n3"].reload(dead)
    for i in range(OBJECTS):
        for name in ("n1", "n2"):
            assert crew[name].get("/n/%d" % i).status == 200
    assert peers_metric(crew["n1"], "refused") > 0


def test_shield(make_node, origin, tmp_path):
    regions = {"n1": "eu", "n2": "us", "n3": "ap", "n4": "eu"}
    crew = Crew(make_node, origin, tmp_path, count=4, shield="eu",
                nodes={name: {"region": region} for name, region in regions.items()})
    asked = serve_all(origin)
    wait_met(crew)  # n2 and n3 ask the shield, n1 and n4, which are in it, each other
    asked.clear()
    for node in crew:
        for i in range(OBJECTS):
            assert node.get("/r/%d" % i).status == 200
    assert sum(asked.values()) <= most(crew, OBJECTS), sum(asked.values())


def test_what_another_keeps_goes_to_disk_when_it_is_used_again(crew, origin):
    """Who is no owner keeps an object in memory alone until its second use."""
    asked = serve_all(origin)
    wait_met(crew)
    node = crew["n1"]
    taken = []
    for i in range(200):
        before = peers_metric(node, "taken")
        node.get("/w/%d" % i)
        if peers_metric(node, "taken") > before:
            taken.append("/w/%d" % i)
        if len(taken) == 8:
            break
    assert len(taken) == 8
    once, twice = taken[:4], taken[4:]
    for path in twice:
        assert is_hit(node.get(path))
    wait_until(lambda: node.status()["cache"]["queue_bytes"] == 0, "all is on disk")
    assert node.restart() == 0
    crew.wait_together()
    taken_before = peers_metric(node, "taken")
    assert all(is_hit(node.get(path)) for path in twice)
    assert peers_metric(node, "taken") == taken_before
    assert not any(is_hit(node.get(path)) for path in once)
