"""A scripted origin inside the test's process: it answers as told, also very badly.

    origin = Origin()
    origin.reply("/a", body=b"hello", fields=[("Cache-Control", "max-age=60")])

    @origin.on("/slow")
    def slow(x):                      # x: Exchange
        x.head(200, [("Content-Length", "10")])
        x.send(b"12345")
        x.wait(released)              # a threading.Event of the test
        x.send(b"67890")

A connection is a thread. What a handler sends goes out as it is; when it returns, the next
request of the connection is read, unless it closed it. A path's handler is found without the
query; "*" is for all others.
"""

import socket
import ssl
import struct
import threading
import time

WAIT_S = 60


class Request:
    """One as it came. fields: (name, value) in order; body: None while nobody has read it."""

    def __init__(self, method, target, version, fields, connection):
        self.method, self.target, self.version = method, target, version
        self.fields, self.connection = fields, connection
        self.body = None
        self.trailers = []
        self.at = time.monotonic()

    @property
    def path(self):
        return self.target.split("?")[0]

    def get(self, name):
        """All values of a field, joined; None when it is not there."""
        values = self.all(name)
        return ", ".join(values) if values else None

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def __repr__(self):
        return "<%s %s %r>" % (self.method, self.target, self.fields)


class Closed(Exception):
    """The other side of a connection is gone, or the origin is being closed."""


class Exchange:
    """What a handler gets: the request, and the raw connection to answer on."""

    def __init__(self, origin, connection, request):
        self.origin, self.connection, self.request = origin, connection, request
        self.keep = True
        self.sent_before = connection.sent_bytes

    # Out

    def send(self, data):
        """Raw bytes."""
        self.connection.send(data)

    def head(self, status, fields=(), reason="Scripted"):
        lines = ["HTTP/1.1 %d %s" % (status, reason)]
        lines += ["%s: %s" % pair for pair in fields]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def respond(self, status=200, fields=(), body=b""):
        """A whole, correct response; HEAD gets its head."""
        fields = list(fields)
        if status not in (204, 304) and not any(n.lower() == "content-length"
                                                for n, _ in fields):
            fields.append(("Content-Length", len(body)))
        self.head(status, fields)
        if self.request.method != "HEAD" and status not in (204, 304):
            self.send(body)

    def chunk(self, data):
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def chunks(self, pieces, status=200, fields=(), trailers=()):
        """A whole chunked response."""
        self.head(status, [*fields, ("Transfer-Encoding", "chunked")])
        for piece in pieces:
            self.chunk(piece)
        self.send(b"0\r\n" + b"".join(b"%s: %s\r\n" % (n.encode(), v.encode())
                                      for n, v in trailers) + b"\r\n")

    def stream(self, total, piece=b"0123456789abcdef" * 4096):
        """`total` body bytes, `piece` over and over; counted in sent_bytes."""
        while total:
            part = piece if total >= len(piece) else piece[:total]
            self.send(part)
            total -= len(part)

    @property
    def sent_bytes(self):
        """By this exchange so far."""
        return self.connection.sent_bytes - self.sent_before

    def close(self):
        """Ends the connection in good order (FIN)."""
        self.keep = False
        self.connection.close()

    def reset(self):
        """Ends it with RST."""
        self.keep = False
        self.connection.reset()

    # In

    def body(self):
        """Reads the request's whole body and keeps it in the request."""
        if self.request.body is None:
            self.request.body = b"".join(self.pieces())
        return self.request.body

    def pieces(self):
        """The request's body, piece by piece, as it comes."""
        yield from self.connection.body(self.request)

    # Under the test's control

    def wait(self, event):
        """Until the test sets the event; raises Closed when the origin is closed first."""
        end = time.monotonic() + WAIT_S
        while not event.wait(0.02):
            if self.origin.closing.is_set() or time.monotonic() > end:
                raise Closed()

    def wait_gone(self):
        """Until the other side has ended the connection; bytes that come are let go."""
        try:
            while self.connection.receive():
                pass
        except Closed:
            pass


