"""An origin whose answers can be judged: whole, right, and not from before a purge."""

import hashlib

import h2client
import harness

TAGS = 10
SIZES = [0, 1, 100, 1000, 4079, 4080, 4081, 9000, 30000, 70000, 262144, 300000]
LARGE = 5 << 20  # of the last key, where large=True


class Versions:
    """An origin whose every body tells its key, its version and its own hash.

    now: the version that is being told of each key. floor: what nobody may see less than,
    raised once a purge was answered 200.
    """

    def __init__(self, origin, keys, sizes=SIZES, large=False):
        self.origin, self.keys, self.sizes, self.large = origin, keys, sizes, large
        self.now = [1] * keys
        self.floor = [1] * keys
        origin.handlers["*"] = (self.answer, True)

    def answer(self, x):
        key = int(x.request.path.rpartition("/")[2])
        body = self.body(key, self.now[key])
        etag = '"%s"' % hashlib.sha256(body).hexdigest()
        fields = [("Cache-Control", "max-age=3600"), ("ETag", etag),
                  ("Surrogate-Key", "t%d all" % (key % TAGS))]
        if x.request.get("if-none-match") == etag:
            x.respond(304, fields)
        elif key % 3 == 0:  # of a length that is not told before its end
            x.chunks([body[at:at + 50000] for at in range(0, len(body), 50000)], fields=fields)
        else:
            x.respond(fields=fields, body=body)

    def body(self, key, version):
        start = b"%d %d " % (key, version)
        large = self.large and key == self.keys - 1
        size = LARGE if large else self.sizes[key % len(self.sizes)]
        text = start * (size // len(start) + 1)
        return text + hashlib.sha256(text).hexdigest().encode()

    def judge(self, key, body, floor):
        """None, or what is wrong with a body of `key` that was asked for at `floor`."""
        text, digest = body[:-64], body[-64:]
        if hashlib.sha256(text).hexdigest().encode() != digest:
            return "torn: key %d, %d bytes, %r" % (key, len(body), body[:40])
        found_key, version = map(int, text.split(b" ", 2)[:2])
        if found_key != key or body != self.body(key, version):
            return "another's: key %d got %r" % (key, body[:40])
        if version < floor:
            return "purged: key %d has version %d, purged below %d" % (key, version, floor)
        return None

    def path(self, key):
        return "/t%d/%d" % (key % TAGS, key)


def look(node, versions):
    """Asks for everything over both protocols; how many the origin was not asked for."""
    before = versions.origin.count()
    with node.http() as h1, h2client.H2(node.https_port) as h2:
        for key in range(versions.keys):
            for client in (h1, h2):
                response = client.get(versions.path(key))
                assert response.status == 200, response
                fault = versions.judge(key, response.body, versions.floor[key])
                assert not fault, fault
    return 2 * versions.keys - (versions.origin.count() - before)


def config(port, size="512MiB", memory="32MiB", **sections):
    return harness.config(port, cache={"memory": memory, "disk": {"size": size}}, **sections)


def wait_stored(node):
    """Until all that was fetched is on disk."""
    harness.wait_until(lambda: node.status()["cache"]["queue_bytes"] == 0, "an empty queue")
