"""A node's life: reloads that harm nothing, stops that finish what runs, bounds that hold."""

import re
import resource
import shutil
import signal
import socket
import ssl
import threading
import time

import pytest

import h2client
import harness

HALF = 100000


class Held:
    """An origin's path that answers its first half, and the second one when released."""

    def __init__(self, origin, path, fields=()):
        self.path, self.released = path, threading.Event()
        self.first = path.encode().ljust(HALF, b"1")
        self.second = b"2" * HALF

        @origin.on(path)
        def answer(x):
            x.head(200, [("Content-Length", 2 * HALF), *fields])
            x.send(self.first)
            x.wait(self.released)
            x.send(self.second)

    def ask(self, client):
        """Sends the request and reads the first half."""
        client.send_head("GET", self.path)
        while len(client.buffer) < HALF:
            client.more()
        return client

    def finish(self, client):
        """The rest; the whole body must be right."""
        self.released.set()
        response = client.response()
        self.check(response)
        return response

    def check(self, response):
        assert response.status == 200 and response.body == self.first + self.second, \
            (response.status, len(response.body))


def with_mark(port, mark):
    """A configuration that can be told from outside: /mark is answered with a status."""
    made = harness.config(port)
    made["sites"][0]["routes"] = [
        {"match": {"path": "/mark"}, "respond": {"status": mark}}, {"origin": "app"}]
    return made


# Reload


def test_reload_harms_nothing_in_flight(make_node, origin):
    """A download, an upload and two HTTP/2 streams run on; what comes next meets the new file."""
    node = make_node(with_mark(origin.port, 201))
    slow, stream = Held(origin, "/slow"), Held(origin, "/stream")
    kept = Held(origin, "/kept", [("Cache-Control", "max-age=60")])

    @origin.on("/upload")
    def upload(x):
        x.respond(body=x.body())

    with node.http() as down, node.http() as up, h2client.H2(node.https_port) as h2, \
            node.http() as idle, node.https() as idle_tls, node.http() as filling:
        assert [c.get("/mark").status for c in (idle, idle_tls)] == [201, 201]
        slow.ask(down)
        kept.ask(filling)
        up.send_head("PUT", "/upload", [("Content-Length", 2 * HALF)])
        up.send(b"u" * HALF)
        first = h2.open("GET", "/stream")
        second = h2.open("POST", "/upload", end=False)
        h2.data(second, b"v" * 5000, end=False)
        h2.wait(lambda: len(h2.responses[first].body) == HALF, "the first half")
        for mark in (202, 203):
            assert node.reload(with_mark(origin.port, mark)) is True
            # new requests, on new and on old connections
            assert node.get("/mark").status == mark
            assert [c.get("/mark").status for c in (idle, idle_tls)] == [mark, mark]
            assert h2.get("/mark").status == mark
        slow.finish(down)
        kept.finish(filling)
        up.send(b"u" * HALF)
        assert up.response("PUT").body == b"u" * 2 * HALF
        h2.data(second, b"w" * 5000)
        assert h2.response(second).body == b"v" * 5000 + b"w" * 5000
        stream.released.set()
        stream.check(h2.response(first))
        # and what was filled meanwhile was stored
        kept.check(node.get("/kept"))
        assert origin.count("/kept") == 1
        assert not h2.goaway and not h2.closed
        assert [c.get("/mark").status for c in (down, up, idle)] == [203, 203, 203]


def test_reload_under_load(make_node, origin):
    """Twenty reloads while clients ask without a pause: nobody sees an error."""
    origin.reply("/a", fields=[("Cache-Control", "max-age=600")], body=b"a" * 3000)
    node = make_node(with_mark(origin.port, 201))
    node.get("/a")
    stop, wrong, counts = threading.Event(), [], []

    def ask(client, close):
        count = 0
        try:
            while not stop.is_set():
                response = client.get("/a")
                if (response.status, len(response.body)) != (200, 3000):
                    wrong.append(response)
                count += 1
                if close and count % 10 == 0:
                    client.close()
                    client = node.http()
        except Exception as error:  # told by the test, not by the thread
            wrong.append(error)
        client.close()
        counts.append(count)

    threads = [threading.Thread(target=ask, args=pair)
               for pair in ((node.http(), False), (node.http(), True),
                            (h2client.H2(node.https_port), False))]
    for thread in threads:
        thread.start()
    try:
        for i in range(20):
            assert node.reload(with_mark(origin.port, 200 + i % 4)) is True
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert not wrong and min(counts) > 20, (wrong, counts)