class Connection:
    def __init__(self, sock, number):
        self.sock, self.number = sock, number
        self.buffer = b""
        self.sent_bytes = 0

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Closed() from error
        self.sent_bytes += len(data)

    def receive(self):
        """More bytes; b"" at the end."""
        try:
            return self.sock.recv(1 << 18)
        except OSError as error:
            raise Closed() from error

    def more(self):
        piece = self.receive()
        if not piece:
            raise Closed()
        self.buffer += piece

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def fields(self):
        fields = []
        while True:
            line = self.line()
            if not line:
                return fields
            name, _, value = line.partition(b":")
            fields.append((name.decode("latin-1"), value.strip().decode("latin-1")))

    def request(self):
        method, target, version = self.line().decode("latin-1").split(" ")
        return Request(method, target, version, self.fields(), self.number)

    def exactly(self, count):
        while count:
            if not self.buffer:
                self.more()
            piece, self.buffer = self.buffer[:count], self.buffer[count:]
            count -= len(piece)
            yield piece

    def body(self, request):
        if request.get("transfer-encoding"):
            while True:
                size = int(self.line().split(b";")[0], 16)
                if not size:
                    break
                yield from self.exactly(size)
                assert self.line() == b""
            request.trailers = self.fields()
        else:
            yield from self.exactly(int(request.get("content-length") or 0))

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Origin:
    """Listens on a free port of 127.0.0.1; `tls`: (certificate, key)."""

    def __init__(self, tls=None, port=0, host="127.0.0.1"):
        self.handlers = {}
        self.requests = []
        self.faults = []  # what handlers raised: read by close()
        self.connections = 0
        self.changed = threading.Condition()
        self.closing = threading.Event()
        self.open = set()
        self.threads = []
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*tls)
            self.server_names = []
            self.context.sni_callback = lambda _s, name, _c: self.server_names.append(name)
        self.listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(128)
        self.port = self.listener.getsockname()[1]
        self.handlers["*"] = (lambda x: x.respond(body=b"origin:" + x.request.target.encode()),
                              True)
        self.spawn(self.accept)

    # The script

    def on(self, path, reads_body=True):
        """Decorator: the function answers requests for `path`.

        reads_body: the request's body is read before the function is called.
        """
        def register(function):
            self.handlers[path] = (function, reads_body)
            return function
        return register

    def reply(self, path, status=200, fields=(), body=b""):
        """A canned answer."""
        self.handlers[path] = (lambda x: x.respond(status, fields, body), True)

    # The record

    def seen(self, path=None):
        """Requests so far, of one path or all."""
        with self.changed:
            return [r for r in self.requests if path in (None, r.path)]

    def count(self, path=None):
        return len(self.seen(path))

    def last(self, path=None):
        return self.seen(path)[-1]

    def wait_for(self, count, path=None, deadline_s=20):
        """Waits until that many requests (of a path) have come; returns them."""
        end = time.monotonic() + deadline_s
        with self.changed:
            while True:
                seen = [r for r in self.requests if path in (None, r.path)]
                if len(seen) >= count:
                    return seen
                if not self.changed.wait(end - time.monotonic()) and \
                        time.monotonic() >= end:
                    raise AssertionError("%d of %d requests came: %r"
                                         % (len(seen), count, seen))

    def clear(self):
        with self.changed:
            self.requests.clear()

    # Its threads

    def spawn(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.connections += 1
                number = self.connections
            self.spawn(self.serve, sock, number)

    def serve(self, sock, number):
        connection = Connection(sock, number)
        with self.changed:
            self.open.add(connection)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context:
                connection.sock = self.context.wrap_socket(sock, server_side=True)
            while self.answer(connection):
                pass
        except (Closed, OSError):
            pass
        except Exception as error:  # the script's own fault: shown by close()
            self.faults.append(error)
        finally:
            with self.changed:
                self.open.discard(connection)
            connection.close()

    def answer(self, connection):
        """One exchange; False: the connection is over."""
        request = connection.request()
        function, reads_body = self.handlers.get(request.path, self.handlers["*"])
        x = Exchange(self, connection, request)
        if reads_body:
            x.body()
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
        function(x)
        return x.keep

    def close(self):
        self.closing.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.changed:
            connections = list(self.open)
        for connection in connections:
            connection.close()
        for thread in self.threads:
            thread.join(5)
        assert not self.faults, "the origin's script failed: %r" % self.faults
