"""What tests of encoded forms share: pages, clients that decode, what the node tells of forms.

A page is a path with a body of its own. Clients speak TLS in both protocols, since the scheme
is a part of the key.
"""

import codings
import h2client
import harness
from cache_bench import Bench, cache_status, stamped

LASTS = ("Cache-Control", "max-age=600")
BROWSER = "gzip, deflate, br, zstd"
PROTOCOLS = ("h1", "h2")


class Page:
    def __init__(self, path, body, tag):
        self.path, self.body, self.tag = path, body, tag

    def tag_in(self, coding):
        """Of the form that is made in this coding; "x" and W/"x" have the same."""
        return 'W/"%s-%s"' % (self.tag.removeprefix("W/").strip('"'), coding) \
            if self.tag else None


def connect(node, over):
    return node.https() if over == "h1" else h2client.H2(node.https_port)


def request(client, method, path, accept=None, fields=()):
    """One exchange; `accept`: None, a value of Accept-Encoding, or a list of its lines.

    Cut: it did not come to its proper end, in either protocol.
    """
    lines = [accept] if isinstance(accept, str) else accept or []
    fields = [*(("Accept-Encoding", line) for line in lines), *stamped(fields)]
    if isinstance(client, h2client.H2):
        fields = [(name.lower(), value.strip(" ")) for name, value in fields]
    response = client.request(method, path, fields)
    if getattr(response, "reset", None) is not None:
        raise harness.Cut("reset by %d" % response.reset, response)
    return response


def coding_of(response):
    return response.get("content-encoding") or "identity"


def content_of(response):
    """What the body is once it is decoded; a length that was told is right in any case."""
    return codings.decode(coding_of(response), response.body)


def has_one(response, *names):
    for name in names:
        assert len(response.all(name)) == 1, (name, response)


def names_in_vary(response):
    """Names in Vary, sorted, in lower case, doubled ones too; it is one line at most."""
    assert len(response.all("vary")) <= 1, response
    return sorted(n.strip().lower() for n in (response.get("vary") or "").split(",") if n.strip())


class FormBench(Bench):
    host = "localhost"  # that pages are asked for under

    def page(self, size=20000, fields=(), kind="text/html", tag='"x"', coding="identity",
             body=None, status=200, lasts=LASTS, path=None):
        """A page whose origin sends it in `coding`, and 304 for its tag."""
        path = path or self.new_path()
        body = codings.text(size, path) if body is None else body
        coded = codings.encode(coding, body)
        fields = [lasts, *([("Content-Type", kind)] if kind else []),
                  *([("ETag", tag)] if tag else []),
                  *([("Content-Encoding", coding)] if coding != "identity" else []), *fields]

        def answer(x):
            if tag and tag in (x.request.get("if-none-match") or ""):
                x.respond(304, stamped(fields))
            else:
                x.respond(status, stamped(fields), coded)

        self.origin.on(path)(answer)
        return Page(path, body, tag)

    # Clients

    def ask(self, page, accept=None, fields=(), method="GET", over="h1"):
        """A request on a connection of its own."""
        with connect(self.node, over) as client:
            return request(client, method, page.path, accept, fields)

    def warm(self, page, *wanted):
        """Asks for these forms until they are stored; a full queue drops what it is asked."""
        def is_there(coding):
            assert content_of(self.ask(page, coding)) == page.body
            return coding in self.forms(page)

        for coding in wanted:
            self.wait(lambda: is_there(coding), "%s of %s" % (coding, page.path))
        return page

    # What the node tells

    def figure(self, name, **labels):
        return figure(self.node, name, **labels)

    def forms(self, page):
        """{encoding: what is told of it}; nothing is stored: {}."""
        info = self.node.admin("GET", "/v1/cache?url=https://" + self.host + page.path).json
        found = [form for variant in info["variants"] for form in variant["forms"]]
        assert len({form["encoding"] for form in found}) == len(found), found
        return {form["encoding"]: form for form in found}

    def wait_made(self, page, *wanted):
        self.wait(lambda: set(wanted) <= set(self.forms(page)),
                  "%s of %s" % (wanted, page.path))

    def let_encoders_look(self):
        """Until all that was asked of the encoders before has been done."""
        self.warm(self.page(), "gzip", "zstd")
        self.wait_encoders()

    def wait_encoders(self):
        wait_encoders(self.node)


def figure(node, name, **labels):
    """A number of /metrics."""
    shown = ",".join('%s="%s"' % pair for pair in labels.items())
    wanted = name + ("{%s}" % shown if shown else "") + " "
    lines = node.admin("GET", "/metrics").body.decode().splitlines()
    values = [float(line[len(wanted):]) for line in lines if line.startswith(wanted)]
    assert len(values) == 1, (wanted, values)
    return values[0]


def wait_encoders(node):
    """Until they have done all that they were asked."""
    harness.wait_until(lambda: figure(node, "perigee_encoder_queue") == 0, "idle encoders", 60)


def made(node):
    """How many forms the node has made since its start, by encoding."""
    return {coding: figure(node, "perigee_forms_made_total", encoding=coding)
            for coding in ("gzip", "zstd", "identity")}


def check(response, page, coding, as_received="identity"):
    """A 200 in that coding: its content, tag, length; whether it was made or came so."""
    assert response.status == 200, response
    assert coding_of(response) == coding, response
    assert content_of(response) == page.body, response
    lengths = response.all("content-length")
    assert lengths in ([], [str(len(response.body))]), response
    tag = page.tag if coding == as_received else page.tag_in(coding)
    assert response.all("etag") == ([tag] if tag else []), response


def check_stored(response, page, coding, as_received="identity"):
    """The same of a hit that nothing is done to any more."""
    check(response, page, coding, as_received)
    assert "hit" in cache_status(response), response
    has_one(response, "content-length", "age")