def test_reload_adds_and_removes_listeners(make_node, origin):
    node = make_node(harness.config(origin.port))
    slow, port = Held(origin, "/slow"), harness.free_port()
    made = harness.config(origin.port)
    made["listeners"].append({"name": "new", "address": "127.0.0.1:%d" % port})
    assert node.reload(made) is True
    with harness.Http1(port) as client, harness.Http1(port) as down:
        assert client.get("/x", host="localhost:%d" % port).status == 200
        slow.ask(down)
        assert node.reload(harness.config(origin.port)) is True
        harness.wait_until(lambda: is_refused(port), "the removed listener is closed")
        slow.finish(down)
    assert node.get("/y").status == 200
    # and its port can be had again, by others and by a later reload
    socket.create_server(("127.0.0.1", port)).close()
    assert node.reload(made) is True
    with harness.Http1(port) as client:
        assert client.get("/x").status == 200


def test_reload_moves_the_only_listeners(make_node, origin):
    node = make_node(harness.config(origin.port))
    old = node.http_port, node.https_port
    node.http_port, node.https_port = harness.free_port(), harness.free_port()
    assert node.reload(harness.config(origin.port)) is True
    assert node.get("/x").status == 200
    with node.https() as client:
        assert client.get("/x").status == 200
    for port in old:
        harness.wait_until(lambda p=port: is_refused(p), "the old listener is closed")


def test_reload_to_a_busy_port_keeps_the_old(make_node, origin):
    node = make_node(with_mark(origin.port, 201))
    port = harness.free_port()
    made = with_mark(origin.port, 202)
    made["listeners"].append({"name": "new", "address": "127.0.0.1:%d" % port})
    with socket.create_server(("127.0.0.1", port)):
        assert node.reload(made) is False
    assert re.search(r"line=\d+ column=\d+ .*:%d.*[Aa]ddress already in use" % port, node.log)
    assert node.get("/mark").status == 201
    assert node.reload(made) is True
    assert node.get("/mark").status == 202


def is_refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        return False
    except ConnectionRefusedError:
        return True


def test_reload_reads_certificates_again(make_node, origin, certs):
    """The files are replaced, the configuration is the same; an old connection goes on."""
    made = harness.config(origin.port)
    made["listeners"][1]["tls"]["certificates"] = [
        {"cert": "@FOLDER@/site.pem", "key": "@FOLDER@/site.key"}]
    node = make_node(made, start=False)
    install(node, certs.localhost)
    node.start()
    with node.https() as old, h2client.H2(node.https_port) as old_h2:
        assert old.get("/x").status == old_h2.get("/x").status == 200
        assert shown(node) == pem(certs.localhost)
        # a key that is not of this certificate: the old pair stays
        shutil.copy(certs.other[0], node.folder / "site.pem")
        assert node.reload(made) is False
        assert "does not match" in node.log
        assert shown(node) == pem(certs.localhost)
        install(node, certs.other)
        assert node.reload(made) is True
        assert shown(node) == pem(certs.other)
        assert old.get("/y").status == old_h2.get("/y").status == 200


def install(node, pair):
    shutil.copy(pair[0], node.folder / "site.pem")
    shutil.copy(pair[1], node.folder / "site.key")


def pem(pair):
    with open(pair[0]) as file:
        return ssl.PEM_cert_to_DER_cert(file.read())


def shown(node):
    with node.https() as client:
        return client.sock.getpeercert(binary_form=True)


