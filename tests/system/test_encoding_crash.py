"""Forms after a restart, after kill -9 while they are made, and when there is no room for them.

PERIGEE_ROUNDS: how many times the node is killed (5).
PERIGEE_SEED: of the random choices; printed, so that a run can be done again.
"""

import hashlib
import os
import random
import threading
import time

import codings
import harness
from cache_bench import is_hit
from form_bench import (BROWSER, PROTOCOLS, FormBench, check, check_stored, coding_of, connect,
                        content_of, figure, made, request, wait_encoders)
from versions import Versions, wait_stored

ROUNDS = int(os.environ.get("PERIGEE_ROUNDS", "5"))
SEED = int(os.environ.get("PERIGEE_SEED", random.randrange(1 << 32)))
WANTED = [None, "gzip", "zstd", BROWSER]
MIB = 1 << 20


class Texts(Versions):
    """Versions of words, so that encoding them is worth it and takes its time."""

    store = codings.text(2 * MIB, "store")

    def body(self, key, version):
        size = self.sizes[key % len(self.sizes)]
        at = hash((key, version)) % (len(self.store) - size)
        text = b"%d %d " % (key, version) + self.store[at:at + size]
        return text + hashlib.sha256(text).hexdigest().encode()

    def answer(self, x):
        key = int(x.request.path.rpartition("/")[2])
        body = self.body(key, self.now[key])
        etag = '"%s"' % hashlib.sha256(body).hexdigest()
        fields = [("Cache-Control", "max-age=3600"), ("ETag", etag),
                  ("Content-Type", "text/plain")]
        if x.request.get("if-none-match") == etag:
            x.respond(304, fields)
        else:
            x.respond(200, fields, body)

    def ask(self, client, key, accept):
        """One answer, judged; the response."""
        floor = self.floor[key]
        response = request(client, "GET", self.path(key), accept)
        assert response.status == 200, response
        coding = coding_of(response)
        assert coding == "identity" or coding in (accept or ""), (accept, coding)
        fault = self.judge(key, content_of(response), floor)
        assert not fault, (fault, coding)
        return response

    def look(self, node, wanted=WANTED):
        """Everything in every encoding over both protocols; how many were whole forms."""
        forms = 0
        for over in PROTOCOLS:
            with connect(node, over) as client:
                for key in range(self.keys):
                    for accept in wanted:
                        response = self.ask(client, key, accept)
                        forms += coding_of(response) != "identity" and is_hit(response) and \
                            response.get("content-length") is not None
        return forms


def config(port, memory="64MiB", size="256MiB"):
    return harness.config(port, cache={"memory": memory, "disk": {"size": size}})


def settle(node):
    """Until encoders have done all, also what is hot by now, and the disk has it."""
    wait_encoders(node)
    wait_stored(node)


def test_forms_are_there_after_a_restart(make_node, origin):
    texts = Texts(origin, 40, sizes=[600, 5000, 60000, 400_000])
    node = make_node(config(origin.port))
    whole = 2 * 3 * texts.keys  # both protocols; zstd, gzip and what a browser wants
    harness.wait_until(lambda: texts.look(node) == whole, "all forms", 60)
    settle(node)
    assert origin.count() == texts.keys
    for stop in (node.restart, lambda: (node.kill(), node.start())):
        stop()
        assert texts.look(node) == whole
        assert made(node) == {"gzip": 0, "zstd": 0, "identity": 0}
    assert origin.count() == texts.keys


def test_kill_while_encoders_work(make_node, origin):
    """Nothing torn, nothing of an older version, no form without its object."""
    print("PERIGEE_SEED=%d" % SEED)
    chance = random.Random(SEED)
    texts = Texts(origin, 100, sizes=[600, 5000, 60000, 200_000])
    node = make_node(config(origin.port))
    kept = 0
    for _ in range(ROUNDS):
        texts.now = [version + 1 for version in texts.now]
        assert node.admin("POST", "/v1/purge", {"type": "all"}).status == 200
        texts.floor = list(texts.now)
        asker = Asker(node, texts, chance)
        moment = time.monotonic() + chance.uniform(0.1, 2)
        harness.wait_until(lambda: asker.wrong or time.monotonic() > moment, "the moment")
        asker.dying = True
        node.kill()
        asker.end()
        node.start()
        kept += texts.look(node)
    assert kept > 0
    whole = 2 * 3 * texts.keys
    harness.wait_until(lambda: texts.look(node) == whole, "all forms", 60)
    settle(node)
    node.kill()
    node.start()
    assert texts.look(node) == whole and made(node)["zstd"] == 0


class Asker:
    """Asks for everything in changing encodings, so that encoders have much to do."""

    def __init__(self, node, texts, chance):
        self.node, self.texts, self.dying = node, texts, False
        self.stop, self.wrong = threading.Event(), []
        self.threads = [threading.Thread(target=self.run, args=(over, chance.random()))
                        for over in PROTOCOLS]
        for thread in self.threads:
            thread.start()

    def run(self, over, seed):
        chance = random.Random(seed)
        try:
            with connect(self.node, over) as client:
                while not self.stop.is_set():
                    self.texts.ask(client, chance.randrange(self.texts.keys),
                                   chance.choice(WANTED))
        except Exception as error:
            if not self.dying:
                self.wrong.append(error)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a client hangs"
        assert not self.wrong, (len(self.wrong), self.wrong[:3])


def test_no_room(make_node, origin):
    """Forms and objects are dropped and made again: what is given stays right."""
    texts = Texts(origin, 300, sizes=[600, 20000, 200_000])
    node = make_node(config(origin.port, memory="8MiB", size="16MiB"))
    chance = random.Random(SEED)
    print("PERIGEE_SEED=%d" % SEED)
    with connect(node, "h1") as h1, connect(node, "h2") as h2:
        for turn in range(4):
            hits = 0
            for _ in range(400):
                key = int(texts.keys * chance.random() ** 2)
                response = texts.ask(chance.choice((h1, h2)), key, chance.choice(WANTED))
                hits += is_hit(response)
    assert hits > 50
    assert figure(node, "perigee_forms_made_total", encoding="zstd") > 0
    wait_stored(node)
    assert node.restart() == 0
    with connect(node, "h1") as h1:
        for key in range(0, texts.keys, 3):
            texts.ask(h1, key, chance.choice(WANTED))


def test_without_a_disk(make_node, origin):
    """Forms live in memory alone."""
    texts = Texts(origin, 40, sizes=[600, 5000, 60000])
    node = make_node(harness.config(origin.port,
                                    cache={"memory": "16MiB", "disk": {"size": "0B"}}))
    whole = 2 * 3 * texts.keys
    harness.wait_until(lambda: texts.look(node) == whole, "all forms", 60)
    assert origin.count() == texts.keys


def test_a_stop_does_not_wait_for_encoders(make_node, origin):
    node = make_node(config(origin.port))
    bench = FormBench(node, origin)
    pages = [bench.page(3 * MIB) for _ in range(6)]
    for page in pages:
        bench.ask(page, "zstd")
        bench.ask(page, "gzip")
    began = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - began < 5
    node.start()
    for page in pages:
        response = bench.ask(page, "zstd")
        check(response, page, coding_of(response))
    bench.warm(pages[0], "zstd", "gzip")
    check_stored(bench.ask(pages[0], "zstd"), pages[0], "zstd")
