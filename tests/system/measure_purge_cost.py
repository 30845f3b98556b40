#!/usr/bin/env python3
"""Measures what purges cost. No test: it is run by hand, on an idle machine.

    PERIGEE_BIN=build/release/perigee tests/system/measure_purge_cost.py varnish | tags | fetches

varnish  One node and a Varnish (in memory), by turns, the same client for both. Effect: from the
         last byte of a PURGE to the first GET on another connection that misses, RACES times.
         Rate: single PURGEs by 64 clients (h2load), and calls of 256 selectors by as many. Ours
         answer when they are on the disk; Varnish has none. Single ones are compared by the CPU
         time of one, and by the clock: who waits for a disk lets CPUs sleep, and how long that
         takes is the machine's. So there is a second node, whose disk is memory, too (/dev/shm).
tags     Hits (h2load) while nothing is purged and while TAGS_A_MINUTE different tags are, by
         turns: the CPU time of workers for a hit; and that of the whole process, in which the
         purges' own work is counted as if it were the hits'.
fetches  OBJECTS objects, PASSES passes through all nodes, in an order by chance, with several
         clients each: three nodes of one region, then three regions with a shield. How often was
         the origin asked?

Exit code 1: something that is promised does not hold.
"""

import argparse
import contextlib
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import gossip  # noqa: E402
import harness  # noqa: E402
import origin as origin_module  # noqa: E402
from crew import Crew  # noqa: E402
from test_owner import serve_all, wait_met  # noqa: E402

RACES, ROUNDS = 1000, 5
PURGES, CALLS, CLIENTS, SELECTORS = 60000, 3000, 64, 256
TAGS_A_MINUTE, WINDOW_S, HIT_URLS, TAGS_A_CALL = 100_000, 6, 200, 16
OBJECTS, PASSES = 10_000, 10

VCL = """\
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "%d"; }
sub vcl_recv { if (req.method == "PURGE") { return (purge); } }
sub vcl_deliver { set resp.http.X-Hits = obj.hits; }
"""


def promise(text, holds):
    print("%s: %s" % ("holds" if holds else "DOES NOT HOLD", text), flush=True)
    return holds


def start_node(stack, place, origin, name="node", data="@FOLDER@/data", **sections):
    """A node whose origin gives every path, to be purged by PURGE and by its admin."""
    folder = pathlib.Path(place) / name
    folder.mkdir()
    given = {"node": {"id": "n", "data_dir": data},
             "cache": {"memory": "1GiB"}, "logs": {"access": {"path": "off"}},
             "sites": [{"name": "all", "hosts": ["*"], "purge_from": ["127.0.0.0/8"]}], **sections}
    node = harness.Node(folder, harness.config(origin.port, **given), harness.Certificates(place))
    stack.enter_context(contextlib.closing(node))
    return node.start()