def test_faulty_file_leaves_the_old_one_in_force(make_node, origin):
    node = make_node(with_mark(origin.port, 201))
    made = with_mark(origin.port, 202)
    made["nodd"] = {}
    made["limits"] = {"connections": 1, "drain": "soon"}
    made["sites"][0]["routes"][1]["origin"] = "ap"
    assert node.reload(made) is False
    lines = node.file.read_text().splitlines()
    for setting, what in (("nodd", "unknown key"), ("connections", "out of range"),
                          ("drain", "soon"), ("ap", "there is no origin")):
        number = next(n for n, line in enumerate(lines, 1) if '"%s"' % setting in line)
        assert re.search(r"perigee\.yaml line=%d column=\d+ message=.*%s" % (number, what),
                         node.log), node.log
    assert node.get("/mark").status == 201
    # the same by the API and by the command, which tell the faults to who asked
    answer = node.admin("POST", "/v1/reload")
    assert answer.status == 422 and answer.json["reloaded"] is False
    assert len([f for f in answer.json["faults"] if not f["warning"]]) == 4, answer.json
    got = command(node, "reload")
    assert got.returncode == 1 and "there is no origin" in got.stdout + got.stderr, got
    node.file.unlink()
    assert node.admin("POST", "/v1/reload").status == 422
    assert node.get("/mark").status == 201
    node.write(with_mark(origin.port, 203))
    assert command(node, "reload").returncode == 0
    assert node.get("/mark").status == 203


def command(node, *arguments):
    return harness.program(*arguments, "--admin", "http://127.0.0.1:%d" % node.admin_port)


# Stop


def test_sigterm_finishes_what_runs(make_node, origin):
    node = make_node(harness.config(origin.port))
    slow, stream = Held(origin, "/slow"), Held(origin, "/stream")

    @origin.on("/upload")
    def upload(x):
        x.respond(body=x.body())

    with node.http() as down, h2client.H2(node.https_port) as h2, node.http() as up:
        slow.ask(down)
        first = h2.open("GET", "/stream")
        h2.wait(lambda: len(h2.responses[first].body) == HALF, "the first half")
        up.send_head("PUT", "/upload", [("Content-Length", 2 * HALF)])
        up.send(b"u" * HALF)
        node.send_signal(signal.SIGTERM)
        harness.wait_until(lambda: is_refused(node.http_port), "it stops to listen")
        h2.wait(lambda: h2.goaway, "GOAWAY")
        up.send(b"u" * HALF)
        assert up.response("PUT").body == b"u" * 2 * HALF
        slow.finish(down)
        stream.released.set()
        stream.check(h2.response(first))
        assert down.is_closed() and up.is_closed()
        assert h2.wait_closed()[0] == h2client.NO_ERROR
        assert node.wait_exit() == 0
    lines = node.access_log()
    assert {line["path"] for line in lines} >= {"/slow", "/stream", "/upload"}, lines
    assert all(line["whole"] for line in lines), lines


def test_sigterm_with_idle_connections_ends_at_once(make_node, origin):
    node = make_node(harness.config(origin.port))
    with node.http() as h1, node.https() as tls, h2client.H2(node.https_port) as h2, \
            node.http() as silent:
        assert h1.get("/a").status == tls.get("/b").status == h2.get("/c").status == 200
        began = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began < 5
        assert h1.is_closed() and tls.is_closed() and silent.is_closed()
        assert h2.wait_closed()[0] == h2client.NO_ERROR


def test_drain_serves_on_for_its_time(make_node, origin):
    node = make_node(harness.config(origin.port, limits={"drain": "3s"}))
    with node.http() as old, h2client.H2(node.https_port) as h2:
        assert old.get("/old").status == h2.get("/old").status == 200
        assert command(node, "status", "--quiet").returncode == 0
        began = time.monotonic()
        node.send_signal(signal.SIGTERM)
        harness.wait_until(lambda: node.admin("GET", "/v1/health").status == 503,
                           "health says 503")
        got = command(node, "status", "--quiet")
        assert (got.returncode, got.stdout) == (1, ""), got
        # new connections are served, and asked not to stay
        with node.http() as client:
            response = client.get("/new")
            assert response.status == 200 and response.get("connection") == "close"
            assert client.is_closed()
        with h2client.H2(node.https_port) as new:
            assert new.get("/new").status == 200
            new.wait(lambda: new.goaway, "GOAWAY")
        assert h2.wait_closed()[0] == h2client.NO_ERROR
        assert old.is_closed()
        assert node.wait_exit() == 0
        assert 2.5 < time.monotonic() - began < 12


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_second_signal_ends_at_once(make_node, origin, second):
    node = make_node(harness.config(origin.port, limits={"drain": "1h"}))
    slow = Held(origin, "/slow")
    with node.http() as down:
        slow.ask(down)
        node.send_signal(signal.SIGTERM)
        harness.wait_until(lambda: node.admin("GET", "/v1/health").status == 503,
                           "health says 503")
        began = time.monotonic()
        assert node.stop(second) == 0
        assert time.monotonic() - began < 5
        with pytest.raises(harness.Cut):
            down.response()


