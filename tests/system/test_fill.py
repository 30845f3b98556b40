"""One fetch for all who want the same: who joins it, what splits it, what its end means."""

import os
import threading

import pytest

import crowd
import h2client
import harness
from cache_bench import Bench, cache_status, is_hit
from form_bench import figure

CC = "Cache-Control"
SHARED = [(CC, "max-age=600")]
BODY = os.urandom(400_000)
HALF = len(BODY) // 2


@pytest.fixture(scope="module")
def bench(make_module_node, make_module_origin):
    origin = make_module_origin()
    return Bench(make_module_node(harness.config(origin.port)), origin)


class Held:
    """A path that is answered in two halves, the second when the test says so."""

    def __init__(self, bench, fields=(), chunked=False, head_at_once=True, body=BODY):
        self.path, self.go_on = bench.new_path(), threading.Event()
        self.middle = len(body) // 2

        @bench.origin.on(self.path)
        def answer(x):
            if not head_at_once:
                x.wait(self.go_on)
            if chunked:
                x.head(200, [*SHARED, *fields, ("Transfer-Encoding", "chunked")])
                x.chunk(body[:self.middle])
                x.wait(self.go_on)
                x.chunk(body[self.middle:])
                x.send(b"0\r\n\r\n")
            else:
                x.head(200, [*SHARED, *fields, ("Content-Length", len(body))])
                x.send(body[:self.middle])
                x.wait(self.go_on)
                x.send(body[self.middle:])


def read_some(client, count):
    """The head and at least that many body bytes of the answer to come, put back unread."""
    seen = client.buffer
    while len(seen.partition(b"\r\n\r\n")[2]) < count:
        piece = client.sock.recv(1 << 18)
        assert piece, "closed"
        seen += piece
    client.buffer = seen


def open_all(stack, bench, path, http1=10, http2=0):
    """Clients that have asked: HTTP/1.1 ones and (connection, stream) of HTTP/2 ones."""
    tls = http2 > 0
    ones = [bench.node.https() if tls else bench.node.http() for _ in range(http1)]
    for client in ones:
        stack.append(client)
        client.send_head("GET", path)
    twos = []
    for _ in range(http2):
        client = h2client.H2(bench.node.https_port)
        stack.append(client)
        twos.append((client, client.open("GET", path)))
    return ones, twos


@pytest.fixture
def stack():
    clients = []
    yield clients
    for client in clients:
        client.close()


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_waiters_get_the_first_bytes_before_the_origin_sends_the_rest(bench, stack, chunked):
    held = Held(bench, chunked=chunked)
    ones, twos = open_all(stack, bench, held.path, http1=15, http2=10)
    for client in ones:
        read_some(client, held.middle)
    for client, stream in twos:
        response = client.responses[stream]
        client.wait(lambda r=response: r.body_bytes >= held.middle, "the first half")
        assert not response.over
    held.go_on.set()
    answers = [client.response() for client in ones]
    answers += [client.response(stream) for client, stream in twos]
    assert all(a.status == 200 and a.body == BODY for a in answers)
    said = [cache_status(a) for a in answers]
    assert all(s["fwd"] == "uri-miss" and "stored" in s for s in said)
    assert sum("collapsed" in s for s in said) == len(said) - 1
    assert bench.origin.count(held.path) == 1
    hit = bench.node.https().get(held.path)
    assert is_hit(hit) and hit.body == BODY and hit.get("content-length") == str(len(BODY))


def test_waiters_for_the_head_join_too(bench, stack):
    held = Held(bench, head_at_once=False)
    ones, _ = open_all(stack, bench, held.path, http1=20)
    bench.origin.wait_for(1, held.path)
    held.go_on.set()
    assert all(client.response().body == BODY for client in ones)
    assert bench.origin.count(held.path) == 1


def test_who_comes_after_the_head_joins_in_the_middle(bench, stack):
    held = Held(bench)
    first, _ = open_all(stack, bench, held.path, http1=1)
    read_some(first[0], held.middle)
    others, _ = open_all(stack, bench, held.path, http1=5)
    for client in others:
        read_some(client, held.middle)
    held.go_on.set()
    assert all(client.response().body == BODY for client in first + others)
    assert bench.origin.count(held.path) == 1


