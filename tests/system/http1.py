"""HTTP/1.1 clients that hide nothing.

raw()     bytes in, bytes out until the other side closes
Http1     a strict client: whatever is not exactly as RFC 9112 says fails the test
"""

import re
import socket
import ssl
import time


def field(fields, name):
    """All values of a field, joined by comma; None when it is not there."""
    values = [v for n, v in fields if n.lower() == name.lower()]
    return ", ".join(values) if values else None


def client_context(alpn=("http/1.1",), minimum=None, maximum=None, ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if ca:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = True
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    return context


def connect(port, tls=False, sni="localhost", context=None, host="127.0.0.1", timeout_s=15,
            session=None, receive_bytes=None):
    """A connected socket; `receive_bytes` makes the receive buffer small."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.connect((host, port))
        if tls or context:
            context = context or client_context()
            sock = context.wrap_socket(sock, server_hostname=sni, session=session)
    except BaseException:
        sock.close()
        raise
    return sock


class Reply(bytes):
    """What came back: the bytes. closed: the other side ended it; reset: not cleanly."""

    closed = False
    reset = False

    @property
    def status(self):
        """Of the first response; None: there is none."""
        found = re.match(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ", self)
        return int(found.group(1)) if found else None

    @property
    def statuses(self):
        """Of all responses in the bytes (no body of the tests looks like one)."""
        return [int(s) for s in re.findall(rb"HTTP/1\.1 ([1-5][0-9]{2}) ", self)]


def raw(port, data, tls=False, deadline_s=10, finish=False, **how):
    """Sends bytes as they are, then reads until the other side closes or the deadline.

    finish: our side ends its half after the bytes.
    """
    got, closed, reset = bytearray(), False, False
    end = time.monotonic() + deadline_s
    with connect(port, tls=tls, timeout_s=deadline_s, **how) as sock:
        try:
            sock.sendall(data)
            if finish:
                sock.shutdown(socket.SHUT_WR)
            while not closed:
                sock.settimeout(max(0.001, end - time.monotonic()))
                piece = sock.recv(65536)
                got += piece
                closed = not piece
        except socket.timeout:
            pass
        except OSError:  # also ssl.SSLError, and ENOTCONN after a reset
            closed = reset = True
    reply = Reply(got)
    reply.closed, reply.reset = closed, reset
    return reply


class Cut(Exception):
    """The connection ended inside a message; .response is as far as it came, or None."""

    def __init__(self, why, response=None):
        super().__init__(why)
        self.response = response


class Response:
    def __init__(self):
        self.status = None
        self.reason = None
        self.fields = []
        self.body = b""
        self.body_bytes = 0  # counted also when the body is not kept
        self.trailers = []
        self.interim = []
        self.chunked = False
        self.until_close = False

    def get(self, name):
        return field(self.fields, name)

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def __repr__(self):
        return "<%s %r %r>" % (self.status, self.fields, self.body[:200])


TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


class Http1:
    """One connection; requests in any number, answers read one by one, strictly."""

    def __init__(self, port, **how):
        self.sock = connect(port, **how)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.sock.close()

    # Out

    def send(self, data):
        self.sock.sendall(data)

    def send_head(self, method, target, fields=(), host="localhost", version="HTTP/1.1"):
        lines = ["%s %s %s" % (method, target, version)]
        if host is not None:
            lines.append("Host: " + host)
        lines += ["%s: %s" % pair for pair in fields]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def request(self, method, target, fields=(), body=None, host="localhost", keep=True):
        """One whole exchange; `body`: bytes, or an iterable that is sent in chunks."""
        fields = list(fields)
        if isinstance(body, bytes):
            fields.append(("Content-Length", len(body)))
        elif body is not None:
            fields.append(("Transfer-Encoding", "chunked"))
        self.send_head(method, target, fields, host)
        if isinstance(body, bytes):
            self.send(body)
        elif body is not None:
            for piece in body:
                self.send_chunk(piece)
            self.send(b"0\r\n\r\n")
        return self.response(method, keep=keep)

    def send_chunk(self, piece):
        self.send(b"%x\r\n%s\r\n" % (len(piece), piece))

    def get(self, target, fields=(), host="localhost", keep=True):
        return self.request("GET", target, fields, host=host, keep=keep)

    def head(self, target, fields=(), host="localhost"):
        return self.request("HEAD", target, fields, host=host)

    # In

    def more(self, response=None):
        try:
            piece = self.sock.recv(1 << 18)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError) as error:
            raise Cut(repr(error), response) from error
        if not piece:
            raise Cut("closed", response)
        self.buffer += piece

    def line(self, response=None):
        while b"\n" not in self.buffer:
            assert len(self.buffer) < 1 << 20, "a line without an end"
            self.more(response)
        line, _, self.buffer = self.buffer.partition(b"\n")
        assert line.endswith(b"\r") and b"\r" not in line[:-1], line
        return line[:-1]

    def read_fields(self, response=None):
        fields = []
        while True:
            line = self.line(response)
            if not line:
                return fields
            name, colon, value = line.partition(b":")
            assert colon and TOKEN.match(name), line
            fields.append((name.decode(), value.strip(b" \t").decode("latin-1")))

    def read_exactly(self, count, response, keep):
        while count:
            if not self.buffer:
                self.more(response)
            piece, self.buffer = self.buffer[:count], self.buffer[count:]
            count -= len(piece)
            self.take(response, piece, keep)

    @staticmethod
    def take(response, piece, keep):
        response.body_bytes += len(piece)
        if keep:
            response.body += piece

    def read_head(self, response):
        line = self.line()
        found = re.match(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\t -~]*)\Z", line)
        assert found, line
        response.status = int(found.group(1))
        response.reason = found.group(2).decode()
        response.fields = self.read_fields()

    def response(self, method="GET", keep=True):
        """The next final response. keep: False counts the body and lets it go."""
        response = Response()
        self.read_head(response)
        while 100 <= response.status < 200 and response.status != 101:
            assert not response.all("content-length") and not response.all("transfer-encoding")
            response.interim.append((response.status, response.fields))
            self.read_head(response)
        self.read_body(response, method, keep)
        return response

    def read_body(self, response, method, keep=True):
        lengths, codings = response.all("content-length"), response.all("transfer-encoding")
        assert len(lengths) <= 1 and len(codings) <= 1 and not (lengths and codings), response
        if lengths:
            assert re.match(r"[0-9]+\Z", lengths[0]), response
        if response.status in (204, 304) or response.status < 200 or method == "HEAD":
            assert not (codings and response.status in (204, 101)), response
        elif codings:
            assert codings[0].lower() == "chunked", response
            response.chunked = True
            self.read_chunks(response, keep)
        elif lengths:
            self.read_exactly(int(lengths[0]), response, keep)
        else:
            response.until_close = True
            self.read_to_end(response, keep)

    def read_chunks(self, response, keep):
        while True:
            line = self.line(response)
            assert re.match(rb"[0-9A-Fa-f]+\Z", line), line
            size = int(line, 16)
            if not size:
                response.trailers = self.read_fields(response)
                return
            self.read_exactly(size, response, keep)
            end = self.line(response)
            assert end == b"", end

    def read_to_end(self, response, keep):
        while True:
            piece, self.buffer = self.buffer, b""
            self.take(response, piece, keep)
            try:
                self.more()
            except Cut as cut:
                assert str(cut) == "closed", cut
                return

    def is_closed(self):
        """Waits for the other side's end; fails when anything comes before it."""
        try:
            self.more()
        except Cut:
            return True
        except socket.timeout:
            return False
        raise AssertionError("more bytes: %r" % self.buffer[:200])