def test_sigint_skips_the_drain(make_node, origin):
    node = make_node(harness.config(origin.port, limits={"drain": "1h"}))
    assert node.get("/a").status == 200
    began = time.monotonic()
    assert node.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 5


def test_stop_with_an_origin_that_never_answers(make_node, origin):
    """What cannot be finished holds the stop up for a bounded time."""
    node = make_node(harness.config(origin.port))
    never = Held(origin, "/never")
    with node.http() as down:
        never.ask(down)
        assert node.stop(deadline_s=30) == 0
        with pytest.raises(harness.Cut):
            down.response()


def test_signals_that_mean_nothing(make_node, origin):
    """A closed terminal's pipes and a user's USR1 do not end a server."""
    node = make_node(harness.config(origin.port))
    for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGWINCH):
        node.send_signal(number)
    assert node.get("/a").status == 200


# Bounds


def limited(origin, connections):
    made = harness.config(origin.port, limits={"connections": connections})
    made["node"]["workers"] = 1
    return made


def admitted(node, wanted):
    """Opens connections until `wanted` were answered or one was not; those answered."""
    clients = []
    while len(clients) < wanted:
        client = node.http()
        try:
            assert client.get("/x").status == 200
        except (harness.Cut, ConnectionError):
            client.close()
            break
        clients.append(client)
    return clients


def test_connections_are_bounded(make_node, origin):
    node = make_node(limited(origin, 10))
    clients = admitted(node, 30)
    assert len(clients) == 10
    for _ in range(5):
        assert harness.raw(node.http_port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b""
    assert node.admin("GET", "/v1/health").status == 200, "the admin listener has its own"
    assert all(client.get("/y").status == 200 for client in clients), "those inside stay"
    assert node.status()["connections"] >= 10
    for client in clients[:4]:
        client.close()

    def refilled():
        clients.extend(admitted(node, 14 - len(clients)))
        return len(clients) == 14

    harness.wait_until(refilled, "freed connections can be had again")
    for client in clients:
        client.close()


def test_few_files_at_start_cut_the_connections(certs, tmp_path, origin):
    """The limit of open files is told, and nobody gets a connection that has no room."""
    node = harness.Node(tmp_path, limited(origin, 10000), certs, files=200)
    node.start()
    try:
        clients = admitted(node, 400)
        assert 5 < len(clients) < 200
        assert re.search(r"event=connections_cut configured=10000 to=\d+", node.log), node.log
        assert "Too many open files" not in node.log
        for client in clients:
            client.close()
        harness.wait_until(lambda: len(close_all(admitted(node, 5))) == 5, "served again")
    finally:
        node.close()


def close_all(clients):
    for client in clients:
        client.close()
    return clients


def test_exhausted_files_do_not_end_it(make_node, origin):
    """No file is left for the next connection, client's or origin's: later all is well."""
    origin.reply("/kept", fields=[("Cache-Control", "max-age=600")], body=b"k" * 5000)
    node = make_node(limited(origin, 1000))
    assert node.get("/kept").status == 200
    pid = node.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    inside = [node.http() for _ in range(4)]
    assert all(c.get("/kept").status == 200 for c in inside)
    room = node.open_files() + 3
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (room, before[1]))
    waiting = [node.http() for _ in range(10)]  # the kernel takes them, the node cannot
    try:
        for client in waiting:
            client.send_head("GET", "/kept")
        node.wait_log(r"event=\w+ .*Too many open files")
        # connections that are there work; a fetch fails like any other
        assert all(c.get("/kept").body == b"k" * 5000 for c in inside)
        assert {c.get("/new%d" % i).status for i, c in enumerate(inside)} <= {200, 502, 503}
        for client in inside:
            client.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        # and those that waited are served now
        assert all(c.response().body == b"k" * 5000 for c in waiting)
    finally:
        close_all(waiting)
    assert node.get("/later").status == 200
    assert node.stop() == 0
