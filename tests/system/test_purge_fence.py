"""Purges and fetches at the same time: who comes after a purge gets nothing from before it."""

import os
import random
import selectors
import socket
import threading
import time

import pytest

import harness
from cache_bench import Bench, cache_status, is_hit

LASTS = [("Cache-Control", "max-age=600")]
SITES = [{"name": "www", "hosts": ["www.test"]}, {"name": "all", "hosts": ["*"]}]
PURGES = int(os.environ.get("PERIGEE_PURGES", "300"))
CLIENTS = 50


@pytest.fixture(scope="module")
def bench(make_module_node, make_module_origin):
    origin = make_module_origin()
    return Bench(make_module_node(harness.config(origin.port, sites=SITES)), origin)


def purge(node, kind, *selectors, **more):
    call = {"type": kind, **more}
    if selectors:
        call["selectors"] = list(selectors)
    answer = node.admin("POST", "/v1/purge", call)
    assert answer.status == 200, answer.body


def selectors_of(kind, path):
    return {"url": ["http://www.test" + path], "path": [path], "tag": ["t" + path],
            "prefix": ["www.test" + path], "host": ["www.test"], "all": []}[kind]


KIND = pytest.mark.parametrize("kind", ["url", "path", "tag", "prefix", "host", "all"])
MODE = pytest.mark.parametrize("mode", ["hard", "soft"])
OLD, NEW = b"old" * 100_000, b"new" * 100_000


class Changing:
    """A path whose first answer is OLD and comes in two halves; all later ones are NEW."""

    def __init__(self, bench, validator, head_at_once):
        self.bench, self.path = bench, bench.new_path()
        self.go_on = threading.Event()
        fields = [*LASTS, ("Surrogate-Key", "t" + self.path)]
        answers = iter(range(1000))

        @bench.origin.on(self.path)
        def answer(x):
            first = next(answers) == 0
            if first and not head_at_once:
                x.wait(self.go_on)
            body, tag = (OLD, '"old"') if first else (NEW, '"new"')
            x.head(200, [*fields, ("Content-Length", len(body)),
                         *([("ETag", tag)] if validator else [])])
            x.send(body[:1000])
            if first:
                x.wait(self.go_on)
            x.send(body[1000:])

    def begin(self):
        """A client that waits for the first answer, which is on its way."""
        before = self.bench.origin.count(self.path)
        client = self.bench.node.http()
        client.send_head("GET", self.path, host="www.test")
        if not before:
            self.bench.origin.wait_for(1, self.path)
        return client

    def get(self):
        return self.bench.get(self.path, host="www.test")


@pytest.mark.parametrize("validator", [True, False], ids=["etag", "plain"])
@MODE
@KIND
def test_purge_while_the_body_arrives(bench, kind, mode, validator):
    changing = Changing(bench, validator, head_at_once=True)
    with changing.begin() as first, changing.begin() as second:
        for client in (first, second):  # both are in before the purge
            while b"old" not in client.buffer:
                client.more()
        purge(bench.node, kind, *selectors_of(kind, changing.path), mode=mode)
        response = changing.get()  # while the old answer is still on its way
        assert response.body == NEW and not is_hit(response)
        assert "collapsed" not in cache_status(response)
        assert changing.get().body == NEW
        changing.go_on.set()
        assert first.response().body == OLD and second.response().body == OLD
    hit = changing.get()
    assert is_hit(hit) and hit.body == NEW
    assert bench.origin.count(changing.path) == 2


@MODE
@KIND
def test_purge_before_the_head_arrives(bench, kind, mode):
    changing = Changing(bench, False, head_at_once=False)
    with changing.begin() as first, changing.begin() as second:
        purge(bench.node, kind, *selectors_of(kind, changing.path), mode=mode)
        later = [changing.begin() for _ in range(3)]
        changing.go_on.set()
        assert first.response().body == OLD
        assert second.response().body in (OLD, NEW)
        for client in later:
            assert client.response().body == NEW
            client.close()
    hit = changing.get()
    assert hit.body == NEW and is_hit(changing.get())
    assert changing.get().body == NEW


