#!/usr/bin/env python3
"""Gossip between real nodes over a bad network. No test: it is run by hand, as root.

    PERIGEE_BIN=build/release/perigee tests/system/measure_cluster.py faults [--minutes 10]
    PERIGEE_BIN=build/release/perigee tests/system/measure_cluster.py calibrate [--delay 1-75]

faults     Five nodes, each in a network namespace (lab.py), 5 % loss and some delay between
           all of them, and one fault after the other: SIGSTOP, partitions, one-way cuts and
           losses, kill -9. A user event a second is given to one of the nodes meanwhile.
           Checked: who is gone is declared failed, and after each heal all lists are equal
           again, within bounds computed from the profile (class Bounds); nobody is declared
           failed who was up and could be reached; every event comes to every node in the end.
           Counted apart, as echoes: when a partition ends, each side hears of the deaths that
           the other one declared, and believes them, as SWIM does, until the dead deny it.
           And a node that hears nobody may say what it likes until it is declared failed.
calibrate  Three nodes without loss, in the clear (or --sealed): what the simulator
           (tests/sim) is compared with. Bytes per node and second while idle, and how long
           single user events take from the first node to the last, by gossip alone and pushed.

Exit code 1: something that is promised does not hold.
"""

import argparse
import base64
import calendar
import collections
import ctypes
import ctypes.util
import math
import os
import pathlib
import random
import re
import signal
import socket
import statistics
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import gossip  # noqa: E402
import harness  # noqa: E402
import lab  # noqa: E402

PORT = 7946
POLL_S = 0.02
HEALTH_MAX = 7
RECONNECT_S = 30  # cluster/serf.h: so often a node tries one of those who failed
GOSSIPED, PUSHED = "lab", "perigee/lab"  # names of events; cluster/cluster.h pushes some eagerly
LTIME = 1000
LTIME_STEP = 3  # nodes tell their load by events, too: ours must not fall behind
UDP_HEADERS = 28

Profile = collections.namedtuple("Profile", "gossip_s probe_s push_pull_s mult")
PROFILES = {"lan": Profile(0.2, 1, 30, 4), "wan": Profile(0.2, 5, 60, 6)}  # cluster/swim.c
SUSPICION_MAX_MULT = 6


class Bounds:
    """How long things may take, by the rules of SWIM with Lifeguard (cluster/swim.h)."""

    def __init__(self, profile, members, delay_s):
        self.profile, self.members, self.delay_s = profile, members, delay_s
        # News: a tick and a way for each of its hops; with fan-out 3 five nodes need two.
        self.spread_s = members * (profile.gossip_s + delay_s)
        # A conversation by TCP: three round trips; its first packet may be lost twice.
        self.stream_s = 6 * delay_s + 1 + 2

    def suspicion_s(self, accusers):
        least = self.profile.mult * max(1, math.log10(self.members)) * self.profile.probe_s
        wanted = self.profile.mult - 2
        if self.members < wanted + 2:
            return least
        most = least * SUSPICION_MAX_MULT
        confirmed = min(accusers - 1, wanted)
        return max(least, most - (most - least) * math.log(confirmed + 1) / math.log(wanted + 1))

    def failed_s(self, gone, accusers, score):
        """Until all `accusers` hold all of `gone` nodes for failed.

        In two rounds of the probes, and the second may end with whom the first began with, each
        of them has missed each of the gone; a probe that fails takes longer with the health
        score. Then the suspicion, which that many accusers shorten, and its news.
        """
        probes = 2 * (self.members - 1)
        missed = min(2 * gone, probes)
        probes_s = self.profile.probe_s * (probes - missed + missed * (1 + score))
        return probes_s + self.suspicion_s(accusers) + 2 * self.spread_s

    def back_s(self):
        """After a stop, or a start: a push/pull at once, a refutation, its news."""
        return self.stream_s + 2 * self.spread_s

    def healed_s(self):
        """After a partition: both sides look for those who failed."""
        return RECONNECT_S + self.back_s()


