"""A small origin for ./run: the files of site/, with validators, lifetimes and tags.

Usage: origin.py PORT_FILE   (binds a free loopback port, writes it, logs requests to stderr)
"""

import hashlib
import http.server
import mimetypes
import os
import pathlib
import sys

SITE = pathlib.Path(__file__).resolve().parent / "site"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "demo"
    sys_version = ""

    def do_GET(self):
        path = self.path.split("?", 1)[0]
        file = (SITE / path.lstrip("/")).resolve()
        if path == "/":
            file = SITE / "index.html"
        if SITE not in file.parents or not file.is_file():
            self.answer(404, b"not found\n", {"Content-Type": "text/plain", "Cache-Control": "max-age=5"})
            return
        body = file.read_bytes()
        page = file.suffix == ".html"
        fields = {
            "ETag": '"%s"' % hashlib.sha256(body).hexdigest()[:16],
            "Last-Modified": self.date_time_string(int(file.stat().st_mtime)),
            "Cache-Control": "max-age=0, s-maxage=60, stale-while-revalidate=600" if page
            else "max-age=0, s-maxage=3600",
            "Content-Type": mimetypes.guess_type(file.name)[0] or "application/octet-stream",
            "Surrogate-Key": "demo " + ("page" if page else "asset"),
        }
        if self.headers.get("If-None-Match") in ("*", fields["ETag"]):
            self.answer(304, b"", fields)
        else:
            self.answer(200, body, fields)

    do_HEAD = do_GET

    def answer(self, status, body, fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(body)


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    ready = pathlib.Path(sys.argv[1])
    part = ready.with_suffix(".part")
    part.write_text("%d\n" % server.server_address[1])
    os.replace(part, ready)
    server.serve_forever()


if __name__ == "__main__":
    main()
