#!/usr/bin/env python3
"""Purges between five real nodes over a bad network, under load. Run by hand, as root:

    PERIGEE_BIN=build/release/perigee tests/system/measure_purges.py chaos [--seconds 600]
    PERIGEE_BIN=build/release/perigee tests/system/measure_purges.py latency [--delay-ms 40]

chaos    Five nodes and an origin, each in a network namespace (lab.py). Clients ask every node
         all the time; what they get carries its version. A version is raised at the origin, then
         purged at some node; when the answer is 200, every node that runs is asked at once, and
         all clients must see that version or a later one from then on: anything older is stale.
         A node that was killed, stopped or frozen must know, or revalidate, what was answered 200
         or 202 before it went on, from its first answer on.
         A 202 is followed until all have confirmed, which counts like a 200. Meanwhile one fault
         after the other: kill -9, SIGSTOP, link down, silent and one-way partitions, restarts, a
         full disk. Told: stale answers (there must be none), answers by kind, how long 200 took
         while all was well, hit ratios: steady, with one node dead, 2 s after a heal.
latency  Five nodes without faults: from POST to 200, and from POST until the first GET, asked all
         the time, that brings what came after it, at the last node.

Exit code 1: something that is promised does not hold.
"""

import argparse
import collections
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import gossip  # noqa: E402
import harness  # noqa: E402
import lab  # noqa: E402
import origin as origin_module  # noqa: E402

GOSSIP_PORT, PEER_PORT, ORIGIN_PORT = 7946, 7947, 8000
KEYS = 150
ASK_EVERY_S = 0.015  # by each client, one for each node
PURGE_EVERY_S = 0.4
HEALED_S = 2.0  # after a heal hits are as before


class Bare:
    localhost = ("", "")


