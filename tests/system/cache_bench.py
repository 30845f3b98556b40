"""What tests of the cache share: dates by offset, Cache-Status taken apart, a bench.

A bench is a node and its origin, with paths that no other test uses. Field values given to it
may hold <+60>, <-60 rfc850>, <+0 asctime>: the date that many seconds from the answer on.
"""

import itertools
import re
import time

import harness

FORMS = {"imf": "%a, %d %b %Y %H:%M:%S GMT", "rfc850": "%A, %d-%b-%y %H:%M:%S GMT",
         "asctime": "%a %b %e %H:%M:%S %Y"}
MARK = re.compile(r"<([+-]\d+)(?: (\w+))?>")


def http_date(offset_s=0, form="imf"):
    return time.strftime(FORMS[form], time.gmtime(time.time() + offset_s))


def stamped(fields):
    return [(name, MARK.sub(lambda m: http_date(int(m[1]), m[2] or "imf"), str(value)))
            for name, value in fields]


def cache_status(response):
    """Our member of Cache-Status: {"hit": True}, {"fwd": "stale", "fwd-status": "304"}."""
    members = [m.strip() for m in (response.get("cache-status") or "").split(",")]
    ours = [m for m in members if m.split(";")[0] == "perigee"]
    assert len(ours) == 1, response
    said = {}
    for parameter in ours[0].split(";")[1:]:
        name, equals, value = parameter.strip().partition("=")
        said[name] = value if equals else True
    assert ("hit" in said) != ("fwd" in said), response  # RFC 9211 2.2
    return said


def is_hit(response):
    return "hit" in cache_status(response)


class Bench:
    numbers = itertools.count(1)

    def __init__(self, node, origin):
        self.node, self.origin = node, origin

    def new_path(self):
        return "/t%d" % next(Bench.numbers)

    def serve(self, fields=(), status=200, body=None, path=None):
        """A path that is answered so, and its name; without `body` answers are numbered."""
        path = path or self.new_path()
        numbers = itertools.count(1)

        def answer(x):
            said = b"%d of %s" % (next(numbers), path.encode()) if body is None else body
            x.respond(status, stamped(fields), said)

        self.origin.on(path)(answer)
        return path

    def request(self, method, path, fields=(), **how):
        with self.node.http() as client:
            return client.request(method, path, stamped(fields), **how)

    def get(self, path, fields=(), **how):
        return self.request("GET", path, fields, **how)

    def head(self, path, fields=(), **how):
        return self.request("HEAD", path, fields, **how)

    def fill(self, path, fields=(), **how):
        """A first GET, which must have stored something."""
        response = self.get(path, fields, **how)
        assert "stored" in cache_status(response), response
        return response

    def is_reused(self, path, first=(), second=(), **how):
        """Is the answer to a GET with the fields `first` used for one with `second`?"""
        one = self.get(path, first, **how)
        two = self.get(path, second, **how)
        asked = self.origin.count(path)
        assert asked in (1, 2)
        assert is_hit(two) == (asked == 1), two
        assert (two.body == one.body) == (asked == 1) or not one.body, (one, two)
        assert not is_hit(one) and one.status == two.status, (one, two)
        return asked == 1

    def wait(self, condition, what):
        return harness.wait_until(condition, what)
