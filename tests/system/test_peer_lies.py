"""A member that holds the secret and lies: in its vectors, in what it sends, or by saying nothing.
The verdict of each (docs/purge.md): no failed request, nothing old, hits as before, and purges
among the others in effect at once."""

import itertools
import os

import pytest

import gossip
from cache_bench import is_hit
from crew import Crew
from fake_peer import PULL, Asked, FakePeer, answer_to
from harness import wait_until

OBJECTS, FAR = 40, 1 << 40
SYNC = "/.perigee/sync"
OCTETS = [("content-type", "application/octet-stream")]


class Ground:
    """n1 and n2 are honest; n3 gossips as a real node does and answers as the test wants."""

    def __init__(self, make_node, origin, folder, answer, shakes=True):
        self.version, self.asked = 1, {}
        origin.handlers["*"] = (self.serve, True)
        host = gossip.free_host()
        secret = gossip.new_key()
        self.liar = FakePeer(host, secret, "n3", answer, shakes)
        self.crew = Crew(make_node, origin, folder, together=False, key=secret, clusters={
            "n3": {"peer_advertise": "%s:%d" % (host, self.liar.port)}})
        self.honest = [self.crew["n1"], self.crew["n2"]]

    def serve(self, x):
        self.asked[x.request.target] = self.asked.get(x.request.target, 0) + 1
        x.respond(200, [("Cache-Control", "max-age=3600")], b"%d" % self.version)

    def wait_ready(self):
        for name in ("n1", "n2"):
            self.crew.wait_state(name, "n3", "alive")
            wait_until(lambda name=name: not self.crew[name].status()["cluster"]["log_behind"],
                       "%s is not cautious" % name)

    def ask_all(self, least):
        """Hits at each honest node; every request succeeds, and nothing is older than that."""
        hits = []
        for node in self.honest:
            hits.append(0)
            with node.http() as client:
                for i in range(OBJECTS):
                    response = client.get("/o/%d" % i)
                    assert response.status == 200, response
                    assert int(response.body) >= least, (node.name, i, response)
                    hits[-1] += is_hit(response)
        return hits

    def purge(self, at, wait="1s"):
        self.version += 1
        answer = self.crew[at].admin("POST", "/v1/purge", {"type": "all", "wait": wait})
        assert answer.status in (200, 202), answer.body
        return answer

    def check(self, rounds=3):
        """Purges by both, hits between them."""
        self.wait_ready()
        self.ask_all(1)
        for turn in range(rounds):
            answer = self.purge("n%d" % (1 + turn % 2))
            nodes = answer.json["nodes"]
            assert set(nodes["pending"] + nodes["unreachable"]) <= {"n3"}, nodes
            self.ask_all(self.version)
            hits = self.ask_all(self.version)
            assert min(hits) >= 0.9 * OBJECTS, (turn, hits)

    def close(self):
        self.liar.close()


@pytest.fixture
def ground(make_node, origin, tmp_path):
    made = []

    def make(answer, **how):
        made.append(Ground(make_node, origin, tmp_path, answer, **how))
        return made[0]

    yield make
    for each in made:
        each.close()


def syncs(lie):
    """Lies about purges; of objects it has none."""
    def answer(request):
        if request.path != SYNC:
            return 404, [], b""
        return 200, OCTETS, lie(Asked(request.body))
    return answer


def ahead(asked):
    """Has everything, and much more of each stream."""
    return answer_to(asked, {s: n + FAR for s, n in asked.vector.items()}, through=FAR)


def behind(asked):
    return answer_to(asked, {})


def crowd(asked):
    """Thousands of streams that nobody knows, of which it then gives nothing."""
    return answer_to(asked, {**asked.vector, **{(i + 1) << 32: 7 for i in range(5000)}})


def to_and_fro(turn=itertools.count()):
    def lie(asked):
        return answer_to(asked, {s: n + FAR if next(turn) % 2 else 1
                                 for s, n in asked.vector.items()})
    return lie


def floors(turn=itertools.count(1)):
    """A new stream each time, of which all is said to be gone everywhere."""
    def lie(asked):
        vector = {**asked.vector, next(turn) << 40: FAR}
        return answer_to(asked, vector, floor=FAR, through=FAR)
    return lie


def nonsense(asked):
    return answer_to(asked, asked.vector, through=FAR,
                     records=os.urandom(300) if asked.kind == PULL else b"")


def members(asked):
    """Says each time that members are others, and tells none."""
    return answer_to(asked, asked.vector,
                     members_hash=int.from_bytes(os.urandom(8), "big"))


@pytest.mark.parametrize("lie", [ahead, behind, crowd, to_and_fro(), nonsense, members],
                         ids=["ahead", "behind", "crowd", "to and fro", "nonsense", "members"])
def test_about_its_vector(ground, lie):
    g = ground(syncs(lie))
    g.check()
    assert any(r.path == SYNC for r in g.liar.asked)


def test_that_all_is_gone_everywhere(ground):
    """The safe fallback is one validation of everything each time: at most now and then."""
    g = ground(syncs(floors()))
    g.wait_ready()
    g.ask_all(1)
    hits = [g.ask_all(1) for _ in range(20)]
    assert sum(map(sum, hits)) >= 0.9 * 2 * 20 * OBJECTS, hits
    g.check(2)


@pytest.mark.parametrize("body", [b"", b"\x01", os.urandom(40), b"\x01" + bytes(400000)],
                         ids=["nothing", "short", "random", "long"])
def test_in_bytes_that_are_none(ground, body):
    ground(lambda request: (200, OCTETS, body)).check()


def test_in_what_it_has(ground):
    """It answers for objects with others' vectors, ages and bodies: never without a vector that
    covers ours, and nothing old after a purge."""
    def answer(request):
        if request.path == SYNC:
            return 200, OCTETS, behind(Asked(request.body))
        return 200, [("cache-control", "max-age=3600"), ("age", "0")], b"0"

    ground(answer).check()


@pytest.mark.parametrize("fields", [[("perigee-vector", "AAAA")], [("perigee-vector", "!")],
                                    [("perigee-vector", "x" * 20000)],
                                    [("x-long", "y" * 60000)]],
                         ids=["short", "bad", "long", "head"])
def test_in_the_head_of_an_object(ground, fields):
    def answer(request):
        if request.path == SYNC:
            return 200, OCTETS, behind(Asked(request.body))
        return 200, [("cache-control", "max-age=3600"), *fields], b"0"

    ground(answer).check()


def test_by_an_endless_answer(ground):
    """To a request about purges; what is too long is given up."""
    def answer(request):
        if request.path == SYNC:
            return 200, OCTETS, (bytes(16384) for _ in itertools.count())
        return 404, [], b""

    ground(answer).check()


@pytest.mark.parametrize("shakes", [True, False])
def test_by_saying_nothing(ground, shakes):
    ground(lambda request: None, shakes=shakes).check(2)