class Varnish:
    def __init__(self, place, origin):
        self.http_port = harness.free_port()
        folder = pathlib.Path(place) / "varnish"
        folder.mkdir()
        (folder / "it.vcl").write_text(VCL % origin.port)
        self.process = subprocess.Popen(
            ["varnishd", "-j", "none", "-F", "-n", str(folder / "work"), "-a", "127.0.0.1:%d" % self.http_port,
             "-T", "none", "-f", str(folder / "it.vcl"), "-s", "malloc,512m"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        harness.wait_until(self.answers, "a Varnish that answers", 60)

    def answers(self):
        try:
            with harness.Http1(self.http_port) as client:
                return client.get("/0").status == 200
        except OSError:
            return False

    def close(self):
        self.process.terminate()
        self.process.wait()


def load(*arguments):
    """h2load over HTTP/1.1: requests a second; every answer must be a 2xx."""
    text = subprocess.run(["h2load", "--h1", "-t1", *map(str, arguments)], check=True,
                          capture_output=True, text=True).stdout
    counts = re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", text)
    assert counts and int(counts[1]) > 0, text
    return float(re.search(r"finished in [^,]*, ([0-9.]+) req/s", text)[1])


# Beside Varnish


class Line:
    """One connection, as fast as Python goes."""

    def __init__(self, port):
        self.sock = harness.connect(port)

    def send(self, method, path):
        self.sock.sendall(b"%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (method, path))

    def answer(self):
        """The head. Bodies are short and told."""
        text = b""
        while b"\r\n\r\n" not in text:
            text += self.sock.recv(65536)
        head, _, body = text.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)[1])
        while len(body) < length:
            body += self.sock.recv(65536)
        return head

    def is_hit(self, path):
        self.send(b"GET", path)
        head = self.answer()
        return b"perigee; hit" in head or re.search(rb"\r\nX-Hits: [1-9]", head) is not None


def race(purger, getter, path):
    """Microseconds from the PURGE's last byte to the first GET that misses."""
    while not getter.is_hit(path):
        pass
    purger.send(b"PURGE", path)
    sent = time.perf_counter()
    while True:
        begun = time.perf_counter()
        if not getter.is_hit(path):
            break
    purger.answer()
    return (begun - sent) * 1e6


def effects(servers):
    lines = [(Line(s.http_port), Line(s.http_port)) for s in servers]
    took = [[] for _ in servers]
    for i in range(RACES):
        for (purger, getter), mine in zip(lines, took):
            mine.append(race(purger, getter, b"/race/%d" % (i % 50)))
    return [statistics.median(mine) for mine in took], [statistics.mean(mine) for mine in took]


def ran_s(pid):
    """CPU time of a process and its children, to the nanosecond."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        place = pathlib.Path("/proc/%d/task/%s" % (pid, task))
        total += int((place / "schedstat").read_text().split()[0]) / 1e9
        total += sum(map(ran_s, map(int, (place / "children").read_text().split())))
    return total


def single_rate(port, place):
    urls = pathlib.Path(place) / "urls"
    urls.write_text("".join("http://127.0.0.1:%d/p/%d\n" % (port, i) for i in range(1000)))
    return load("-c", CLIENTS, "-n", PURGES, "-i", urls, "-H", ":method: PURGE")


def call_rate(node, place, kind, text):
    body = pathlib.Path(place) / ("%s.json" % kind)
    body.write_text('{"type": "%s", "selectors": [%s]}'
                    % (kind, ", ".join('"%s"' % (text % i) for i in range(SELECTORS))))
    return SELECTORS * load("-c", CLIENTS, "-n", CALLS, "-d", body, "-H",
                            "content-type: application/json",
                            "http://127.0.0.1:%d/v1/purge" % node.admin_port)


def single(process, port, place):
    """Purges a second, and the CPU time of one in us."""
    before = ran_s(process.pid)
    rate = single_rate(port, place)
    return rate, (ran_s(process.pid) - before) / PURGES * 1e6


def varnish(stack, place, origin):
    node = start_node(stack, place, origin)
    memory = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
    diskless = start_node(stack, place, origin, "diskless", memory + "/data")
    other = stack.enter_context(contextlib.closing(Varnish(place, origin)))
    (ours, theirs), means = effects([node, other])
    print("effect: means %.0f us, Varnish %.0f us" % tuple(means))
    rates, without, costs, tags, urls = [], [], [], [], []
    for _ in range(ROUNDS):
        mine, mine_us = single(node.process, node.http_port, place)
        base, base_us = single(other.process, other.http_port, place)
        rates.append(mine / base)
        without.append(single_rate(diskless.http_port, place) / base)
        costs.append(base_us / mine_us)
        tags.append(call_rate(node, place, "tag", "tag%d") / base)
        urls.append(call_rate(node, place, "url", "http://127.0.0.1/p/%d") / base)
        print("single: %.0f a second, %.1f us of CPU; Varnish %.0f, %.1f us; by 256 a call, times "
              "that: %.1f tags, %.1f URLs" % (mine, mine_us, base, base_us, tags[-1], urls[-1]),
              flush=True)
    clock, shm, cost, tag, url = (statistics.median(x)
                                  for x in (rates, without, costs, tags, urls))
    print("single PURGEs by the clock: %.2f times Varnish's, %.2f when nobody waits for a disk"
          % (clock, shm))
    return all([promise("effect p50 %.1f us, Varnish %.1f us" % (ours, theirs),
                        ours <= max(theirs, 1)),
                promise("single PURGEs in a second of CPU: %.2f times Varnish's" % cost, cost >= 1),
                promise("tags, 256 a call, %.1f times" % tag, tag >= 10),
                promise("URLs, 256 a call, %.1f times" % url, url >= 10)])


# Tags while serving hits


def cpu_s(pid, name=""):
    """CPU time of the threads whose name begins so; of all."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        text = pathlib.Path("/proc/%d/task/%s/stat" % (pid, task)).read_text()
        if text[text.index("(") + 1:].startswith(name):
            total += sum(map(int, text.rsplit(")", 1)[1].split()[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


class Purging(threading.Thread):
    """TAGS_A_MINUTE tags, each another one, at an even pace."""

    def __init__(self, node, first):
        super().__init__()
        self.node, self.at, self.stop, self.count = node, first, threading.Event(), 0

    def run(self):
        begun = time.monotonic()
        with harness.Http1(self.node.admin_port) as client:
            while not self.stop.is_set():
                names = ["%d" % (self.at + self.count + i) for i in range(TAGS_A_CALL)]
                body = '{"type": "tag", "selectors": ["%s"]}' % '", "'.join(names)
                answer = client.request("POST", "/v1/purge",
                                        [("Content-Type", "application/json")], body.encode())
                assert answer.status == 200, answer
                self.count += TAGS_A_CALL
                due = begun + self.count * 60 / TAGS_A_MINUTE
                self.stop.wait(max(0, due - time.monotonic()))


def window(node, urls, purging):
    workers, whole = cpu_s(node.process.pid, "worker"), cpu_s(node.process.pid)
    if purging:
        purging.start()
    begun, hits = time.monotonic(), 0
    while time.monotonic() - begun < WINDOW_S:
        load("-c", 8, "-n", 40000, "-i", urls)
        hits += 40000
    took = time.monotonic() - begun
    if purging:
        purging.stop.set()
        purging.join()
        assert purging.count >= 0.95 * TAGS_A_MINUTE * took / 60, (purging.count, took)
    return [(cpu_s(node.process.pid, "worker") - workers) / hits * 1e6,
            (cpu_s(node.process.pid) - whole) / hits * 1e6]


def tags(stack, place, origin):
    node = start_node(stack, place, origin)
    urls = pathlib.Path(place) / "hits"
    urls.write_text("".join("http://127.0.0.1:%d/h/%d\n" % (node.http_port, i)
                            for i in range(HIT_URLS)))
    load("-c", 8, "-n", 20000, "-i", urls)
    quiet, busy, first = [], [], 1
    for turn in range(ROUNDS):
        quiet.append(window(node, urls, None))
        purging = Purging(node, first)
        busy.append(window(node, urls, purging))
        first += purging.count
        print("turn %d: CPU of a hit %.2f us in workers, %.2f in all; with purges %.2f, %.2f"
              % (turn, *quiet[-1], *busy[-1]), flush=True)
    grows = [statistics.median(b[i] for b in busy) / statistics.median(q[i] for q in quiet)
             for i in (0, 1)]
    print("with the purges' own work (%d a call) %.3f times" % (TAGS_A_CALL, grows[1]))
    return promise("a hit costs %.3f times as much" % grows[0], grows[0] < 1.1)


# One fetch per cluster


def passes(crew, place):
    """Every node is asked for all, PASSES times, all at once."""
    dice = random.Random(1)
    for turn in range(PASSES):
        runs = []
        for name, node in crew.nodes.items():
            order = list(range(OBJECTS))
            dice.shuffle(order)
            urls = pathlib.Path(place) / ("urls-%s" % name)
            urls.write_text("".join("http://127.0.0.1:%d/o/%d\n" % (node.http_port, i)
                                    for i in order))
            runs.append(threading.Thread(target=load,
                                         args=("-c", 4, "-n", OBJECTS, "-i", urls, "-H",
                                               ":authority: localhost")))
        for run in runs:
            run.start()
        for run in runs:
            run.join()


def fetches_of(stack, place, origin, what, **how):
    asked = serve_all(origin)
    folder = pathlib.Path(place) / what
    folder.mkdir()
    certs = harness.Certificates(folder)

    def make(config, start=False, environment=None):
        inner = folder / str(len(list(folder.iterdir())))
        inner.mkdir()
        node = harness.Node(inner, config, certs, environment)
        stack.enter_context(contextlib.closing(node))
        return node

    crew = Crew(make, origin, folder, **how)
    if "shield" in how:
        crew.wait_together()
        for name in ("n2", "n3"):
            harness.wait_until(lambda name=name: (
                crew[name].get("/s/%d" % len(asked)), gossip.metric(
                    crew[name], 'perigee_peer_fetches_total{result="taken"}'))[1],
                "%s asks the shield" % name)
    else:
        wait_met(crew)
    asked.clear()
    begun = time.monotonic()
    passes(crew, place)
    count = sum(asked.values())
    print("%s: %d requests of clients in %.0f s" % (
        what, OBJECTS * PASSES * len(crew.nodes), time.monotonic() - begun))
    for node in crew:
        node.close()
    return promise("%s: the origin was asked %d times" % (what, count), count <= OBJECTS * 1.01)


def fetches(stack, place, origin):
    regions = {"n1": "eu", "n2": "us", "n3": "ap"}
    return all([fetches_of(stack, place, origin, "one-region"),
                fetches_of(stack, place, origin, "shield", shield="eu",
                           nodes={name: {"region": region} for name, region in regions.items()})])


MODES = {"varnish": varnish, "tags": tags, "fetches": fetches}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("mode", choices=MODES)
    mode = parser.parse_args().mode
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        origin = stack.enter_context(contextlib.closing(origin_module.Origin()))
        fields = [("Cache-Control", "max-age=3600"), ("Surrogate-Key", "a1 b2 c3 d4")]
        origin.handlers["*"] = (lambda x: x.respond(200, fields, b"x" * 500), True)
        return 0 if MODES[mode](stack, place, origin) else 1


if __name__ == "__main__":
    sys.exit(main())
