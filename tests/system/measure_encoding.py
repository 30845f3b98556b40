#!/usr/bin/env python3
"""Measures what compression costs and saves. No test: it is run by hand, on an idle machine.

    PERIGEE_BIN=build/release/perigee tests/system/measure_encoding.py corpus FOLDER...
    PERIGEE_BIN=build/release/perigee tests/system/measure_encoding.py hits

corpus  Text files under FOLDER (those of some *-doc packages: /usr/share/doc), up to 20 MB,
        are given by an nginx. In front of it, one after the other: Perigee, and nginx with
        proxy_cache and gzip on (level 6). PASSES passes over all files by a client of zstd, of
        gzip, and of identity alone: bytes of bodies sent, and the server's CPU time, that of
        our encoders apart; they may finish after each pass. The first pass has the fetches, and
        what is encoded as it is sent; the others are hits. Then files that hold the bytes of
        our zstd forms, as a type that is not encoded: what a hit of as many bytes costs where
        nothing was ever encoded, asked for alike, in TURNS passes by turns with hits of the
        forms. Everything that comes is decoded and compared.
hits    The median of 1 KiB hits, node on CPU 0, client on CPU 1, while encoders have nothing to
        do and while they have more than they can do, in turns; loop turns over 10 ms.

Exit code 1: something that is promised does not hold.
"""

import argparse
import contextlib
import hashlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import codings  # noqa: E402
import harness  # noqa: E402
import origin as origin_module  # noqa: E402
from form_bench import content_of, figure, request  # noqa: E402
from test_nginx import NGINX  # noqa: E402

PASSES, TURNS = 10, 40
NOISE = 0.03
CORPUS_MAX = 20_000_000
TYPES = {"html": "text/html", "txt": "text/plain", "js": "application/javascript",
         "css": "text/css", "json": "application/json", "svg": "image/svg+xml"}
MIB = 1 << 20

NGINX_MAIN = """\
{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 600;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {rest}
}}
"""
STATIC = """
    types {{ {types} }}
    default_type application/octet-stream;
    server {{ listen 127.0.0.1:{port}; root {root}; expires 1h; }}
"""
PROXY = """
    gzip on;
    gzip_comp_level 6;
    gzip_min_length 512;
    gzip_proxied any;
    gzip_vary on;
    gzip_types {types};
    proxy_cache_path {folder}/cache levels=1:2 keys_zone=c:20m max_size=1g use_temp_path=off;
    upstream o {{ server 127.0.0.1:{origin}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://o;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Accept-Encoding "";
            proxy_cache c;
        }}
    }}
"""