# Splitting


class Together:
    """A path whose answers say who asked; the ones after the first come when `count` are in."""

    def __init__(self, bench, count, fields):
        self.path, self.first_waits = bench.new_path(), threading.Event()
        self.all_in = threading.Barrier(count - 1)
        arrived = iter(range(1000))

        @bench.origin.on(self.path)
        def answer(x):
            if next(arrived) == 0:
                x.wait(self.first_waits)
            else:
                self.all_in.wait(20)  # a queue of fetches would never get here
            x.respond(fields=fields, body=b"for " + x.request.get("x-who").encode())


PRIVATE = pytest.mark.parametrize("fields", [
    [(CC, "private")], [(CC, "no-store")], [(CC, "max-age=60"), ("Set-Cookie", "a=1")],
    [(CC, "max-age=60"), ("Vary", "*")], []],
    ids=["private", "no-store", "cookie", "vary", "no-lifetime"])


@PRIVATE
def test_waiters_split_when_the_answer_is_not_for_all(bench, stack, fields):
    count = 8
    together = Together(bench, count, fields)
    clients = [bench.node.http() for _ in range(count)]
    stack += clients
    for who, client in enumerate(clients):
        client.send_head("GET", together.path, [("X-Who", who)])
        if who == 0:
            bench.origin.wait_for(1, together.path)
    together.first_waits.set()
    for who, client in enumerate(clients):
        response = client.response()
        assert response.body == b"for %d" % who
        assert "collapsed" not in cache_status(response)
    assert bench.origin.count(together.path) == count


@PRIVATE
def test_it_is_remembered_that_nothing_can_be_shared(bench, stack, fields):
    count = 8
    together = Together(bench, count, fields)
    together.first_waits.set()
    assert bench.get(together.path, [("X-Who", "first")]).body == b"for first"
    clients = [bench.node.http() for _ in range(count - 1)]
    stack += clients
    for who, client in enumerate(clients):
        client.send_head("GET", together.path, [("X-Who", who)])
    for who, client in enumerate(clients):  # the origin answers none before it has them all
        response = client.response()
        assert response.body == b"for %d" % who and cache_status(response) == {"fwd": "miss"}


def test_what_is_remembered_is_forgotten(bench):
    path = bench.serve([(CC, "private")])
    bench.get(path)
    bench.serve(SHARED, path=path)
    bench.wait(lambda: is_hit(bench.get(path)), "it is stored")


def test_waiters_split_by_vary(bench, stack):
    path, go_on = bench.new_path(), threading.Event()

    @bench.origin.on(path)
    def answer(x):
        x.wait(go_on)
        x.respond(fields=[*SHARED, ("Vary", "X-Kind")],
                  body=b"kind " + x.request.get("x-kind").encode())

    clients = [(kind, bench.node.http()) for kind in "abcabcabc"]
    stack += [client for _, client in clients]
    for kind, client in clients:
        client.send_head("GET", path, [("X-Kind", kind)])
    bench.origin.wait_for(1, path)
    go_on.set()
    for kind, client in clients:
        assert client.response().body == b"kind " + kind.encode()
    assert bench.origin.count(path) == 3


def test_a_failure_is_shared_and_tried_anew(bench, stack):
    path, go_on = bench.new_path(), threading.Event()

    @bench.origin.on(path)
    def answer(x):
        x.wait(go_on)
        x.close()

    ones, _ = open_all(stack, bench, path, http1=20)
    bench.origin.wait_for(1, path)
    go_on.set()
    for client in ones:
        response = client.response()
        assert response.status == 502 and response.all("proxy-status")
    assert bench.origin.count(path) <= 4  # not twenty
    bench.serve(SHARED, path=path, body=b"well")
    assert bench.get(path).body == b"well"