class Sealer:
    """AES-GCM as gossip has it: version 1, nonce, what is sealed, tag. None: in the clear."""

    def __init__(self, key):
        self.key = key
        if key is not None:
            self.crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
            for name in "EVP_CIPHER_CTX_new", "EVP_aes_256_gcm":
                getattr(self.crypto, name).restype = ctypes.c_void_p

    def seal(self, text):
        if self.key is None:
            return text
        c, nonce, length = self.crypto, os.urandom(12), ctypes.c_int()
        out, tag = ctypes.create_string_buffer(len(text) + 16), ctypes.create_string_buffer(16)
        context = ctypes.c_void_p(c.EVP_CIPHER_CTX_new())
        cipher = ctypes.c_void_p(c.EVP_aes_256_gcm())
        good = (c.EVP_EncryptInit_ex(context, cipher, None, self.key, nonce) == 1 and
                c.EVP_EncryptUpdate(context, out, ctypes.byref(length), text, len(text)) == 1 and
                c.EVP_EncryptFinal_ex(context, None, ctypes.byref(length)) == 1 and
                c.EVP_CIPHER_CTX_ctrl(context, 0x10, 16, tag) == 1)  # EVP_CTRL_AEAD_GET_TAG
        c.EVP_CIPHER_CTX_free(context)
        assert good, "libcrypto does not seal"
        return b"\x01" + nonce + out.raw[:len(text)] + tag.raw


def user_event(ltime, name, payload):
    """A datagram with a Serf user event."""
    def text(value):
        return bytes([0xa0 + len(value)]) + value
    return (b"\x08\x03\x84" + text(b"CC") + b"\xc2" +
            text(b"LTime") + struct.pack(">BI", 0xce, ltime) +
            text(b"Name") + text(name.encode()) + text(b"Payload") + text(payload.encode()))


class Log:
    """The lines of a node's log since the last look: (unix time, event, fields)."""

    LINE = re.compile(r"(\S+)\.(\d{3})Z \w+ +event=(\S+) ?(.*)")

    def __init__(self, file):
        self.file, self.offset = file, 0

    def news(self):
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            whole = file.read().rpartition(b"\n")[0]
        self.offset += len(whole) + bool(whole)
        for line in whole.decode(errors="replace").splitlines():
            found = self.LINE.match(line)
            if found:
                day, ms, event, rest = found.groups()
                at = calendar.timegm(time.strptime(day, "%Y-%m-%dT%H:%M:%S")) + int(ms) / 1000
                yield at, event, dict(re.findall(r'(\w+)="?([^" ]*)', rest))


class Cluster:
    """The nodes, what they have said, and the events that were given to them."""

    def __init__(self, network, folder, profile, key_file=None):
        self.network, self.folder = network, folder
        keys = {"secret_file": key_file} if key_file else {}
        seeds = ["%s:%d" % (m.host, PORT) for m in network.machines.values()]
        self.node, self.log = {}, {}
        for name, machine in network.machines.items():
            (folder / name).mkdir()
            config = gossip.member(name, machine.host, PORT, seeds, profile=profile, **keys)
            self.node[name] = lab.MachineNode(machine, folder / name, config, Bare)
            self.log[name] = Log(self.node[name].log_file)
        self.sealer = Sealer(self.key() if key_file else None)
        self.fired = {}  # payload: (time, node)
        self.heard = collections.defaultdict(dict)  # payload: node: time
        self.changes = []  # (time, node, what, about whom)
        self.ltime, self.talks, self.talk_at = LTIME, False, 0
        self.away = set()  # nodes that are given no events: stopped, dead or not yet back

    def __enter__(self):
        for node in self.node.values():
            node.start()
        return self

    def __exit__(self, *_):
        for node in self.node.values():
            if node.process is not None:
                node.send_signal(signal.SIGCONT)
                node.close()

    def key(self):
        got = harness.program("cluster", "gossip-key", "-c",
                              next(iter(self.node.values())).file)
        assert got.returncode == 0, got
        return base64.b64decode(got.stdout)

    @property
    def names(self):
        return list(self.node)

    def fire(self, name, event=GOSSIPED):
        """Gives a node an event, by its own loopback: nothing of that is lost."""
        self.ltime += LTIME_STEP
        payload = "e%d" % self.ltime
        machine = self.network.machines[name]
        with machine.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.sendto(self.sealer.seal(user_event(self.ltime, event, payload)),
                       (machine.host, PORT))
        self.fired[payload] = (time.time(), name)
        return payload

    def look(self):
        """Reads what is new in the logs, and fires the next event when it is time."""
        for name, log in self.log.items():
            for at, event, fields in log.news():
                if event == "serf_event" and fields["name"] in (GOSSIPED, PUSHED):
                    self.heard[fields["payload"]].setdefault(name, at)
                elif event == "member":
                    self.changes.append((at, name, fields["change"], fields["name"]))
        if self.talks and time.monotonic() >= self.talk_at:
            self.talk_at = time.monotonic() + 1
            self.fire(random.choice([x for x in self.names if x not in self.away]))

    def wait(self, seconds, condition=lambda: False):
        """Until the condition, or so long: how long that took, None for never."""
        begin = time.monotonic()
        while True:
            self.look()
            if condition():
                return time.monotonic() - begin
            if time.monotonic() - begin >= seconds:
                return None
            time.sleep(POLL_S)

    def hold_failed(self, accusers, gone, since):
        """Has each of these said that each of those failed, since then?"""
        said = {(at_node, about) for at, at_node, what, about in self.changes
                if what == "failed" and at >= since}
        return all((a, b) in said for a in accusers for b in gone)

    def agree(self):
        """Does every node list exactly all, and all as alive?"""
        return all(sorted(states) == sorted(self.names) and
                   set(states.values()) <= {"alive", "suspect"}
                   for states in (gossip.states(node) for node in self.node.values()))

    def figure(self, name):
        """A metric of each node."""
        return {x: gossip.metric(node, "perigee_cluster_" + name)
                for x, node in self.node.items() if x not in self.away}

    def spreads_ms(self, payloads):
        """From the first node to the last, of events that came to all."""
        return sorted(1000 * (max(at.values()) - min(at.values()))
                      for at in (self.heard[p] for p in payloads) if len(at) == len(self.node))