def test_old_answer_that_ends_last_replaces_nothing(bench):
    """Hard: not stored, so a start from the disk does not bring it back either."""
    changing = Changing(bench, True, head_at_once=True)
    with changing.begin() as first:
        while b"old" not in first.buffer:
            first.more()
        purge(bench.node, "url", *selectors_of("url", changing.path))
        assert changing.get().body == NEW
        changing.go_on.set()
        assert first.response().body == OLD
    assert bench.node.restart() == 0
    hit = changing.get()
    assert is_hit(hit) and hit.body == NEW


@MODE
def test_old_answer_alone_is_not_served_as_fresh(bench, mode):
    """Nobody asks between the purge and the end of the old answer."""
    changing = Changing(bench, True, head_at_once=True)
    with changing.begin() as first:
        while b"old" not in first.buffer:
            first.more()
        purge(bench.node, "tag", "t" + changing.path, mode=mode)
        changing.go_on.set()
        assert first.response().body == OLD
    response = changing.get()
    assert not is_hit(response) and response.body == NEW
    assert (bench.origin.last(changing.path).get("if-none-match") == '"old"') == (mode == "soft")


@KIND
def test_purge_while_it_is_validated(bench, kind):
    """The question was sent before a hard purge; its 304 does not bring the object back."""
    path, go_on = bench.new_path(), threading.Event()
    answers = iter(range(1000))

    @bench.origin.on(path)
    def answer(x):
        number = next(answers)
        fields = [("Cache-Control", "max-age=600"), ("Surrogate-Key", "t" + path)]
        if number == 0:
            x.respond(200, [*fields, ("Age", "900"), ("ETag", '"a"')], b"old")
        elif number == 1:
            x.wait(go_on)
            x.respond(304, [*fields, ("ETag", '"a"')])
        else:
            x.respond(200, [*fields, ("ETag", '"b"')], b"new")

    bench.fill(path, host="www.test")
    with bench.node.http() as asking:
        asking.send_head("GET", path, host="www.test")
        bench.origin.wait_for(2, path)
        purge(bench.node, kind, *selectors_of(kind, path))
        response = bench.get(path, host="www.test")
        assert response.body == b"new" and not bench.origin.last(path).all("if-none-match")
        go_on.set()
        assert asking.response().body in (b"old", b"new")
    hit = bench.get(path, host="www.test")
    assert is_hit(hit) and hit.body == b"new"


@MODE
def test_a_purge_of_everything_makes_no_stampede(bench, mode):
    paths = [bench.serve([*LASTS, ("ETag", '"a"')]) for _ in range(3)]
    for path in paths:
        bench.fill(path, host="www.test")
    purge(bench.node, "all", mode=mode)
    bench.origin.clear()
    go_on = threading.Event()
    for path in paths:
        served = bench.origin.handlers[path][0]
        bench.origin.on(path)(lambda x, served=served: (x.wait(go_on), served(x)))
    clients = [(path, bench.node.http()) for path in paths * 20]
    for path, client in clients:
        client.send_head("GET", path, host="www.test")
    bench.origin.wait_for(3)
    go_on.set()
    for path, client in clients:
        assert client.response().body == b"2 of " + path.encode()
        client.close()
    assert bench.origin.count() == 3


# The race, many times


class Racer:
    """A client: what it may not see any more is known as it asks. It asks in a loop, or (a
    chaser) once after each purge."""

    def __init__(self, race, node, path, chases):
        self.race, self.chases = race, chases
        self.sock = harness.connect(node.http_port)
        self.sock.setblocking(False)
        self.request = ("GET %s HTTP/1.1\r\nHost: www.test\r\n\r\n" % path).encode()
        self.ask()

    def ask(self):
        self.buffer = b""
        self.floor = self.race.purged  # purges up to this one were answered with 200
        self.sock.sendall(self.request)

    def read(self):
        piece = self.sock.recv(65536)
        assert piece, "closed"
        self.buffer += piece
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end or len(body) < 8:
            return
        assert head.startswith(b"HTTP/1.1 200 "), head
        self.race.note(head, int(body), self.floor)
        if self.chases:
            self.race.idle.append(self)
        else:
            self.ask()


