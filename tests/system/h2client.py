"""HTTP/2 clients: H2 speaks by python3-h2, RawH2 sends whatever frames a test makes up."""

import socket
import ssl
import struct
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hpack

import harness

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, \
    CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, \
    FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, \
    ENHANCE_YOUR_CALM = range(12)


def connect(port, sni="localhost", alpn=("h2",), **how):
    sock = harness.connect(port, sni=sni, context=harness.client_context(alpn), **how)
    assert sock.selected_alpn_protocol() == "h2"
    return sock


class Response(harness.Response):
    """Also reset: the code of the RST_STREAM that ended it, else None."""

    def __init__(self):
        super().__init__()
        self.ended = False
        self.reset = None

    @property
    def over(self):
        return self.ended or self.reset is not None


class Core(h2.connection.H2Connection):
    """python3-h2, but that GOAWAY ends no open stream and takes back nothing that waits."""

    def _receive_goaway_frame(self, frame):
        event = h2.events.ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        event.additional_data = frame.additional_data
        return [], [event]


class H2:
    """A connection with any number of streams.

    credit: False leaves the windows as they are, until grant() is called.
    """

    def __init__(self, port, credit=True, settings=None, **how):
        self.sock = connect(port, **how)
        self.credit = credit
        self.responses = {}
        self.goaway = None  # (code, last stream, text)
        self.closed = False
        self.pongs = 0
        self.core = Core(h2.config.H2Configuration(
            client_side=True, header_encoding="latin-1", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        if settings:  # in force from the first frame on, not from the acknowledgement
            self.core.local_settings = h2.settings.Settings(client=True, initial_values=settings)
        self.core.initiate_connection()
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.sock.close()

    # Out

    def flush(self):
        data = self.core.data_to_send()
        if data:
            self.sock.sendall(data)

    def raw(self, data):
        """Bytes of frames past the core, which does not learn of them."""
        self.flush()
        self.sock.sendall(data)

    def open(self, method, path, fields=(), authority="localhost", scheme="https", end=True):
        """Sends a request's head; the number of its stream."""
        stream = self.core.get_next_available_stream_id()
        head = [(":method", method), (":scheme", scheme), (":path", path)]
        if authority is not None:
            head.insert(2, (":authority", authority))
        return self.open_with([*head, *fields], end, stream)

    def open_with(self, head, end=True, stream=None):
        """The same with every field, pseudo ones too, as given."""
        stream = stream or self.core.get_next_available_stream_id()
        self.responses[stream] = Response()
        self.core.send_headers(stream, head, end_stream=end)
        self.flush()
        return stream

    def data(self, stream, body, end=True, trailers=None):
        """Sends body bytes as the windows allow; False: the stream ended before."""
        at = 0
        while at < len(body):
            if self.responses[stream].over or self.closed:
                return False
            room = min(self.core.local_flow_control_window(stream),
                       self.core.max_outbound_frame_size, len(body) - at)
            if room <= 0:
                self.receive()
                continue
            self.core.send_data(stream, body[at:at + room])
            self.flush()
            at += room
        if trailers:
            self.core.send_headers(stream, trailers, end_stream=True)
        elif end:
            self.core.end_stream(stream)
        self.flush()
        return True

    def grant(self, count, stream=None):
        """Credits a window by hand."""
        self.core.increment_flow_control_window(count, stream)
        self.flush()

    def reset(self, stream, code=CANCEL):
        self.core.reset_stream(stream, code)
        self.flush()

    def ping(self):
        self.core.ping(b"12345678")
        self.flush()

    # In

    def receive(self, timeout_s=15):
        """One read and what it brings; False: the connection has ended."""
        if self.closed:
            return False
        self.sock.settimeout(timeout_s)
        try:
            data = self.sock.recv(1 << 18)
        except (ConnectionError, ssl.SSLError) as error:
            if isinstance(error, socket.timeout):
                raise
            data = b""
        if not data:
            self.closed = True
            return False
        for event in self.core.receive_data(data):
            self.handle(event)
        self.flush_quietly()
        return True

    def flush_quietly(self):
        """Acknowledgements; who has closed does not want them."""
        try:
            self.flush()
        except (ConnectionError, ssl.SSLError):
            pass

    def handle(self, event):
        response = self.responses.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.InformationalResponseReceived):
            response.interim.append((int(dict(event.headers)[":status"]),
                                     [f for f in event.headers if f[0] != ":status"]))
        elif isinstance(event, h2.events.ResponseReceived):
            response.status = int(event.headers[0][1])
            response.fields = list(event.headers[1:])
        elif isinstance(event, h2.events.DataReceived):
            response.body += event.data
            response.body_bytes += len(event.data)
            if self.credit and event.flow_controlled_length:
                self.core.acknowledge_received_data(event.flow_controlled_length,
                                                    event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            response.trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            response.ended = True
        elif isinstance(event, h2.events.StreamReset):
            if response:
                response.reset = int(event.error_code)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = (int(event.error_code), event.last_stream_id,
                           event.additional_data or b"")
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1

    def wait(self, condition, what="a condition", deadline_s=20):
        """Reads until `condition()`; fails at the deadline or the connection's end."""
        end = time.monotonic() + deadline_s
        while not condition():
            left = end - time.monotonic()
            assert left > 0, "not within %s s: %s" % (deadline_s, what)
            try:
                alive = self.receive(left)
            except socket.timeout:
                continue
            assert alive or condition(), "closed before: %s (goaway %r)" % (what, self.goaway)

    def response(self, stream, deadline_s=20):
        """The stream's answer, once it is over."""
        response = self.responses[stream]
        self.wait(lambda: response.over, "stream %d" % stream, deadline_s)
        return response

    def request(self, method, path, fields=(), body=None, trailers=None, **how):
        """A whole exchange."""
        stream = self.open(method, path, fields, end=body is None and trailers is None, **how)
        if body is not None or trailers is not None:
            self.data(stream, body or b"", trailers=trailers)
        return self.response(stream)

    def get(self, path, fields=(), **how):
        return self.request("GET", path, fields, **how)

    def wait_closed(self, deadline_s=20):
        """Reads to the connection's end; returns the GOAWAY seen, if any."""
        end = time.monotonic() + deadline_s
        while not self.closed:
            left = end - time.monotonic()
            assert left > 0, "still open"
            try:
                self.receive(left)
            except socket.timeout:
                pass
        return self.goaway


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + \
        struct.pack(">I", stream) + payload


class RawH2:
    """Frames out by hand, frames in as (type, flags, stream, payload); it answers nothing."""

    def __init__(self, port, settings=b"", preface=True, **how):
        self.sock = connect(port, **how)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.buffer = b""
        self.frames = []
        self.closed = False
        if preface:
            self.sock.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        """False: the other side does not take it any more."""
        try:
            self.sock.sendall(data)
            return True
        except (ConnectionError, ssl.SSLError):
            return False

    def frame(self, kind, flags, stream, payload=b""):
        return self.send(frame(kind, flags, stream, payload))

    def block(self, fields=(), method="GET", path="/", authority="localhost", scheme="https"):
        """A header block; Huffman off, so that lengths are plain."""
        head = [(":method", method), (":scheme", scheme), (":authority", authority),
                (":path", path)]
        return self.encoder.encode([*head, *fields], huffman=False)

    def headers(self, stream, flags=END_STREAM | END_HEADERS, **what):
        return self.frame(HEADERS, flags, stream, self.block(**what))

    def receive(self, timeout_s=15):
        self.sock.settimeout(timeout_s)
        try:
            data = self.sock.recv(1 << 18)
        except socket.timeout:
            raise
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            self.closed = True
            return False
        self.buffer += data
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                break
            kind, flags = self.buffer[3], self.buffer[4]
            stream = int.from_bytes(self.buffer[5:9], "big") & 0x7fffffff
            self.frames.append((kind, flags, stream, self.buffer[9:9 + length]))
            self.buffer = self.buffer[9 + length:]
        return True

    def find(self, kind, stream=None):
        """The first frame of that type (on that stream) so far, or None."""
        return next((f for f in self.frames
                     if f[0] == kind and stream in (None, f[2])), None)

    def wait_frame(self, kind, stream=None, deadline_s=15):
        end = time.monotonic() + deadline_s
        while True:
            found = self.find(kind, stream)
            if found:
                return found
            left = end - time.monotonic()
            assert left > 0, "no frame of type %d came: %r" % (kind, self.frames)
            try:
                assert self.receive(left) or self.find(kind, stream), \
                    "closed before a frame of type %d: %r" % (kind, self.frames)
            except socket.timeout:
                pass

    def status(self, stream, deadline_s=15):
        """Of the stream's response; only when it is the first head on the connection or heads
        are asked for in the order they came, since HPACK has a memory."""
        return int(dict(self.decoder.decode(
            self.wait_frame(HEADERS, stream, deadline_s)[3]))[":status"])

    def wait_end(self, deadline_s=15):
        """Reads to the connection's end; the code of its GOAWAY, None: there was none."""
        end = time.monotonic() + deadline_s
        while not self.closed:
            left = end - time.monotonic()
            assert left > 0, "still open"
            try:
                self.receive(left)
            except socket.timeout:
                pass
        codes = [struct.unpack(">II", f[3][:8])[1] for f in self.frames if f[0] == GOAWAY]
        return codes[-1] if codes else None
