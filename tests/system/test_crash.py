"""Kill -9 at any moment: never a torn answer, never one from before an acknowledged purge.

PERIGEE_ROUNDS: how many times the node is killed (5).
PERIGEE_SEED: of the random choices; printed, so that a run can be done again.
"""

import os
import random
import signal
import threading
import time

import h2client
import harness
from versions import TAGS, Versions, config, look, wait_stored

ROUNDS = int(os.environ.get("PERIGEE_ROUNDS", "5"))
SEED = int(os.environ.get("PERIGEE_SEED", random.randrange(1 << 32)))


class Load:
    """Readers and a purger on a node that may die at any moment."""

    def __init__(self, node, versions, chance):
        self.node, self.versions = node, versions
        self.stop = threading.Event()
        self.wrong, self.purged = [], 0
        self.dying = False
        runs = [(self.read, node.http), (self.read, node.http),
                (self.read, lambda: h2client.H2(node.https_port)), (self.purge, None)]
        self.threads = [threading.Thread(target=run, args=(random.Random(chance.random()), how))
                        for run, how in runs]
        for thread in self.threads:
            thread.start()

    def read(self, chance, connect):
        client = None
        while not self.stop.is_set():
            key = chance.randrange(self.versions.keys)
            floor = self.versions.floor[key]
            try:
                client = client or connect()
                response = client.get(self.versions.path(key))
                assert getattr(response, "reset", None) is None
            except (OSError, AssertionError, harness.Cut) as error:
                if not self.dying:
                    self.wrong.append(error)
                return
            if response.status != 200:
                self.wrong.append(response)
                continue
            fault = self.versions.judge(key, response.body, floor)
            if fault:
                self.wrong.append(fault)

    def purge(self, chance, _):
        while not self.stop.wait(0.03):
            keys, call = self.choose(chance)
            wanted = {}
            for key in keys:
                self.versions.now[key] += 1
                wanted[key] = self.versions.now[key]
            try:
                answer = self.node.admin("POST", "/v1/purge", call)
            except (OSError, ConnectionError) as error:
                if not self.dying:
                    self.wrong.append(error)
                return
            if answer.status != 200:
                self.wrong.append((answer.status, answer.body))
                continue
            self.purged += 1
            for key, version in wanted.items():
                self.versions.floor[key] = version

    def choose(self, chance):
        """Which keys, and the call that purges them."""
        keys = range(self.versions.keys)
        kind = chance.choice(["url"] * 12 + ["tag", "prefix"])
        mode = chance.choice(["hard", "soft"])
        if kind == "url":  # an http URL purges https too
            chosen = chance.sample(keys, 3)
            selectors = ["http://localhost" + self.versions.path(key) for key in chosen]
        else:
            tag = chance.randrange(TAGS)
            chosen = [key for key in keys if key % TAGS == tag]
            selectors = ["t%d" % tag] if kind == "tag" else ["http://localhost/t%d/" % tag]
        return chosen, {"type": kind, "selectors": selectors, "mode": mode}

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a client hangs"
        assert not self.wrong, (len(self.wrong), self.wrong[:5])


def test_kill_under_load(make_node, origin):
    """Nothing torn, nothing older than an acknowledged purge, and not by an empty cache."""
    print("PERIGEE_SEED=%d" % SEED)
    chance = random.Random(SEED)
    versions = Versions(origin, 120, large=True)
    node = make_node(config(origin.port))
    look(node, versions)
    kept = purged = 0
    for _ in range(ROUNDS):
        load = Load(node, versions, chance)
        moment = time.monotonic() + chance.uniform(0.2, 2)
        harness.wait_until(lambda: load.wrong or time.monotonic() > moment, "the moment")
        load.dying = True
        node.kill()
        load.end()
        node.start()
        kept += look(node, versions)
        purged += load.purged
        assert look(node, versions) > 1.9 * versions.keys, "all that can be is stored again"
    assert purged > ROUNDS
    assert kept > 0.5 * ROUNDS * versions.keys, "the cache survives"
    assert node.restart() == 0
    assert look(node, versions) > 1.9 * versions.keys


def test_kill_while_it_starts_and_stops(make_node, origin):
    """At moments of a start and of a stop, where markers and snapshots are written."""
    chance = random.Random(SEED)
    versions = Versions(origin, 100)
    node = make_node(config(origin.port))
    look(node, versions)
    wait_stored(node)
    assert node.restart() == 0
    kept = 0
    for i in range(2 * ROUNDS):
        if i % 2:
            node.send_signal(signal.SIGTERM)
        else:
            node.kill()
            node.start(wait=False)
        moment = time.monotonic() + chance.uniform(0, 0.15)
        harness.wait_until(lambda: time.monotonic() > moment, "the moment")
        node.stop(signal.SIGKILL)
        node.start()
        kept += look(node, versions)
    assert kept > 0.9 * 2 * ROUNDS * 2 * versions.keys, kept
