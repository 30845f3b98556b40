#!/usr/bin/env python3
"""tests/model/purge_model.py - the rules of docs/purge.md as a model, walked at random.

Three nodes (a fourth joins in some rows), two pages, three tags, the purge of everything; hard and
soft. A step is one of: a purge is accepted, the log's writer commits, a record is pushed, another
node's records are pulled, a page comes from the origin or from a peer, a page is changed by a 304,
the sweep runs, the log is compacted or loses its beginning, a node is killed, its log is deleted,
its disk is full, it joins, it is forgotten, somebody asks how far a purge has come.

Looked at after every step, on every node that runs:
  F  no page is fresh that is older than what a purge in effect there named
  S  a page that a hard purge named is not used at all, not even to ask the origin again
  W  who is told "everywhere" is told so of what is in effect and on the disk of every member that
     is not forgotten, and no such node then serves older as fresh
After the walk all have their disks back, commit and exchange:
  E  the vectors are equal, and what any member had on its disk is in effect at every member

Each row switches a rule. The rows marked (fault) must find violations, the others none.

    tests/model/purge_model.py                 each row 40,000 walks (minutes)
    tests/model/purge_model.py --walks 2000    a shorter form
    tests/model/purge_model.py --check         in every test run: (fault) rows end with the first find
    tests/model/purge_model.py --row TEXT      only the rows with TEXT in their names
Exit: 0 when every (fault) row found something and no other row did.
"""
import argparse
import random
import sys
import time

PAGES = ({"a", "c"}, {"b", "c"})  # the tags of each page
NAMES = ("a", "b", "c", "*")
HARD, SOFT = 1, 0

RULES = dict(
    acts=("purge", "purge", "sync", "sync", "push", "push", "origin", "origin", "peer", "peer",
          "pull"),
    nodes=3, joiners=0, steps=40,
    peer="requester",    # vectors: the owner compares its vector with the asker's
    numbers="boot",      # plain: a kill begins again where the disk stood
    fill="sent",         # came: a fetch is numbered when its answer came
    match="tags",        # url: purges are matched against the page's first tag only
    hardness="both",     # last: one number per name, the later purge's kind wins
    soft="asked",        # fresh: a soft purge leaves what is stored
    compact="stream",    # cross: the older of a name goes, whatever its stream; soft: a soft record
                         # swallows a hard one; unsynced: one that is not on the disk swallows
    sweep="synced",      # eager: names leave the table without a look at fills; ram: before the
                         # deletion is on the disk
    rewrite="body",      # blind: a 304 is merged whatever body is there now
    diskfull="memory",   # dropped: what can't be written is not in effect either; told: it
                         # counts as written
    join="asked",        # known: the accepting node waits for those it knows, acks name nobody
    forget="empty",      # trusts: who was forgotten comes back with its cache
    floor="fallback",    # ignored: who asks from below the floor takes what there is
    gap="asked",         # unasked: a peer need not know what this node passed over at a floor
    log_id="checked",    # ignored: the cache is trusted with any log
)


def matches(name, page, rules):
    if name == "*":
        return True
    return name in PAGES[page] if rules["match"] == "tags" else name == min(PAGES[page])


class Node:
    def __init__(self, number):
        self.id, self.boot, self.counter, self.durable = number, 0, 0, 0
        self.log, self.applied, self.synced = {}, set(), set()  # id: apply_no; in effect; on disk
        self.vector, self.floor = {}, {}  # stream: seq; a floor's records are gone
        self.floor_hard, self.floor_no = set(), {}  # streams; hardness: what a start begins with
        self.lies = set()  # said to be on the disk
        self.stream, self.seq = (number, 0), 0
        self.table = {}   # (name, hardness): number
        self.all_floor = 0  # what was stored under another log: revalidate it
        self.pages = [None] * len(PAGES)   # [version, fill_no, body, taken over as]
        self.disk = [None] * len(PAGES)    # what a kill leaves
        self.fills = []   # [page, version, number when sent, body asked about (or None)]
        self.up, self.member, self.full, self.bodies = True, True, False, 0
        self.knows = set()