class Bare:
    """Certificates, for nodes without listeners."""

    localhost = ("", "")


def percentile(values, part):
    return values[min(len(values) - 1, math.ceil(part * len(values)) - 1)] if values else math.nan


class Idle:
    """Bytes that each node sends per second, from now until report()."""

    FIGURES = ("packet_bytes_out_total", "packets_out_total", "stream_bytes_out_total",
               "events_fired_total", "suspected_total")

    def __init__(self, cluster):
        self.cluster, self.begin = cluster, time.monotonic()
        self.before, self.wire_before = self.now()

    def now(self):
        figures = [self.cluster.figure(x) for x in self.FIGURES]
        return ({name: [f[name] for f in figures] for name in self.cluster.names},
                {name: (m.bytes, m.packets)
                 for name, m in self.cluster.network.machines.items()})

    def report(self):
        """Mean of datagrams with their headers, in bytes per second and node."""
        after, wire_after = self.now()
        seconds, rates = time.monotonic() - self.begin, []
        for name in self.cluster.names:
            size, packets, streams, loads, suspected = (
                b - a for a, b in zip(self.before[name], after[name]))
            wire, frames = (b - a for a, b in zip(self.wire_before[name], wire_after[name]))
            rates.append((size + UDP_HEADERS * packets) / seconds)
            print("  %s: %.0f B/s in %.2f datagrams/s with their headers; payload of streams "
                  "%.0f B/s; all on the wire %.0f B/s in %.2f packets/s; load told %d times; "
                  "%d suspicions"
                  % (name, rates[-1], packets / seconds, streams / seconds, wire / seconds,
                     frames / seconds, loads, suspected))
        print("idle: %.0f B/s per node (mean of %d nodes over %.0f s, datagrams with headers)"
              % (statistics.mean(rates), len(rates), seconds))
        return statistics.mean(rates)


# faults