# Clients that go


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("leader", ["http1", "http2"])
def test_others_get_all_when_the_leader_goes(bench, stack, chunked, leader):
    held = Held(bench, chunked=chunked)
    if leader == "http1":
        first = bench.node.https()
        stack.append(first)
        first.send_head("GET", held.path)
        read_some(first, 1000)
    else:
        first = h2client.H2(bench.node.https_port)
        stack.append(first)
        stream = first.open("GET", held.path)
        first.wait(lambda: first.responses[stream].body_bytes > 1000, "first bytes")
    ones, twos = open_all(stack, bench, held.path, http1=4, http2=4)
    for client in ones:
        read_some(client, 1000)
    for client, number in twos:
        client.wait(lambda c=client, n=number: c.responses[n].body_bytes > 1000, "first bytes")
    if leader == "http1":
        first.close()
    else:
        first.reset(stream)
        first.ping()
        first.wait(lambda: first.pongs == 1, "the reset is read")
    held.go_on.set()
    assert all(client.response().body == BODY for client in ones)
    assert all(client.response(number).body == BODY for client, number in twos)
    assert bench.origin.count(held.path) == 1
    with bench.node.https() as client:
        assert is_hit(client.get(held.path))


def test_a_fetch_that_nobody_wants_any_more_is_given_up(bench):
    path, gone = bench.new_path(), threading.Event()

    @bench.origin.on(path)
    def answer(x):
        x.head(200, [*SHARED, ("Content-Length", 1 << 40)])
        try:
            x.stream(1 << 40)
        finally:
            gone.set()

    with bench.node.http() as client:
        client.send_head("GET", path)
        read_some(client, 1000)
    assert gone.wait(20), "the origin still sends"
    bench.wait(lambda: bench.node.status()["cache"]["fills"] == 0, "no fill is left")
    bench.serve(SHARED, path=path, body=b"another")
    assert bench.get(path).body == b"another"


# Slow ones


def test_a_slow_reader_holds_nobody_up(bench):
    body = os.urandom(1 << 20) * 20
    path = bench.serve(SHARED, body=body)
    group = crowd.Crowd(body)
    try:
        group.http1(bench.node.http_port, path, slow=True)
        bench.origin.wait_for(1, path)
        for _ in range(2):
            group.http1(bench.node.http_port, path)
        group.run()
    finally:
        group.close()
    # It was far behind when the others had everything; the store had the rest for it.
    assert group.behind[0] < len(body) // 2
    # joined until the last of it is on disk, a hit from then on
    bench.wait(lambda: is_hit(bench.head(path)), "the object to be whole")
    assert bench.origin.count(path) == 1


def test_without_a_disk_a_reader_that_stands_still_is_cut(make_node, make_origin, stack):
    origin = make_origin()
    node = make_node(harness.config(origin.port, cache={"memory": "16MiB",
                                                        "disk": {"size": "0B"}}))
    bench = Bench(node, origin)
    body = os.urandom(1 << 20) * 40
    path, all_are_in = bench.new_path(), threading.Event()

    @origin.on(path)
    def answer(x):
        x.head(200, [*SHARED, ("Content-Length", len(body))])
        x.wait(all_are_in)  # once its first bytes are gone nobody joins any more
        x.send(body)

    still = bench.node.http(receive_bytes=8192)
    stack.append(still)
    still.send_head("GET", path)
    origin.wait_for(1, path)
    group = crowd.Crowd(body)
    try:
        for _ in range(2):
            group.http1(bench.node.http_port, path)
        bench.wait(lambda: figure(node, "perigee_cache_requests_total", result="joined") == 2,
                   "two more readers of the same fill")
        all_are_in.set()
        group.run()
    finally:
        all_are_in.set()
        group.close()
    with pytest.raises(harness.Cut):
        still.response(keep=False)


# The origin's end