class World:
    def __init__(self, seed, rules):
        self.random, self.rules = random.Random(seed), rules
        self.nodes = [Node(i) for i in range(rules["nodes"])]
        for n in self.nodes:
            n.knows = set(range(rules["nodes"]))
        self.versions = [1] * len(PAGES)
        self.records = {}   # id: (name, hardness, versions it names)
        self.waits = []     # [accepting node, id, ids it waits for, ids that have it]
        self.promised = []  # ids told "everywhere"
        self.fault = None

    # --- a node's table and pages

    def put(self, n, name, hardness, number):
        key = (name, hardness)
        if self.rules["hardness"] == "last":
            n.table.pop((name, HARD), None)
            n.table.pop((name, SOFT), None)
        n.table[key] = max(n.table.get(key, 0), number)

    def apply(self, n, record):
        if record in n.applied:
            return
        n.counter += 1
        n.applied.add(record)
        n.log[record] = n.counter
        name, hardness, _ = self.records[record]
        self.put(n, name, hardness, n.counter)

    def newest(self, n, page, kinds):
        found = 0
        for (name, hardness), number in n.table.items():
            if hardness in kinds and number > found and matches(name, page, self.rules):
                found = number
        return found

    def is_fresh(self, n, page):
        p = n.pages[page]
        if not p or p[1] < n.all_floor:
            return False
        kinds = (HARD,) if self.rules["soft"] == "fresh" else (HARD, SOFT)
        return p[1] >= self.newest(n, page, kinds)

    def is_usable(self, n, page):
        """To ask the origin whether it has changed."""
        return n.pages[page] is not None and n.pages[page][2] >= self.newest(n, page, (HARD,))

    # --- the log

    def advance(self, n):
        for stream, seq in sorted(n.synced):
            if seq == n.vector.get(stream, 0) + 1:
                n.vector[stream] = seq

    def sync(self, n):
        if n.full:
            if self.rules["diskfull"] == "told":
                n.lies |= n.applied - n.synced
                for stream, seq in sorted(n.applied):
                    if seq == n.vector.get(stream, 0) + 1:
                        n.vector[stream] = seq
            return
        n.synced |= n.applied
        n.durable = n.counter
        n.lies -= n.applied
        self.advance(n)

    def below_floor(self, n, peer, stream):
        return n.vector.get(stream, 0) < peer.floor.get(stream, 0)

    def pull(self, n, peer):
        if n.full:
            return
        for stream, seq in list(peer.vector.items()):
            if seq <= n.vector.get(stream, 0):
                continue
            if self.below_floor(n, peer, stream) and self.rules["floor"] == "fallback":
                n.counter += 1
                kind = HARD if stream in peer.floor_hard else SOFT
                n.floor_no[kind] = n.counter
                self.put(n, "*", kind, n.counter)
            for record in [r for r in peer.log
                           if r[0] == stream and n.vector.get(stream, 0) < r[1] <= seq]:
                self.apply(n, record)
            n.floor[stream] = max(n.floor.get(stream, 0), peer.floor.get(stream, 0))
            n.floor_hard |= peer.floor_hard & {stream}
            n.vector[stream] = seq
        self.sync(n)

    def has_on_disk(self, n, record):
        return n.vector.get(record[0], 0) >= record[1]

    # --- the steps

    def do_purge(self, n):
        if self.rules["numbers"] == "boot" and n.boot == 0 and n.counter == 0:
            n.counter = 1
        name = self.random.choice(NAMES)
        hardness = HARD if self.random.random() < 0.6 else SOFT
        named = {}
        for page, tags in enumerate(PAGES):
            if name == "*" or name in tags:
                self.versions[page] += 1
                named[page] = self.versions[page]
        n.seq += 1
        record = (n.stream, n.seq)
        self.records[record] = (name, hardness, named)
        if n.full and self.rules["diskfull"] == "dropped":
            n.applied.add(record)  # "accepted", and nothing comes of it
        else:
            self.apply(n, record)
        self.waits.append([n, record, set(n.knows), set()])

    def do_sync(self, n):
        self.sync(n)

    def do_push(self, n):
        peer = self.other(n)
        missing = [r for r in peer.log if r not in n.applied]
        if missing:
            self.apply(n, self.random.choice(missing))

    def do_pull(self, n):
        self.pull(n, self.other(n))

    def store(self, n, page, version, number):
        n.bodies += 1
        n.pages[page] = [version, number, number]
        n.disk[page] = list(n.pages[page])  # the cache commits on its own

    def do_origin(self, n):
        page = self.random.randrange(len(PAGES))
        if not n.fills or self.random.random() < 0.5:
            stored = n.pages[page] if self.is_usable(n, page) else None
            n.fills.append([page, self.versions[page], n.counter, stored])
            return
        page, version, sent, asked = n.fills.pop(self.random.randrange(len(n.fills)))
        number = sent if self.rules["fill"] == "sent" else n.counter
        if asked is None:
            self.store(n, page, version, number)  # below a purge that came meanwhile: born stale
        elif asked[0] == version:  # 304: what is stored is as it was when the request was sent
            if self.rules["rewrite"] == "blind":
                if n.pages[page]:
                    n.pages[page][1] = number
                    n.disk[page] = list(n.pages[page])
            elif n.pages[page] is asked and self.is_usable(n, page):
                asked[1] = number
                n.disk[page] = list(asked)
        else:
            self.store(n, page, version, number)

    def do_peer(self, n):
        peer, page = self.other(n), self.random.randrange(len(PAGES))
        if not self.is_fresh(peer, page):
            return
        if self.rules["peer"] == "vectors":
            taken = all(peer.vector.get(s, 0) >= q for s, q in n.vector.items())
        else:
            taken = all(peer.vector.get(s, 0) >= q or
                        not matches(self.records[(s, q)][0], page, self.rules)
                        for s, q in n.applied)
            if self.rules["gap"] == "asked":  # what a floor swallowed may have named the page
                taken = taken and all(peer.vector.get(s, 0) >= q for s, q in n.floor.items())
        if taken:
            self.store(n, page, peer.pages[page][0], n.counter)

    def do_sweep(self, n):
        """Purged pages leave the store; names that no page can need any more leave the table."""
        for page in range(len(PAGES)):
            if n.pages[page] and not self.is_usable(n, page):
                n.pages[page] = None
                if self.rules["sweep"] != "ram":
                    n.disk[page] = None
        if self.rules["sweep"] == "eager":
            oldest = n.counter + 1
        else:
            oldest = min([f[2] for f in n.fills] + [n.counter + 1])
        for (name, hardness), number in list(n.table.items()):
            needed = [p for p in range(len(PAGES)) if matches(name, p, self.rules) and
                      n.pages[p] and n.pages[p][2 if hardness == HARD else 1] < number]
            if not needed and number <= oldest and self.on_disk(n, number):
                del n.table[(name, hardness)]
                if self.rules["sweep"] == "ram":  # nor does a start bring it back
                    n.swept = max(getattr(n, "swept", 0), number)

    def on_disk(self, n, number):
        return number <= n.durable

    def do_compact(self, n):
        how = self.rules["compact"]
        top = {}
        for (stream, seq), number in n.log.items():
            name, hardness, _ = self.records[(stream, seq)]
            told = seq <= n.vector.get(stream, 0)
            if not told and how not in ("unsynced", "cross"):
                continue
            where = name if how == "cross" else (stream, name)
            kind = hardness if how != "soft" else HARD
            if how == "cross":
                top[where] = max(top.get(where, (0, 0)), (number, kind))
            else:
                top[where, kind] = max(top.get((where, kind), 0), seq)
        for (stream, seq) in list(n.log):
            name, hardness, _ = self.records[(stream, seq)]
            if (stream, seq) not in n.synced:
                continue
            if how == "cross":
                best = top.get(name)
                if best and best[0] > n.log[(stream, seq)] and best[1] >= hardness:
                    del n.log[(stream, seq)]
                continue
            for wider in (name, "*"):
                for kind in (HARD, SOFT):
                    later = top.get(((stream, wider), kind), 0) > seq
                    if later and (kind >= hardness or how == "soft") and (stream, seq) in n.log:
                        del n.log[(stream, seq)]

    def do_retire(self, n):
        """Records beyond `keep` go: the stream's floor rises."""
        ripe = [] if n.full else [r for r in n.log if r in n.synced and r[1] <= n.vector.get(r[0], 0)]
        if ripe:
            stream, seq = self.random.choice(ripe)
            for record in [r for r in n.log if r[0] == stream and r[1] <= seq]:
                hardness = self.records[record][1]
                n.floor_no[hardness] = max(n.floor_no.get(hardness, 0), n.log.pop(record))
                if hardness == HARD:
                    n.floor_hard.add(stream)
            n.floor[stream] = max(n.floor.get(stream, 0), seq)

    def restart(self, n, whole_log=True):
        n.boot += 1
        kept = n.synced if whole_log else set()
        n.applied, n.synced = set(kept), set(kept)
        before = n.log
        n.log = {r: number for r, number in before.items() if r in kept}
        n.table, n.fills = {}, []
        n.pages = [list(p) if p else None for p in n.disk]
        n.counter = n.durable if self.rules["numbers"] == "plain" else n.boot * 10**6
        self.waits = [w for w in self.waits if w[0] is not n]
        n.stream, n.seq = (n.id, n.boot), 0
        return kept

    def do_kill(self, n):
        """kill -9: what is on the disk is there. A start fills the table with stored numbers."""
        log = dict(n.log)
        kept = self.restart(n)
        swept = getattr(n, "swept", 0)
        for record in kept:
            name, hardness, _ = self.records[record]
            if record in log and log[record] > swept:
                self.put(n, name, hardness, log[record])
        for hardness, number in n.floor_no.items():
            self.put(n, "*", hardness, number)

    def do_logless(self, n):
        """The log's folder is gone; the cache is there. Another log id: all of it is below."""
        n.vector, n.floor, n.synced = {}, {}, set()
        n.floor_hard, n.floor_no = set(), {}
        self.restart(n, whole_log=False)
        for wait in self.waits:
            wait[3].discard(n.id)  # what it said of the other log counts no more
        if self.rules["log_id"] == "checked":
            n.counter += 1
            n.all_floor = n.counter
        for peer in self.nodes:
            if peer.up and peer is not n:
                self.pull(n, peer)

    def do_fill_disk(self, n):
        n.full = not n.full

    def do_ask(self, n):
        """Who has the accepting node's purge? Acks name whom the acker knows."""
        mine = [w for w in self.waits if w[0] is n]
        if not mine:
            return
        wait = self.random.choice(mine)
        who = self.nodes[self.random.choice(sorted(wait[2]))]
        if who.up and self.has_on_disk(who, wait[1]):
            wait[3].add(who.id)
            if self.rules["join"] == "asked":
                n.knows |= who.knows
                wait[2] |= who.knows
        wait[2] = {i for i in wait[2] if self.nodes[i].member}
        if wait[2] <= wait[3]:
            self.waits.remove(wait)
            self.promised.append(wait[1])
            for m in self.nodes:
                if m.member and m.up and (not self.has_on_disk(m, wait[1]) or
                                          wait[1] in m.lies):
                    self.fault = "W: node %d does not have %s" % (m.id, wait[1])

    def do_join(self, n):
        """A node comes by way of n: it takes n's word for who is there, and its log, first."""
        if len(self.nodes) >= self.rules["nodes"] + self.rules["joiners"]:
            return
        new = Node(len(self.nodes))
        new.knows = set(n.knows) | {new.id}
        self.nodes.append(new)
        n.knows.add(new.id)
        new.counter = 1
        self.pull(new, n)
        if self.rules["join"] == "known":
            return
        # Nobody counts it before those it knows have heard of it, or their acks will name it: an
        # ack of n does. What was promised before, n has, or somebody it takes it from does.
        for other in self.nodes:
            if other is not new and other.member and other.up:
                self.pull(new, other)

    def do_forget(self, n):
        """The operator's word: it will not come back with its cache."""
        gone = self.other(n)
        if not gone.member or sum(m.member for m in self.nodes) < 3:
            return
        everybody = set().union(*(m.knows for m in self.nodes if m.member))
        gone.member = gone.up = False  # by then gossip has told all who is there
        for m in self.nodes:
            m.knows = everybody - {m.id for m in self.nodes if not m.member}

    def do_return(self, n):
        for gone in self.nodes:
            if not gone.up:
                if self.rules["forget"] == "empty":
                    gone.pages = [None] * len(PAGES)
                    gone.disk = [None] * len(PAGES)
                gone.up = gone.member = True
                gone.fills = []
                self.back(gone)
                return

    def back(self, n):
        for m in self.nodes:
            if m.member:
                m.knows.add(n.id)
        n.knows = {m.id for m in self.nodes if m.member}
        if self.rules["forget"] == "empty":  # careful until it has exchanged with all
            for m in self.nodes:
                if m is not n and m.up:
                    self.pull(n, m)

    # --- what must hold

    def other(self, n):
        return self.random.choice([m for m in self.nodes if m is not n and m.up] or [n])

    def known(self, n):
        return n.applied | {r for r in self.records if self.has_on_disk(n, r)}

    def stale(self, n, page, records, usable=False):
        for record in records:
            name, hardness, named = self.records[record]
            if page in named and n.pages[page][0] < named[page] and (not usable or hardness):
                return record
        return None

    def check(self):
        for n in self.nodes:
            if not n.up:
                continue
            for page in range(len(PAGES)):
                if n.pages[page] is None:
                    continue
                if self.is_fresh(n, page):
                    if self.stale(n, page, self.known(n)):
                        self.fault = "F: node %d page %d" % (n.id, page)
                    elif n.member and self.stale(n, page, self.promised):
                        self.fault = "W: node %d page %d" % (n.id, page)
                elif self.is_usable(n, page) and \
                        self.stale(n, page, self.known(n), usable=True):
                    self.fault = "S: node %d page %d" % (n.id, page)

    def heal(self):
        live = [n for n in self.nodes if n.up]
        for n in live:
            n.full = False
            self.sync(n)
        for _ in range(3):
            for n in live:
                for peer in live:
                    if n is not peer:
                        self.pull(n, peer)
        if any(n.vector != live[0].vector for n in live):
            self.fault = "E: vectors differ"
        for n in live:
            known = [r for r in self.records if n.vector.get(r[0], 0) >= r[1]]
            for page in range(len(PAGES)):
                if n.pages[page] and self.is_fresh(n, page) and self.stale(n, page, known):
                    self.fault = "E: node %d page %d" % (n.id, page)

    def walk(self):
        steps = []
        for _ in range(self.rules["steps"]):
            n = self.random.choice([m for m in self.nodes if m.up])
            act = self.random.choice(self.rules["acts"])
            getattr(self, "do_" + act)(n)
            steps.append("%s %d" % (act, n.id))
            if self.fault is None:
                self.check()
            if self.fault:
                return steps, self.fault
        self.heal()
        return (steps + ["heal"], self.fault) if self.fault else None