class Faults:
    """Rounds of one fault each: make it, wait for what must follow, heal, wait for agreement."""

    def __init__(self, cluster, bounds, seed):
        self.cluster, self.bounds, self.random = cluster, bounds, random.Random(seed)
        self.bad = []
        self.apart = []  # (from, to, who, about whom): such a death is none of the false ones
        self.heals = []  # spans of unix time in which a death may be an echo
        self.rounds = [("calm", 0)]  # (kind, unix time of its begin)
        self.worst = collections.defaultdict(float)  # what: the longest it took, of its bound
        self.totals = collections.Counter()
        self.killed_at = {}  # node: spans of unix time in which it may miss events

    def run(self, minutes):
        end = time.monotonic() + 60 * minutes
        self.cluster.wait(10)  # the news of the start has ended
        self.calm(min(60, 10 * minutes))
        self.cluster.talks = True
        self.cluster.wait(20)
        kinds = [self.stop, self.halves, self.one_way_cut, self.isolated, self.blink,
                 self.one_way_loss, self.deafness, self.kill, self.long_stop]
        while time.monotonic() < end - 60:
            for kind in kinds:
                if time.monotonic() >= end - 60:
                    break
                order = self.cluster.names
                self.random.shuffle(order)
                self.rounds.append((kind.__name__, time.time()))
                kind(*order)
        self.cluster.wait(max(0, end - 45 - time.monotonic()))
        self.cluster.talks = False
        self.cluster.wait(self.bounds.profile.push_pull_s * 1.5, self.all_heard)
        self.report()

    # What is looked at

    def check(self, good, what):
        if not good:
            self.bad.append(what)
            print("  FAILED: " + what)
            sys.stdout.flush()

    def within(self, what, took_s, bound_s):
        self.check(took_s is not None, "%s: not within %.1f s" % (what, bound_s))
        if took_s is not None:
            kind = what.split(":")[0]
            self.worst[kind] = max(self.worst[kind], took_s)
        print("  %s: %s, at most %.1f s" % (what, "never" if took_s is None
                                            else "%.1f s" % took_s, bound_s))
        sys.stdout.flush()

    def agrees(self, what, bound_s):
        self.within("agree after %s: all lists are equal" % what,
                    self.cluster.wait(bound_s, self.cluster.agree), bound_s)

    def score(self, names):
        return max(self.cluster.figure("health_score")[x] for x in names)

    def failing(self, what, gone, accusers, begin):
        """Waits until the accusers hold those for failed who are gone since `begin`."""
        worst, passed_s = [0], time.time() - begin

        def done():
            worst[0] = max(worst[0], self.score(accusers))
            return self.cluster.hold_failed(accusers, gone, begin)

        # How long it may take is known afterwards: by the worst health score on the way.
        most_s = self.bounds.failed_s(len(gone), len(accusers), HEALTH_MAX)
        took_s = self.cluster.wait(most_s - passed_s, done)
        took_s = None if took_s is None else took_s + passed_s
        bound_s = self.bounds.failed_s(len(gone), len(accusers), worst[0])
        self.within("failed by %s: %s by %s (health score up to %d)"
                    % (what, " ".join(gone), " ".join(accusers), worst[0]), took_s, bound_s)
        self.check(took_s is None or took_s <= bound_s, "%s: later than %.1f s" % (what, bound_s))

    def part(self, ones, others, begin, grace_s):
        """Deaths told between these sets, from `begin` until so long from now, are true."""
        for a in ones:
            for b in others:
                self.apart += [(begin, time.time() + grace_s, a, b),
                               (begin, time.time() + grace_s, b, a)]

    def false_deaths(self):
        """Echoes, and the others."""
        deaths = [change for change in self.cluster.changes
                  if change[2] == "failed" and not any(
                      begin <= change[0] <= end and (change[1], change[3]) == (who, about)
                      for begin, end, who, about in self.apart)]
        echoes = [x for x in deaths if any(begin <= x[0] <= end for begin, end in self.heals)]
        return echoes, [x for x in deaths if x not in echoes]

    def denied_after_s(self, death):
        """How long it was believed."""
        at, who, _, about = death
        return min((change[0] - at for change in self.cluster.changes
                    if change[0] >= at and change[1:] == (who, "joined", about)),
                   default=math.inf)

    def all_heard(self):
        return not self.unheard()

    def unheard(self):
        """(payload, node) that did not come, though the node was never away for it."""
        return [(payload, name) for payload, (at, origin) in self.cluster.fired.items()
                for name in self.cluster.names
                if name not in self.cluster.heard[payload] and not any(
                    begin <= at <= end for x in {name, origin}
                    for begin, end in self.killed_at.get(x, []))]

    # The rounds: five names each, in random order

    def say(self, text):
        print("%s %s" % (time.strftime("%H:%M:%S"), text))
        sys.stdout.flush()

    def calm(self, seconds):
        self.say("calm for %d s: nobody may fail" % seconds)
        before, idle = len(self.cluster.changes), Idle(self.cluster)
        self.cluster.wait(seconds)
        self.idle_bytes = idle.report()
        self.check(not any(x[2] == "failed" for x in self.cluster.changes[before:]),
                   "calm: somebody was declared failed")

    def stop(self, gone, *rest, held_s=0):
        self.say("stop %s" % gone)
        begin, node = time.time(), self.cluster.node[gone]
        self.cluster.away.add(gone)
        node.send_signal(signal.SIGSTOP)
        self.failing("a stop", [gone], rest, begin)
        self.cluster.wait(held_s)
        node.send_signal(signal.SIGCONT)
        self.cluster.away.discard(gone)
        self.part([gone], rest, begin, self.bounds.back_s())
        self.agrees("a stop", self.bounds.back_s())

    def long_stop(self, *order):
        """Longer than the others send news to the dead."""
        self.stop(*order, held_s=self.bounds.profile.push_pull_s)

    def blink(self, gone, *_):
        held_s = self.bounds.suspicion_s(5) / 2
        self.say("stop %s for %.1f s: nobody may fail" % (gone, held_s))
        self.cluster.away.add(gone)
        self.cluster.node[gone].send_signal(signal.SIGSTOP)
        self.cluster.wait(held_s)
        self.cluster.node[gone].send_signal(signal.SIGCONT)
        self.cluster.away.discard(gone)
        self.cluster.wait(10)

    def cut(self, ones, others):
        self.cluster.network.lose([(a, b) for a in ones for b in others] +
                                  [(b, a) for a in ones for b in others])

    def healed(self, what, ones, others, begin):
        self.cluster.network.heal()
        self.part(ones, others, begin, self.bounds.healed_s())
        self.heals.append((time.time(), time.time() + self.bounds.healed_s()))
        self.agrees(what, self.bounds.healed_s())

    def halves(self, *order):
        few, many = order[:2], order[2:]
        self.say("partition %s | %s" % (" ".join(few), " ".join(many)))
        begin = time.time()
        self.cut(few, many)
        self.failing("a partition", few, many, begin)
        self.failing("a partition", many, few, begin)
        self.healed("a partition", few, many, begin)

    def isolated(self, alone, *rest):
        self.say("cut %s off" % alone)
        begin = time.time()
        self.cut([alone], rest)
        self.failing("isolation", [alone], rest, begin)
        self.healed("isolation", [alone], rest, begin)

    def deafness(self, deaf, *rest):
        """It is heard and hears nobody: it will say that others failed, and they deny it."""
        self.say("nothing comes to %s any more" % deaf)
        begin = time.time()
        self.cluster.network.lose([(x, deaf) for x in rest])
        self.failing("deafness", [deaf], rest, begin)
        self.part(self.cluster.names, self.cluster.names, begin, self.bounds.healed_s())
        self.healed("deafness", [deaf], rest, begin)

    def one_way_cut(self, a, b, *_):
        """The others help both of them: nobody may fail."""
        self.say("nothing comes from %s to %s for 20 s: nobody may fail" % (a, b))
        self.cluster.network.lose([(a, b)])
        self.cluster.wait(20)
        self.cluster.network.heal()

    def one_way_loss(self, a, *rest):
        self.say("40 %% of what %s sends is lost for 20 s: nobody may fail" % a)
        self.cluster.network.lose([(a, x) for x in rest], 0.4)
        self.cluster.wait(20)
        self.cluster.network.heal()

    def kill(self, gone, *rest):
        self.say("kill %s" % gone)
        begin, node = time.time(), self.cluster.node[gone]
        self.keep_totals([gone])
        self.cluster.away.add(gone)
        node.kill()
        self.failing("a kill", [gone], rest, begin)
        node.start()
        self.part([gone], rest, begin, self.bounds.back_s())
        self.agrees("a kill", self.bounds.back_s())
        self.cluster.away.discard(gone)
        # What was fired just before may have died with it, and it asks for nothing older.
        self.killed_at.setdefault(gone, []).append((begin - 5, time.time()))

    # The end

    def keep_totals(self, names):
        for name in ("suspected_total", "refuted_total", "failed_total", "probes_total",
                     "probes_failed_total", "push_pulls_total", "push_pulls_failed_total"):
            self.totals[name] += sum(v for k, v in self.cluster.figure(name).items()
                                     if k in names)

    def spreads_by_round(self):
        payloads = collections.defaultdict(list)
        for payload, (at, _) in self.cluster.fired.items():
            payloads[[kind for kind, begin in self.rounds if begin <= at][-1]].append(payload)
        return {kind: self.cluster.spreads_ms(x) for kind, x in payloads.items()}

    def report(self):
        self.keep_totals(self.cluster.names)
        echoes, false = self.false_deaths()
        for at, who, _, about in false:
            print("  false death at %s: %s about %s"
                  % (time.strftime("%H:%M:%S", time.gmtime(at)), who, about))
        self.check(not false, "%d false deaths" % len(false))
        unheard = self.unheard()
        self.check(not unheard, "%d events did not come: %s" % (len(unheard), unheard[:5]))
        print("\nlongest times:")
        for what, took_s in sorted(self.worst.items()):
            print("  %-24s %5.1f s" % (what, took_s))
        print("false deaths: %d" % len(false))
        print("echoes after partitions: %d, denied after at most %.1f s"
              % (len(echoes), max(map(self.denied_after_s, echoes), default=0)))
        print("events: %d fired, %d not come; from the first node to the last, by round:"
              % (len(self.cluster.fired), len(unheard)))
        for kind, spreads in self.spreads_by_round().items():
            print("  %-14s %3d events, p50 %6.0f ms, p90 %6.0f ms"
                  % (kind, len(spreads), percentile(spreads, 0.5), percentile(spreads, 0.9)))
        print("sums over all nodes: %s" % ", ".join(
            "%s %d" % (name[:-len("_total")], n) for name, n in self.totals.items()))
        lost = sum(way.lost for way in self.cluster.network.ways.values())
        carried = sum(way.carried for way in self.cluster.network.ways.values())
        print("network: %d packets carried, %d lost" % (carried, lost))
        print("idle at %.0f B/s per node" % self.idle_bytes)


