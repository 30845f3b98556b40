"""Many clients of one object in one thread, each byte compared as it comes.

    crowd = Crowd(body)
    crowd.http1(port, "/x", tls=True)
    crowd.http2(port, "/x", streams=4)
    crowd.run(tick=sample)

A reader that is `slow` takes a few bytes now and then until all the others are through.
"""

import re
import selectors
import ssl
import time

import h2.config
import h2.connection
import h2.events

import harness

PIECE = 1 << 18
SIP = 4096  # what a slow reader takes at a time


class Reader:
    """One response: how far it is, and whether all of it was right so far."""

    def __init__(self, expected):
        self.expected = expected
        self.at = 0
        self.done = False
        self.collapsed = None

    def head(self, status, length, said):
        assert status == 200 and int(length) == len(self.expected), (status, length)
        self.collapsed = "collapsed" in said

    def take(self, piece):
        end = self.at + len(piece)
        assert piece == self.expected[self.at:end], "wrong bytes at %d" % self.at
        self.at = end

    def end(self):
        assert self.at == len(self.expected), "ended at %d" % self.at
        self.done = True


class Connection:
    """A non-blocking connection; subclasses know the protocol."""

    def __init__(self, crowd, port, tls, slow, alpn):
        context = harness.client_context(alpn) if tls else None
        self.sock = harness.connect(port, context=context, timeout_s=60,
                                    receive_bytes=65536 if slow else None)
        self.crowd, self.slow = crowd, slow

    def receive(self, count):
        """Bytes; None: none now."""
        try:
            data = self.sock.recv(count)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        assert data, "closed in the middle"
        return data

    def read(self, sip=False):
        """What there is, up to a piece; a sip: a little."""
        left = SIP if sip else PIECE
        while (left > 0 or self.is_pending()) and not self.done:
            data = self.receive(max(SIP, min(left, PIECE)))
            if data is None:
                return
            left -= len(data)
            self.feed(data)

    def is_pending(self):
        """Bytes that are decrypted already: no selector tells of them."""
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0


class Http1Connection(Connection):
    def __init__(self, crowd, port, path, tls, slow):
        super().__init__(crowd, port, tls, slow, ("http/1.1",))
        self.reader = crowd.reader()
        self.buffer = b""
        self.sock.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())

    @property
    def done(self):
        return self.reader.done

    def all_readers(self):
        return [self.reader]

    def feed(self, data):
        if self.buffer is not None:
            self.buffer += data
            head, end, data = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self.buffer = None
            fields = dict(re.findall(r"([^\s:]+): ?(.*)", head.decode().lower()))
            self.reader.head(int(head.split(b" ")[1]), fields["content-length"],
                             fields["cache-status"])
        self.reader.take(data)
        if self.reader.at >= len(self.reader.expected):
            self.reader.end()


class Http2Connection(Connection):
    def __init__(self, crowd, port, path, streams, slow):
        super().__init__(crowd, port, True, slow, ("h2",))
        self.core = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="latin-1"))
        self.core.initiate_connection()
        self.readers = {}
        for _ in range(streams):
            stream = self.core.get_next_available_stream_id()
            self.core.send_headers(stream, [(":method", "GET"), (":scheme", "https"),
                                            (":authority", "localhost"), (":path", path)],
                                   end_stream=True)
            self.readers[stream] = crowd.reader()
        self.unsent = self.core.data_to_send()
        self.flush()

    @property
    def done(self):
        return all(reader.done for reader in self.readers.values())

    def all_readers(self):
        return list(self.readers.values())

    def flush(self):
        self.unsent += self.core.data_to_send()
        try:
            while self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent):]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass

    def feed(self, data):
        for event in self.core.receive_data(data):
            assert not isinstance(event, (h2.events.StreamReset,
                                          h2.events.ConnectionTerminated)), event
            if isinstance(event, h2.events.ResponseReceived):
                fields = dict(event.headers)
                self.readers[event.stream_id].head(int(fields[":status"]),
                                                   fields["content-length"],
                                                   fields["cache-status"])
            elif isinstance(event, h2.events.DataReceived):
                self.readers[event.stream_id].take(event.data)
                self.core.acknowledge_received_data(event.flow_controlled_length,
                                                    event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.readers[event.stream_id].end()
        self.flush()


class Crowd:
    def __init__(self, expected):
        self.expected = expected
        self.readers, self.connections = [], []
        self.behind = []  # how far the slow ones were when all others were through

    def reader(self):
        reader = Reader(self.expected)
        self.readers.append(reader)
        return reader

    def http1(self, port, path, tls=False, slow=False):
        self.connections.append(Http1Connection(self, port, path, tls, slow))

    def http2(self, port, path, streams=1, slow=False):
        self.connections.append(Http2Connection(self, port, path, streams, slow))

    def close(self):
        for connection in self.connections:
            connection.sock.close()

    def run(self, tick=lambda: None, deadline_s=300):
        """Until every reader has everything; `tick` is called some times a second."""
        end = time.monotonic() + deadline_s
        next_tick = 0.0
        with selectors.DefaultSelector() as selector:
            for connection in self.connections:
                connection.sock.setblocking(False)
                if not connection.slow:
                    selector.register(connection.sock, selectors.EVENT_READ, connection)
            slow = [c for c in self.connections if c.slow]
            while selector.get_map() or slow:
                now = time.monotonic()
                assert now < end, "%d of %d are through" % (
                    sum(r.done for r in self.readers), len(self.readers))
                if now >= next_tick:
                    next_tick = now + 0.1
                    tick()
                    for connection in slow:
                        connection.read(sip=True)
                for key, _ in selector.select(0.05):
                    key.data.read()
                    if key.data.done:
                        selector.unregister(key.fileobj)
                if slow and not selector.get_map():
                    self.behind = [r.at for c in slow for r in c.all_readers()]
                    for connection in slow:
                        connection.read()
                        if not connection.done:
                            selector.register(connection.sock, selectors.EVENT_READ, connection)
                    slow = []