BASE = RULES["acts"]
SWEEP = BASE + ("sweep", "sweep")
PACK = ("purge", "purge", "sync", "sync", "origin", "origin", "pull", "compact", "compact")
KILL = BASE + ("kill",)
ASK = BASE + ("ask", "ask", "ask")
JOIN = ASK + ("join",)
FORGET = ASK + ("forget", "return", "return")
EVERY = SWEEP + ("kill", "compact", "compact", "retire", "fill_disk", "join", "forget", "return",
                 "logless", "ask", "ask", "ask")

ROWS = (
    ("the requester checks what it applied against the owner's vector", {}),
    ("(fault) owner compares version vectors instead of the requester", {"peer": "vectors"}),
    ("(fault) a fetch is numbered when it came, not when it was sent", {"fill": "came"}),
    ("(fault) tags: only the first one of a page is matched", {"match": "url"}),
    ("(fault) soft: one number for hard and soft, the later one wins", {"hardness": "last"}),
    ("(fault) soft: leaves a page fresh", {"soft": "fresh"}),
    ("(fault) a 304 is merged into whatever body is stored now", {"acts": BASE + ("origin",) * 8, "rewrite": "blind"}),
    ("compaction inside one stream, told records only", {"acts": KILL + ("compact",) * 3}),
    ("(fault) compaction across streams", {"acts": KILL + ("compact",) * 3, "compact": "cross"}),
    ("(fault) compaction: a soft record swallows a hard one",
     {"acts": PACK, "compact": "soft"}),
    ("(fault) compaction: what is not on the disk swallows",
     {"acts": KILL + ("compact",) * 3, "compact": "unsynced"}),
    ("kill -9, the boot number in the high bits", {"acts": KILL}),
    ("(fault) kill -9 with a plain counter", {"acts": KILL, "numbers": "plain"}),
    ("sweep", {"acts": SWEEP + ("kill",)}),
    ("(fault) sweep: a name goes while a fetch from before runs",
     {"acts": SWEEP, "sweep": "eager"}),
    ("(fault) sweep: a name goes before the deletion is on the disk",
     {"acts": SWEEP + ("kill",), "sweep": "ram"}),
    ("records retire: below the floor all is revalidated", {"acts": KILL + ("retire",)}),
    ("(fault) retired records are passed over", {"acts": BASE + ("retire",), "floor": "ignored"}),
    ("(fault) a peer need not know what was passed over at a floor",
     {"acts": KILL + ("retire", "retire", "pull"), "gap": "unasked"}),
    ("disk full", {"acts": ASK + ("fill_disk", "kill")}),
    ("(fault) disk full: what can't be written is not in effect",
     {"acts": BASE + ("fill_disk",), "diskfull": "dropped"}),
    ("(fault) disk full: told as written all the same",
     {"acts": ASK + ("fill_disk", "kill"), "diskfull": "told"}),
    ("everywhere", {"acts": ASK + ("kill",)}),
    ("joins: acks name whom the acker knows", {"acts": JOIN, "joiners": 2}),
    ("(fault) joins: only those known to the accepting node count",
     {"acts": JOIN, "joiners": 2, "join": "known"}),
    ("forget: who comes back comes empty", {"acts": FORGET}),
    ("(fault) forget: who comes back trusts its cache", {"acts": FORGET, "forget": "trusts"}),
    ("a new log: the cache is below its floor", {"acts": ASK + ("logless",)}),
    ("a new log on a node alone", {"acts": ASK + ("logless",), "nodes": 1}),
    ("(fault) a new log: the cache is trusted",
     {"acts": ASK + ("logless",), "log_id": "ignored", "nodes": 1}),
    ("all rules together", {"acts": EVERY, "joiners": 2, "steps": 60}),
)


def run(name, changes, walks, stop):
    """(walks made, walks that broke something, the shortest of them)"""
    rules = dict(RULES, **changes)
    bad, shortest, made = 0, None, 0
    for seed in range(walks):
        made += 1
        found = World(seed, rules).walk()
        if found:
            bad += 1
            if shortest is None or len(found[0]) < len(shortest[0]):
                shortest = found
            if stop:
                break
    return made, bad, shortest


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--walks", type=int, default=40000)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--row", default="")
    how = parser.parse_args()
    wrong, began = 0, time.monotonic()
    for name, changes in ROWS:
        if how.row not in name:
            continue
        is_fault = name.startswith("(fault)")
        walks = (20000 if is_fault else 500) if how.check else how.walks
        made, bad, shortest = run(name, changes, walks, stop=how.check)
        good = (bad > 0) == is_fault
        wrong += not good
        print("%-68s %d of %d%s" % (name, bad, made, "" if good else "   WRONG"), flush=True)
        if shortest and (not good or not how.check):
            print("    %s -> %s" % (", ".join(shortest[0][-9:]), shortest[1]))
    print("%d rows wrong, %.0f s" % (wrong, time.monotonic() - began))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