def cut_after(count, end, chunked):
    def answer(x):
        x.head(200, SHARED + [("Transfer-Encoding", "chunked") if chunked else
                              ("Content-Length", len(BODY))])
        if chunked:
            x.chunk(BODY[:count])
        else:
            x.send(BODY[:count])
        getattr(x, end)()
    return answer


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("count", [1, HALF, len(BODY) - 1])
def test_a_cut_is_passed_on_and_nothing_is_stored(bench, chunked, end, count):
    path = bench.new_path()
    bench.origin.on(path)(cut_after(count, end, chunked))
    with bench.node.http() as client, pytest.raises(harness.Cut) as cut:
        client.get(path)
    got = cut.value.response
    assert got is None or BODY.startswith(got.body) and got.body_bytes < len(BODY)
    with h2client.H2(bench.node.https_port) as client:
        response = client.get(path)
        assert response.reset is not None and not response.ended
        assert BODY.startswith(response.body) and response.body_bytes < len(BODY)
    bench.origin.on(path)(lambda x: x.respond(fields=SHARED, body=BODY))
    response = bench.get(path)
    assert response.body == BODY and not is_hit(response)


def test_a_cut_reaches_all_who_joined(bench, stack):
    path, go_on = bench.new_path(), threading.Event()

    @bench.origin.on(path)
    def answer(x):
        x.head(200, [*SHARED, ("Content-Length", len(BODY))])
        x.send(BODY[:HALF])
        x.wait(go_on)
        x.close()

    ones, _ = open_all(stack, bench, path, http1=10)
    for client in ones:
        read_some(client, HALF)
    go_on.set()
    for client in ones:
        with pytest.raises(harness.Cut):
            client.response()
    assert bench.origin.count(path) == 1


@pytest.mark.parametrize("end, whole", [("close", True), ("reset", False)])
def test_a_body_that_ends_with_the_connection(bench, end, whole):
    """RFC 9112 8: complete, unless the connection ended badly."""
    path = bench.new_path()

    @bench.origin.on(path)
    def answer(x):
        x.head(200, [*SHARED, ("Connection", "close")])
        x.send(BODY)
        # Bytes in flight are lost with a reset: only when all were taken is it seen alone.
        x.wait(taken)
        getattr(x, end)()

    taken = threading.Event()
    with bench.node.http() as client:
        client.send_head("GET", path)
        read_some(client, len(BODY))
        taken.set()
        if whole:
            assert client.response().body == BODY
        else:
            with pytest.raises(harness.Cut):
                client.response()
    bench.serve(SHARED, path=path, body=b"later")
    assert is_hit(bench.get(path)) == whole


@pytest.mark.parametrize("say_goodbye", [True, False])
def test_tls_must_say_goodbye_before_a_body_is_whole(make_node, make_origin, certs, say_goodbye):
    origin = make_origin(tls=certs.localhost)
    bench = Bench(make_node(harness.config(0, origins={"app": {
        "tls": {"ca": certs.ca}, "host": "localhost",
        "servers": [{"url": "https://127.0.0.1:%d" % origin.port}]}})), origin)
    path = bench.new_path()

    @origin.on(path)
    def answer(x):
        x.head(200, [*SHARED, ("Connection", "close")])
        x.send(BODY)
        if say_goodbye:
            x.connection.sock.unwrap()
        x.close()

    if say_goodbye:
        assert bench.get(path).body == BODY and is_hit(bench.get(path))
    else:
        with pytest.raises(harness.Cut):
            bench.get(path)
        with pytest.raises(harness.Cut):
            bench.get(path)


@pytest.mark.parametrize("pieces", [[], [b"x"], [b"0123456789"] * 5, [os.urandom(65536)] * 3,
                                    [os.urandom(1 << 20)] * 5], ids=len)
def test_chunks_are_stored_as_the_bytes_they_carry(bench, pieces):
    path, body = bench.new_path(), b"".join(pieces)
    bench.origin.on(path)(lambda x: x.chunks(pieces, fields=SHARED))
    for response in (bench.get(path), bench.get(path)):
        assert response.status == 200 and response.body == body
    # A large one is a hit once it is on disk; until then it is joined.
    bench.wait(lambda: is_hit(bench.get(path)), "a hit")
    assert bench.origin.count(path) == 1
    with h2client.H2(bench.node.https_port) as client:
        assert client.get(path).body == body and client.get(path).body == body
    part = bench.get(path, [("Range", "bytes=0-0")])
    assert (part.status, part.body) == (206 if body else 200, body[:1])