class Race:
    """50 clients ask for one object, purged again and again; bodies are version numbers."""

    def __init__(self, node, origin):
        self.node, self.origin = node, origin
        self.version = self.purged = 0
        self.changed = threading.Condition()
        self.answers = self.hits = self.collapsed = self.last = 0
        self.stale, self.faults, self.idle = [], [], []
        self.over = threading.Event()
        self.bell, self.ring = socket.socketpair()  # rings after each purge

        @origin.on("/race")
        def answer(x):
            version, when = self.version, random.randrange(3)
            if when == 0:  # purges come before the head
                time.sleep(random.random() * 0.004)
            x.head(200, [*LASTS, ("Surrogate-Key", "t/race"), ("Content-Length", 8)])
            if when == 1:  # one comes, and chasers after it, before the body
                with self.changed:
                    self.changed.wait_for(lambda: self.purged > version, 0.2)
                time.sleep(0.003)
            x.send(b"%08d" % version)

    def note(self, head, version, floor):
        self.answers += 1
        self.hits += b"perigee; hit" in head
        self.collapsed += b"; collapsed" in head
        self.last = max(self.last, version)
        if version < floor:
            self.stale.append((version, floor, head))

    def chase(self):
        self.bell.recv(65536)
        idle, self.idle = self.idle, []
        for racer in idle:
            racer.ask()

    def run_clients(self):
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self.bell, selectors.EVENT_READ, self.chase)
                racers = [Racer(self, self.node, "/race", i % 4 == 0) for i in range(CLIENTS)]
                for racer in racers:
                    selector.register(racer.sock, selectors.EVENT_READ, racer.read)
                while not self.over.is_set():
                    for key, _ in selector.select(0.1):
                        key.data()
                for racer in racers:
                    racer.sock.close()
        except Exception as error:  # shown by the test
            self.faults.append(error)

    def purge(self, number):
        self.version = number
        kinds = ["url", "tag", "path", "prefix", "host", "all"]
        kind = kinds[number % len(kinds)]
        purge(self.node, kind, *selectors_of(kind, "/race"),
              mode="soft" if number % 4 == 3 else "hard")
        with self.changed:
            self.purged = number
            self.changed.notify_all()
        self.ring.send(b"!")

    def run(self, purges):
        clients = threading.Thread(target=self.run_clients)
        clients.start()
        try:
            for number in range(1, purges + 1):
                if self.faults:
                    break
                self.purge(number)
            harness.wait_until(lambda: self.last >= purges or self.faults, "the last version")
        finally:
            self.over.set()
            clients.join(30)
            self.bell.close()
            self.ring.close()
        assert not self.faults, self.faults
        return self.stale


def test_nobody_gets_old_bytes_after_a_purge(make_node, origin):
    node = make_node(harness.config(origin.port, sites=SITES))
    race = Race(node, origin)
    stale = race.run(PURGES)
    print("%d answers, %d hits, %d joined, %d fetches" % (
        race.answers, race.hits, race.collapsed, origin.count("/race")))
    assert not stale, "%d of %d: %r" % (len(stale), race.answers, stale[:3])
    # It was a race: fetches were shared, and purges came between hits.
    assert race.collapsed > PURGES / 2 and race.hits > PURGES / 2
    assert origin.count("/race") >= PURGES / 4


def test_planted_fault_is_noticed(make_node, origin, monkeypatch):
    """The same race against a program that joins fetches from before a purge must fail."""
    program = os.environ.get("PERIGEE_FAULT_BIN")
    if not program:
        pytest.skip("PERIGEE_FAULT_BIN names no program built with -DPERIGEE_FAULTS=ON")
    monkeypatch.setenv("PERIGEE_BIN", program)
    node = make_node(harness.config(origin.port, sites=SITES),
                     environment={"PERIGEE_PLANT_FAULT": "join-fence"})
    race = Race(node, origin)
    stale = race.run(300)
    print("%d of %d answers were old" % (len(stale), race.answers))
    assert stale