class Store:
    """The versions at the origin, and what nobody may see less than."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = [1] * KEYS
        self.floor = [0] * KEYS
        self.answered = [0] * KEYS  # 200 or 202
        self.of_node = {}           # name: its floors since it was away

    def answer(self, x):
        key = int(x.request.path.rpartition("/")[2])
        body = b"%d %d %s" % (key, self.now[key], b"x" * (key * 37 % 3000))
        x.respond(200, [("Cache-Control", "max-age=3600"),
                        ("Surrogate-Key", "k%d all" % key)], body)

    def raise_now(self, key):
        with self.lock:
            self.now[key] += 1
            return self.now[key]

    def raise_floor(self, key, version):
        with self.lock:
            self.floor[key] = max(self.floor[key], version)

    def was_answered(self, key, version):
        with self.lock:
            self.answered[key] = max(self.answered[key], version)

    def goes_away(self):
        with self.lock:
            return list(self.answered)

    def comes_back(self, name, before):
        """Just before a node that was away goes on: the keys that it missed."""
        with self.lock:
            self.of_node[name] = list(self.answered)
            return [k for k in range(KEYS) if self.answered[k] > before[k]]

    def floor_at(self, name, key):
        return max(self.floor[key], self.of_node[name][key] if name in self.of_node else 0)


class Scene:
    def __init__(self, network, folder, names, how):
        self.network, self.folder, self.names, self.how = network, folder, names, how
        self.store, self.random = Store(), random.Random(how.seed)
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.faulty = set()   # nodes that are not to be asked, or may fail
        self.phase = "start"  # steady, fault:..., healing, dead
        self.counts = collections.Counter()
        self.stale, self.trouble = [], []
        self.took = collections.defaultdict(list)
        self.follow = []      # (node, id, key, version) of 202s
        self.mounts = how.mounts = []
        machine = network.machines["origin"]
        with machine.inside():
            self.origin = origin_module.Origin(host=machine.host, port=ORIGIN_PORT)
        self.origin.handlers["*"] = (self.store.answer, True)
        self.secret = gossip.secret(folder, gossip.new_key())
        self.nodes = {name: self.make(name) for name in names}

    def make(self, name):
        machine = self.network.machines[name]
        home = self.folder / name
        home.mkdir()
        data = home / "data"
        data.mkdir()
        if self.how.small_disks and subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(data)],
                check=False, stderr=subprocess.DEVNULL).returncode == 0:
            self.mounts.append(data)
        joins = ["%s:%d" % (self.network.machines[n].host, GOSSIP_PORT) for n in self.names
                 if n != name]
        config = {
            "version": 1,
            "node": {"id": name, "workers": 1, "data_dir": str(data)},
            "listeners": [{"name": "web", "address": "127.0.0.1:@HTTP@"}],
            "cache": {"memory": "16MiB", "disk": {"size": "32MiB"}},
            "admin": {"listen": "127.0.0.1:@ADMIN@"},
            "cluster": {"listen": "%s:%d" % (machine.host, GOSSIP_PORT), "profile": "lan",
                        "peer_listen": "%s:%d" % (machine.host, PEER_PORT), "join": joins,
                        "secret_file": self.secret, "purge_log": {"max": "16MiB"}},
            "origins": {"app": {"servers": [{"url": "http://%s:%d" % (
                self.network.machines["origin"].host, ORIGIN_PORT)}]}},
            "sites": [{"name": "all", "hosts": ["*"]}],
            "limits": {"drain": "100ms"},
        }
        return lab.MachineNode(machine, home, config, Bare)

    def __enter__(self):
        for node in self.nodes.values():
            node.start()
        harness.wait_until(self.are_together, "the nodes are together", 60)
        return self

    def __exit__(self, *_):
        self.stop.set()
        for node in self.nodes.values():
            if node.process is not None:
                node.send_signal(signal.SIGCONT)
                node.close()
        self.origin.close()

    def are_together(self):
        for node in self.nodes.values():
            try:
                if any(gossip.states(node).get(n) != "alive" for n in self.names) or \
                        node.status()["cluster"]["log_behind"] or \
                        node.status()["cluster"]["purge_unreachable"]:
                    return False
            except OSError:
                return False
        return True

    # Asking

    def connect(self, name):
        with self.network.machines[name].inside():
            return harness.Http1(self.nodes[name].http_port)

    def ask(self, client, name, key):
        """None, or what is wrong."""
        floor, phase = self.store.floor_at(name, key), self.phase
        began = time.monotonic()
        response = client.get("/k/%d" % key)
        return self.judge(name, key, response, floor, phase, time.monotonic() - began)

    def judge(self, name, key, response, floor, phase, took):
        if response.status != 200:
            return "status %d" % response.status
        got_key, version = response.body.split(b" ", 2)[:2]
        hit = "; hit" in (response.get("cache-status") or "")
        self.count(phase, hit)
        if int(got_key) != key or int(version) < floor:
            with self.lock:
                self.stale.append("%s %s: key %d is version %s, purged below %d (%s; asked %.3f s "
                                  "ago)" % (time.strftime("%H:%M:%S"), name, key,
                                            version.decode(), floor, phase, took))
        return None

    def count(self, phase, hit):
        with self.lock:
            self.counts[phase, "hit" if hit else "miss"] += 1

    def client(self, name, seed):
        """Asks one node all the time."""
        dice, client = random.Random(seed), None
        while not self.stop.is_set():
            began = time.monotonic()
            may_fail = name in self.faulty
            try:
                client = client or self.connect(name)
                wrong = self.ask(client, name, int(KEYS * dice.random() ** 2))
            except (OSError, AssertionError, ValueError, IndexError, harness.Cut) as error:
                wrong = "%s: %s" % (type(error).__name__, error)
                if client:
                    client.close()
                client = None
            if wrong and not may_fail and name not in self.faulty:
                with self.lock:
                    self.counts[self.phase, "failed"] += 1
                    self.trouble.append("%s %s: %s (%s, after %.1f s)" % (
                        time.strftime("%H:%M:%S"), name, wrong, self.phase,
                        time.monotonic() - began))
            self.stop.wait(max(0, ASK_EVERY_S - (time.monotonic() - began)))

    # Purging

    def purge(self, name, key):
        version = self.store.raise_now(key)
        dice = self.random.random()
        call = {"type": "path", "selectors": ["/k/%d" % key]} if dice < 0.6 else \
            {"type": "tag", "selectors": ["k%d" % key]}
        began = time.monotonic()
        phase = self.phase
        try:
            answer = self.nodes[name].admin("POST", "/v1/purge", {**call, "wait": "2s"})
        except (OSError, ConnectionError):
            self.counts["purge", "none"] += 1
            return
        took = time.monotonic() - began
        self.counts["purge", answer.status] += 1
        if phase == "steady" and self.phase == "steady":
            self.took[answer.status].append(took)
            if answer.status != 200 or took > 1:
                print("%s %s: %d after %.2f s while all was well: %s" % (
                    time.strftime("%H:%M:%S"), name, answer.status, took, answer.json))
                sys.stdout.flush()
        if answer.status in (200, 202):
            self.store.was_answered(key, version)
        if answer.status == 200:
            self.store.raise_floor(key, version)
            self.check_all(key)
        elif answer.status == 202:
            self.follow.append((name, answer.json["id"], key, version))

    def check_all(self, key):
        for name in self.names:
            if name in self.faulty:
                continue
            try:
                client = self.connect(name)
                wrong = self.ask(client, name, key)
                client.close()
            except (OSError, AssertionError, ValueError, harness.Cut) as error:
                wrong = str(error)
            if wrong and name not in self.faulty:
                self.trouble.append("%s check at %s: %s" % (time.strftime("%H:%M:%S"), name, wrong))

    def purger(self):
        while not self.stop.is_set():
            able = [n for n in self.names if n not in self.faulty]
            if able:
                self.purge(self.random.choice(able), self.random.randrange(KEYS))
            self.stop.wait(PURGE_EVERY_S)

    def follow_up(self):
        """Those 202s that all have confirmed by now: they count like a 200."""
        left = []
        for name, id_, key, version in self.follow:
            try:
                told = self.nodes[name].admin("GET", "/v1/purges/%s" % id_)
            except OSError:
                left.append((name, id_, key, version))
                continue
            nodes = told.json.get("nodes", {}) if told.status == 200 else {}
            if told.status == 200 and not nodes["pending"] and not nodes["unreachable"]:
                self.store.raise_floor(key, version)
                self.counts["purge", "confirmed later"] += 1
            else:
                left.append((name, id_, key, version))
        self.follow = left
        return not left

    # Faults

    def others(self, name):
        return [n for n in [*self.names, "origin"] if n != name]

    def kill(self, name, *_):
        self.faulty.add(name)
        before = self.store.goes_away()
        self.nodes[name].kill()
        self.phase = "dead"
        self.stop.wait(4)
        self.start_and_ask(name, before)

    def freeze(self, name, *_):
        self.faulty.add(name)
        before = self.store.goes_away()
        self.nodes[name].send_signal(signal.SIGSTOP)
        self.stop.wait(self.random.uniform(3, 7))
        # Asked while it is frozen, answered with the first breath.
        missed = self.store.comes_back(name, before)
        floors = {key: self.store.floor_at(name, key) for key in missed}
        clients = [(key, self.connect(name)) for key in missed]
        for key, client in clients:
            client.send_head("GET", "/k/%d" % key)
        self.nodes[name].send_signal(signal.SIGCONT)
        for key, client in clients:
            self.judge(name, key, client.response(), floors[key], "thawed", 0)
            client.close()

    def start_and_ask(self, name, before):
        """What it missed is asked for as soon as it accepts."""
        missed = self.store.comes_back(name, before)
        self.nodes[name].start(wait=False)
        end = time.monotonic() + 20
        while missed and time.monotonic() < end:
            try:
                client = self.connect(name)
            except OSError:
                continue
            for key in missed:
                self.ask(client, name, key)
            client.close()
            break
        self.nodes[name].wait_ready()

    def link_down(self, name, *_):
        self.faulty.add(name)
        self.network.lose([(name, n) for n in self.others(name)] +
                          [(n, name) for n in self.others(name)])
        self.stop.wait(6)

    def halves(self, a, b, *rest):
        self.network.lose([(x, y) for x in (a, b) for y in rest] +
                          [(y, x) for x in (a, b) for y in rest])
        self.stop.wait(8)

    def one_way(self, a, b, *_):
        self.network.lose([(a, b)])
        self.stop.wait(6)

    def deaf(self, a, *rest):
        self.network.lose([(x, a) for x in rest])
        self.stop.wait(6)

    def restart(self, name, *_):
        self.faulty.add(name)
        before = self.store.goes_away()
        self.nodes[name].stop()
        self.stop.wait(2)
        self.start_and_ask(name, before)

    def full_disk(self, name, *_):
        if not self.mounts:
            return
        ballast = self.folder / name / "data" / "ballast"
        try:
            with open(ballast, "wb") as out:
                while True:
                    out.write(bytes(1 << 16))
        except OSError:
            pass
        self.stop.wait(5)
        ballast.unlink()

    def heal(self, name):
        self.network.heal()
        harness.wait_until(self.are_together, "all is well again", 120)
        self.faulty.clear()

    def faults(self, seconds):
        kinds = [self.kill, self.freeze, self.link_down, self.halves, self.one_way, self.deaf,
                 self.restart, self.full_disk]
        end = time.monotonic() + seconds
        self.phase = "warming"
        self.stop.wait(min(10, seconds / 5))
        self.phase = "steady"
        self.stop.wait(min(10, seconds / 6))
        self.random.shuffle(kinds)
        turn = 0
        while time.monotonic() < end - 12:
            kind = kinds[turn % len(kinds)]
            turn += 1
            order = list(self.names)
            self.random.shuffle(order)
            self.phase = "fault " + kind.__name__
            print("%s %s %s" % (time.strftime("%H:%M:%S"), kind.__name__, order[0]))
            sys.stdout.flush()
            kind(*order)
            self.phase = "healing"
            self.heal(order[0])
            self.stop.wait(HEALED_S)
            self.phase = "healed"
            self.stop.wait(2)
            self.phase = "steady"
            self.stop.wait(4)
            self.follow_up()
        harness.wait_until(self.follow_up, "every purge is confirmed", 60)
        self.stop.wait(2)


def ratio(counts, phase):
    hits, misses = counts[phase, "hit"], counts[phase, "miss"]
    return hits / (hits + misses) if hits + misses else float("nan")


def run_chaos(how, folder):
    names = ["n%d" % (i + 1) for i in range(5)]
    dice = random.Random(how.seed)

    def way(a, b):
        delay_s = dice.uniform(0.001, 0.02)
        return lab.Way(delay_s, delay_s / 5, 0.0)

    with lab.Network([*names, "origin"], way, how.seed) as network, \
            Scene(network, folder, names, how) as scene:
        threads = [threading.Thread(target=scene.client, args=(name, how.seed + i))
                   for i, name in enumerate(names)]
        threads.append(threading.Thread(target=scene.purger))
        for thread in threads:
            thread.start()
        try:
            scene.faults(how.seconds)
        finally:
            scene.stop.set()
            for thread in threads:
                thread.join()
        return judge(scene)


def judge(scene):
    bad, c = [], scene.counts
    steady = ratio(c, "steady")
    print("\npurges: %s" % ", ".join("%s: %d" % (k, c["purge", k]) for k in (
        200, 202, 503, 429, "none", "confirmed later")))
    print("stale answers: %d" % len(scene.stale))
    for line in scene.stale[:20]:
        print("  " + line)
    print("failed requests where nothing was wrong with the node: %d" % len(scene.trouble))
    for line in scene.trouble[:20]:
        print("  " + line)
    took = sorted(scene.took[200])
    calm = len(took) + len(scene.took[202]) + len(scene.took[503])
    fast = sum(t <= 1 for t in took)
    if took:
        print("while all was well: %d of %d purges 200 within 1 s; p50 %.0f ms, p99 %.0f ms"
              % (fast, calm, 1000 * statistics.median(took),
                 1000 * took[int(len(took) * 0.99)]))
    print("hit ratio: steady %.4f, with one node dead %.4f, 2 s after a heal %.4f"
          % (steady, ratio(c, "dead"), ratio(c, "healed")))
    for phase in sorted({p for p, _ in c if p != "purge"}):
        print("  %-18s hits %6d misses %5d failed %4d" % (
            phase, c[phase, "hit"], c[phase, "miss"], c[phase, "failed"]))
    if scene.stale:
        bad.append("%d stale answers" % len(scene.stale))
    if scene.trouble:
        bad.append("%d failed requests" % len(scene.trouble))
    if calm and fast < 0.999 * calm:
        bad.append("%d of %d purges were not 200 within 1 s" % (calm - fast, calm))
    if not steady >= 0.9:
        bad.append("hit ratio %.3f" % steady)
    if c["dead", "hit"] and ratio(c, "dead") < 0.9:
        bad.append("hit ratio %.3f with one node dead" % ratio(c, "dead"))
    if c["healed", "hit"] and ratio(c, "healed") < 0.99 * steady:
        bad.append("hit ratio %.3f after heals, %.3f before" % (ratio(c, "healed"), steady))
    return bad


# latency


def watch(scene, name, key, ready, seen):
    """When was the first GET begun that brought the version after the purge?"""
    with scene.connect(name) as client:
        def version():
            return int(client.get("/k/%d" % key).body.split(b" ", 2)[1])

        before = version()
        ready.wait()
        begun = time.monotonic()
        while version() == before:
            begun = time.monotonic()
        seen[name] = begun


def spread(scene, names, count):
    """Milliseconds from a POST until the last node has it in effect."""
    took = []
    for i in range(count):
        key, at = i % KEYS, names[i % len(names)]
        ready, seen = threading.Barrier(len(names)), {}
        watchers = [threading.Thread(target=watch, args=(scene, name, key, ready, seen))
                    for name in names if name != at]
        for w in watchers:
            w.start()
        ready.wait()
        scene.store.raise_now(key)
        with scene.network.machines[at].inside():
            began = time.monotonic()
            harness.Node.admin(scene.nodes[at], "POST", "/v1/purge",
                               {"type": "path", "selectors": ["/k/%d" % key]})
        for w in watchers:
            w.join()
        took.append(1000 * (max(seen.values()) - began))
    return sorted(took)


def run_latency(how, folder):
    names = ["n%d" % (i + 1) for i in range(5)]
    way = lab.Way(how.delay_ms / 1000, 0, 0.0)
    how.small_disks = False
    with lab.Network([*names, "origin"], lambda a, b: lab.Way(way.delay_s, 0, 0.0),
                     how.seed) as network, Scene(network, folder, names, how) as scene:
        took = []
        for i in range(how.count):
            key = i % KEYS
            scene.store.raise_now(key)
            node = scene.nodes[names[i % 5]]
            with scene.network.machines[names[i % 5]].inside():
                began = time.monotonic()
                answer = harness.Node.admin(node, "POST", "/v1/purge",
                                            {"type": "path", "selectors": ["/k/%d" % key]})
                took.append(1000 * (time.monotonic() - began))
            assert answer.status == 200, answer.body
        took.sort()
        print("%d purges, one way %.1f ms: from POST to 200 p50 %.1f ms, p90 %.1f ms, p99 %.1f ms"
              % (len(took), how.delay_ms, statistics.median(took), took[int(0.9 * len(took))],
                 took[int(0.99 * len(took))]))
        took = spread(scene, names, min(how.count, 100))
        print("in effect at the last node: p50 %.1f ms, p90 %.1f ms, longest %.1f ms"
              % (statistics.median(took), took[int(0.9 * len(took))], took[-1]))
        if how.delay_ms and statistics.median(took) > 1.2 * how.delay_ms:
            return ["the last node has it after %.2f times the delay"
                    % (statistics.median(took) / how.delay_ms)]
    return []


def options(arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["chaos", "latency"])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--small-disks", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args(arguments)


def run(how):
    how.mounts = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            return (run_chaos if how.what == "chaos" else run_latency)(how, pathlib.Path(folder))
        finally:
            for place in how.mounts:
                subprocess.run(["umount", "-l", str(place)], check=False)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    bad = run(options())
    for what in bad:
        print("DOES NOT HOLD: " + what)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