class Nginx:
    def __init__(self, folder, rest):
        folder.mkdir()
        user = "user root;\n" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(NGINX_MAIN.format(user=user, folder=folder, rest=rest))
        self.process = subprocess.Popen(
            [NGINX, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def close(self):
        self.process.terminate()
        self.process.wait(20)


def cpu_seconds(pid):
    """Of a process and its children, all threads, from the scheduler's own count."""
    total, waiting = 0, [pid]
    while waiting:
        for task in pathlib.Path("/proc/%d/task" % waiting.pop()).iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
                waiting += map(int, (task / "children").read_text().split())
            except OSError:
                continue  # a thread that has just ended
    return total / 1e9


def gather(folders, root):
    """Copies text files; {target: hash}."""
    targets, left = {}, CORPUS_MAX
    for file in sorted(f for folder in folders for f in pathlib.Path(folder).rglob("*")):
        kind = file.suffix[1:]
        if kind not in TYPES or file.is_symlink() or not file.is_file():
            continue
        body = file.read_bytes()
        if not 0 < len(body) <= left:
            continue
        left -= len(body)
        target = "/%d.%s" % (len(targets), kind)
        (root / target[1:]).write_bytes(body)
        targets[target] = hashlib.sha256(body).digest()
    return targets, CORPUS_MAX - left


class Served:
    """A server: its port, its CPU time without that of encoders, and theirs."""

    def __init__(self, port, pid, node=None):
        self.port, self.pid, self.node = port, pid, node

    def encoder_seconds(self):
        return figure(self.node, "perigee_encoder_cpu_seconds_total") if self.node else 0

    def seconds(self):
        return cpu_seconds(self.pid) - self.encoder_seconds()

    def settle(self):
        if self.node:
            wait_idle(self.node)


class Run:
    """Passes of one kind of client over one server, which may finish its work after each."""

    def __init__(self, name, served, targets, accept):
        self.name, self.served, self.requests = name, served, len(targets)
        self.targets, self.accept = targets, accept
        self.sent, self.cpu, self.encoders = [], [], []
        self.once()

    def more(self, passes=PASSES - 1):
        for _ in range(passes):
            self.once()
        return self

    def once(self, keep=lambda target, response: None):
        served = self.served
        encoders, began = served.encoder_seconds(), served.seconds()
        with harness.Http1(served.port) as client:
            got = [request(client, "GET", target, self.accept) for target in self.targets]
        self.cpu.append(served.seconds() - began)
        served.settle()
        self.encoders.append(served.encoder_seconds() - encoders)
        self.sent.append(sum(len(response.body) for response in got))
        # Not before: the server's caches get cold while a client does something else.
        for (target, digest), response in zip(self.targets.items(), got):
            assert response.status == 200, (target, response)
            assert hashlib.sha256(content_of(response)).digest() == digest, (target, response)
            keep(target, response)

    @property
    def hit_us(self):
        return statistics.median(self.cpu[1:]) / self.requests * 1e6

    def row(self):
        return "| %s | %.2f | %.2f | %.2f | %.0f | %.0f | %.1f | %.0f |" % (
            self.name, sum(self.sent) / 1e6, self.sent[0] / 1e6, self.sent[-1] / 1e6,
            self.cpu[0] * 1e3, sum(self.cpu[1:]) * 1e3, self.hit_us, sum(self.encoders) * 1e3)


HEAD = """\
| | MB in all | first pass | last | CPU ms of the first | of others | us of a hit | ms of encoders |
|---|---|---|---|---|---|---|---|"""


class Ground:
    """The origin, and servers made one at a time in front of it."""

    def __init__(self, folder, folders):
        self.folder, self.number = folder, 0
        self.root = folder / "root"
        self.root.mkdir()
        self.targets, self.size = gather(folders, self.root)
        assert self.targets, "no text files there"
        self.certs = harness.Certificates(folder)
        self.origin_port = harness.free_port()
        types = " ".join("%s %s;" % (kind, name) for name, kind in TYPES.items())
        self.origin = Nginx(folder / "origin", STATIC.format(
            types=types, port=self.origin_port, root=self.root))
        wait_answers(self.origin_port)

    def new_folder(self):
        self.number += 1
        return self.folder / ("run%d" % self.number)

    def nginx(self, name, accept):
        folder, port = self.new_folder(), harness.free_port()
        types = " ".join(kind for kind in TYPES.values() if kind != "text/html")
        server = Nginx(folder, PROXY.format(folder=folder, port=port, origin=self.origin_port,
                                            types=types))
        with contextlib.closing(server):
            wait_answers(port)
            return Run(name, Served(port, server.process.pid), self.targets, accept).more()

    @contextlib.contextmanager
    def node(self):
        folder = self.new_folder()
        folder.mkdir()
        node = harness.Node(folder, harness.config(
            self.origin_port, node={"id": "n", "workers": 1, "data_dir": "@FOLDER@/data"},
            cache={"memory": "256MiB", "disk": {"size": "512MiB"}}), self.certs)
        with contextlib.closing(node):
            yield node.start()

    def perigee(self, name, accept):
        with self.node() as node:
            return self.run(node, name, accept).more()

    def run(self, node, name, accept, targets=None):
        return Run(name, Served(node.http_port, node.process.pid, node),
                   targets or self.targets, accept)

    def forms_and_files(self):
        """Runs of zstd: as it comes; then, in turns, and with files of the same bytes."""
        files = {}

        def keep(target, response):
            name = "%s.bin" % target
            (self.root / name[1:]).write_bytes(response.body)
            files[name] = hashlib.sha256(response.body).digest()

        with self.node() as node:
            first = self.run(node, "zstd", "zstd").more()
            hot = self.run(node, "zstd, afterwards", "zstd")
            hot.once(keep)
            same = self.run(node, "the same bytes as files", "zstd", files)
            for _ in range(TURNS):
                hot.once()
                same.once()
        return first, hot, same

    def close(self):
        self.origin.close()


def wait_answers(port):
    def answers():
        try:
            with harness.Http1(port) as client:
                return client.get("/0").status
        except OSError:
            return None

    harness.wait_until(answers, "an nginx that answers")


def wait_idle(node):
    """Until encoders have done all and the disk has it."""
    harness.wait_until(lambda: figure(node, "perigee_encoder_queue") == 0 and
                       node.status()["cache"]["queue_bytes"] == 0, "idle encoders", 300)


def promise(text, holds):
    print("%s: %s" % ("holds" if holds else "DOES NOT HOLD", text))
    return holds


def corpus(folders):
    with tempfile.TemporaryDirectory() as place:
        ground = Ground(pathlib.Path(place), folders)
        with contextlib.closing(ground):
            print("%d files, %.1f MB, %d passes\n" % (len(ground.targets), ground.size / 1e6,
                                                      PASSES))
            print(HEAD, flush=True)
            zstd, hot, same = ground.forms_and_files()
            print(zstd.row(), flush=True)
            print(ground.perigee("gzip", "gzip").row(), flush=True)
            print(ground.perigee("identity", None).row(), flush=True)
            nginx = ground.nginx("nginx, gzip", "gzip")
            print(nginx.row(), flush=True)
            print(ground.nginx("nginx, identity", None).row(), flush=True)
    saved, saved_last = 1 - sum(zstd.sent) / sum(nginx.sent), 1 - hot.sent[-1] / nginx.sent[-1]
    print()
    return all([
        promise("a hit of a stored form costs %.1f us, one of the same bytes %.1f us"
                % (hot.hit_us, same.hit_us), hot.hit_us <= same.hit_us * (1 + NOISE)),
        promise("nginx needs %.1f times as much CPU for a hit" % (nginx.hit_us / zstd.hit_us),
                nginx.hit_us >= 5 * zstd.hit_us),
        promise("%.1f %% fewer bytes than nginx with gzip, %.1f %% in the end"
                % (saved * 100, saved_last * 100), saved >= 0.15)])


# Hits while encoders work


CHUNK_S, CHUNKS, ROUNDS = 0.5, 6, 3
PAGES, PAGE_BYTES = 96, 1 * MIB


class Loop:
    """One connection that asks for the same 1 KiB again and again."""

    def __init__(self, port, path):
        self.sock = harness.connect(port)
        self.ask = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode()
        self.once()
        self.length = len(self.once())

    def once(self):
        self.sock.sendall(self.ask)
        got = self.sock.recv(65536)
        while b"\r\n\r\n" not in got or len(got.partition(b"\r\n\r\n")[2]) < 1024:
            got += self.sock.recv(65536)
        return got

    def run(self, seconds):
        """Microseconds of each."""
        took, end = [], time.perf_counter_ns() + int(seconds * 1e9)
        while True:
            began = time.perf_counter_ns()
            if began > end:
                return took
            self.sock.sendall(self.ask)
            missing = self.length
            while missing > 0:
                piece = self.sock.recv(65536)
                assert piece, "closed"
                missing -= len(piece)
            took.append((time.perf_counter_ns() - began) / 1e3)

    def close(self):
        self.sock.close()


def load_encoders(node, turn):
    """More work than can be done in a turn: pages that are stored, then wanted in two codings."""
    paths = ["/page/%d/%d" % (turn, i) for i in range(PAGES)]
    for accept in (None, "zstd", "gzip"):
        with node.http() as client:
            for path in paths:
                assert request(client, "GET", path, accept).status == 200


def hits_in(loop, node, busy):
    took = []
    for _ in range(CHUNKS):
        waiting = figure(node, "perigee_encoder_queue")
        if busy and not waiting:
            break
        took += loop.run(CHUNK_S)
    assert took, "the encoders had done all before it began"
    return statistics.median(took)


def hits():
    big = codings.text(8 * MIB)

    def page(x):
        at = hash(x.request.target) % (len(big) - PAGE_BYTES)
        x.respond(200, [("Cache-Control", "max-age=3600"), ("Content-Type", "text/plain")],
                  x.request.target.encode() + big[at:at + PAGE_BYTES])

    with tempfile.TemporaryDirectory() as place, \
            contextlib.closing(origin_module.Origin()) as origin:
        origin.handlers["*"] = (page, True)
        origin.reply("/small", fields=[("Cache-Control", "max-age=3600")], body=b"s" * 1024)
        node = harness.Node(place, harness.config(
            origin.port, node={"id": "n", "workers": 1, "data_dir": "@FOLDER@/data"},
            cache={"memory": "1GiB", "disk": {"size": "2GiB"}, "variants": {"cpu": "100%"}}),
            harness.Certificates(place))
        os.sched_setaffinity(0, {0})
        with contextlib.closing(node):
            node.start()
            for task in os.listdir("/proc/self/task"):
                os.sched_setaffinity(int(task), {1})
            return hits_of(node)


def hits_of(node):
    idle, busy = [], []
    with contextlib.closing(Loop(node.http_port, "/small")) as loop:
        loop.run(1)
        late = 0
        for turn in range(ROUNDS):
            wait_idle(node)
            idle.append(hits_in(loop, node, False))
            load_encoders(node, turn)
            before = [figure(node, "perigee_loop_turns_over_10ms_total"),
                      figure(node, "perigee_encoder_cpu_seconds_total")]
            busy.append(hits_in(loop, node, True))
            late += figure(node, "perigee_loop_turns_over_10ms_total") - before[0]
            cpu = figure(node, "perigee_encoder_cpu_seconds_total") - before[1]
            print("turn %d: median of a hit %.1f us idle, %.1f us busy (encoders %.1f s of CPU)"
                  % (turn, idle[-1], busy[-1], cpu), flush=True)
    ratio = statistics.median(busy) / statistics.median(idle)
    return all([promise("hits with encoders busy take %.2f times as long" % ratio, ratio <= 1.2),
                promise("%d loop turns over 10 ms meanwhile" % late, late == 0)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    modes = parser.add_subparsers(dest="mode", required=True)
    modes.add_parser("corpus").add_argument("folder", nargs="+")
    modes.add_parser("hits")
    chosen = parser.parse_args()
    return 0 if (corpus(chosen.folder) if chosen.mode == "corpus" else hits()) else 1


if __name__ == "__main__":
    sys.exit(main())