def run_faults(options, folder):
    names = ["n%d" % (i + 1) for i in range(5)]
    regions = random.Random(options.seed)
    delay = {frozenset((a, b)): regions.uniform(0.005, 0.075) for a in names for b in names}

    def way(a, b):
        base_s = delay[frozenset((a, b))]
        return lab.Way(base_s, base_s / 5, options.loss / 100)

    key_file = gossip.secret(folder, gossip.new_key())
    bounds = Bounds(PROFILES[options.profile], len(names), 0.09)
    with lab.Network(names, way, options.seed) as network, \
            Cluster(network, folder, options.profile, key_file) as cluster:
        faults = Faults(cluster, bounds, options.seed)
        faults.agrees("the start", bounds.back_s())
        faults.run(options.minutes)
        return faults.bad


# calibrate


def run_calibrate(options, folder):
    least_ms, _, most_ms = options.delay.partition("-")
    least_s, most_s = float(least_ms) / 1000, float(most_ms or least_ms) / 1000
    names = ["n1", "n2", "n3"]
    key_file = gossip.secret(folder, gossip.new_key()) if options.sealed else None
    with lab.Network(names, lambda a, b: lab.Way(least_s, most_s - least_s, 0),
                     options.seed) as network, \
            Cluster(network, folder, options.profile, key_file) as cluster:
        assert cluster.wait(20, cluster.agree) is not None, "they do not find each other"
        cluster.wait(10)
        idle = Idle(cluster)
        cluster.wait(options.seconds)
        idle.report()
        came = [spread_of(cluster, event, options.events) for event in (GOSSIPED, PUSHED)]
        return [] if all(came) else ["events did not come"]


def spread_of(cluster, event, count):
    """Fires so many, one at a time, and prints how they spread. False: some did not come."""
    fired = []
    for i in range(count):
        fired.append(cluster.fire(cluster.names[i % 3], event))
        cluster.wait(5, lambda: len(cluster.heard[fired[-1]]) == 3)
        cluster.wait(random.uniform(0.5, 1))
    spreads = cluster.spreads_ms(fired)
    later = sorted(1000 * (at - min(cluster.heard[p].values())) for p in fired
                   for at in sorted(cluster.heard[p].values())[1:])
    print("events %s: %d of %d came to all; to each of the other nodes p50 %.0f ms, p95 %.0f ms, "
          "max %.0f ms; to the last p50 %.0f ms, p95 %.0f ms, mean %.0f ms"
          % (event, len(spreads), count, percentile(later, 0.5), percentile(later, 0.95),
             percentile(later, 1), percentile(spreads, 0.5), percentile(spreads, 0.95),
             statistics.mean(spreads)))
    return len(spreads) == count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["faults", "calibrate"])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--profile", choices=PROFILES, default="lan")
    parser.add_argument("--loss", type=float, default=5, help="percent, of faults")
    parser.add_argument("--delay", default="1-75", help="one way, ms, evenly spread, of calibrate")
    parser.add_argument("--seconds", type=float, default=60, help="idle, of calibrate")
    parser.add_argument("--events", type=int, default=40, help="of calibrate")
    parser.add_argument("--sealed", action="store_true", help="with a key, calibrate too")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nodes do not stay behind
    with tempfile.TemporaryDirectory() as folder:
        run = run_faults if options.what == "faults" else run_calibrate
        bad = run(options, pathlib.Path(folder))
    for what in bad:
        print("DOES NOT HOLD: " + what)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
