#!/usr/bin/python3
"""A registry that errs: registry-server.py DIRECTORY [CERT KEY]. The repository's name says how. It writes its ports
into DIRECTORY/ports (http, the "CDN"'s on 127.0.0.2, https) and what it was asked into DIRECTORY/log. Where
DIRECTORY/layout is an OCI layout its images are what it has, by their tags; else one of noise."""
import base64
import hashlib
import http.server
import json
import os
import random
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

random.seed(7)
TOP = sys.argv[1]
LOG = open(TOP + "/log", "a", buffering=1, encoding="utf-8")
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LOCK = threading.Lock()
SEEN = {}
UPLOADS = {}
PUSHED = {}
BLOBS = {}
PORTS = {}
BOTH = threading.Barrier(2)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def blob(data):
    BLOBS[digest(data)] = data
    return {"digest": digest(data), "size": len(data)}


LAYERS = [dict(blob(random.randbytes(n)), mediaType="application/vnd.oci.image.layer.v1.tar") for n in (300000, 900000, 0)]
CONFIG = dict(blob(b'{"architecture":"amd64","os":"linux"}'), mediaType="application/vnd.oci.image.config.v1+json")
IMAGE = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": CONFIG, "layers": LAYERS}).encode()


IMAGES = {}


def read_layout(top):
    """All of its blobs; its images by tag and by digest."""
    for name in os.listdir(top + "/blobs/sha256"):
        with open(f"{top}/blobs/sha256/{name}", "rb") as stored:
            BLOBS["sha256:" + name] = IMAGES["sha256:" + name] = stored.read()
    with open(top + "/index.json", "rb") as stored:
        for line in json.load(stored)["manifests"]:
            IMAGES[line["annotations"]["org.opencontainers.image.ref.name"]] = BLOBS[line["digest"]]


if os.path.exists(TOP + "/layout"):
    read_layout(TOP + "/layout")
    IMAGE = IMAGES["1"]


def times(key):
    """How many times this was asked before."""
    with LOCK:
        SEEN[key] = SEEN.get(key, 0) + 1
        return SEEN[key] - 1


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def say(self, status, body=b"", **headers):
        self.send_response(status)
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if "Content-Length" not in headers and "Transfer-Encoding" not in headers and status != 204:
            headers["Content-Length"] = len(body)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code="NO", message="no", **headers):
        self.say(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(),
                 Content_Type="application/json", **headers)

    def hang(self):
        """Until the client leaves."""
        self.wfile.flush()
        self.connection.settimeout(60)
        try:
            while self.connection.recv(4096):
                pass
        except OSError:
            pass
        self.close_connection = True

    def break_off(self):
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
        raise ConnectionAbortedError

    def chunked(self, *parts):
        for part in parts:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def do_CONNECT(self):
        """As a proxy: what goes through it is none of its business, so it can't be seen here either."""
        LOG.write(f"proxy CONNECT {self.path} {self.headers.get('Authorization') or '-'}\n")
        host, port = self.path.split(":")
        there = socket.create_connection((host, int(port)))
        self.send_response(200)
        self.end_headers()
        threading.Thread(target=self.relay, args=(there, self.connection), daemon=True).start()
        self.relay(self.connection, there)
        self.close_connection = True

    @staticmethod
    def relay(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    # ---- who is asked what ----------------------------------------------------------------------

    def handle_one(self):
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        where = self.server.name
        auth = self.headers.get("Authorization")
        LOG.write(f"{where} {self.command} {self.path} {auth or '-'} {self.headers.get('Range') or '-'}\n")
        if where == "cdn":
            if auth or self.headers.get("Cookie"):
                LOG.write(f"LEAK {self.path} {auth}\n")
            return self.cdn(url.path)
        if url.path == "/token":
            return self.token()
        parts = url.path.split("/")
        self.fault, kind, what = parts[2], parts[3], "/".join(parts[4:])
        self.nth = times(url.path)
        if not self.may_enter(auth):
            return None
        if kind == "manifests":
            return self.manifest(what)
        if kind == "blobs" and what.startswith("uploads/"):
            return self.upload(what[8:])
        return self.blob(what)

    def do_GET(self):
        try:
            self.handle_one()
        except OSError:
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET

    # ---- logging in -----------------------------------------------------------------------------

    def may_enter(self, auth):
        fault = self.fault
        base = f"http://127.0.0.1:{PORTS['http']}"
        if fault.startswith("basic") or fault == "redirect":
            if auth == "Basic " + base64.b64encode(b"user:pass").decode():
                return True
            self.error(401, WWW_Authenticate='Basic realm="x"', Set_Cookie="a=b")
        elif fault == "mute":
            self.error(401)
        elif fault.startswith("token"):
            if auth == f"Bearer {fault}" and (fault != "token-short" or times("uses") % 3 != 2):
                return True
            extra = " repository:other:pull" if fault == "token-user" else ""
            self.error(401, WWW_Authenticate=f'Bearer realm="{base}/token",service="{fault}",scope="repository:{fault}:pull{extra}"')
        elif fault == "realm":
            self.error(401, WWW_Authenticate=f'Bearer realm="{base}/token",service="x"')
        else:
            return True
        return False

    def token(self):
        fault = self.query.get("service", "")
        if self.command == "POST":
            form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            LOG.write(f"form {json.dumps(form, sort_keys=True)}\n")
            fault = form["service"]
            if form["refresh_token"] != "identity" or form["grant_type"] != "refresh_token":
                return self.error(401, "unauthorized", "no such token")
            return self.say(200, json.dumps({"access_token": fault}).encode())
        if fault == "token-garbage":
            return self.say(200, json.dumps({"token": "a\r\nX-Evil: b"}).encode())
        if fault == "token-huge":
            return self.say(200, json.dumps({"token": "a" * 200000}).encode())
        if fault == "token-denied":
            return self.say(401, b'{"details":"incorrect username or password"}')
        if fault == "token-elsewhere":
            return self.say(307, Location=f"http://127.0.0.2:{PORTS['cdn']}/token/token-elsewhere")
        if fault == "token-user" and self.headers.get("Authorization") != "Basic dXNlcjpwYXNz":
            return self.error(401)
        return self.say(200, json.dumps({"token": fault, "expires_in": 3600}).encode())

    # ---- manifests ------------------------------------------------------------------------------

    def manifest(self, what):
        fault, nth = self.fault, self.nth
        body = PUSHED.get((fault, what)) or IMAGES.get(what) or IMAGE
        if self.command == "PUT":
            body = self.rfile.read(int(self.headers["Content-Length"]))
            PUSHED[fault, what] = body
            return self.say(201, Docker_Content_Digest=digest(b"x" if fault == "put-lie" else body), Location="/x")
        if fault == "head-mute":
            return self.error(405) if self.command == "HEAD" else self.say(200, body, Content_Type=MANIFEST)
        if fault in MANIFEST_FAULTS:
            return MANIFEST_FAULTS[fault](self, body, nth)
        kind = json.loads(body)["mediaType"]
        return self.say(200, body, Content_Type=kind, Docker_Content_Digest=digest(body))

    def endless(self, line):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" if line != b"HTTP/1.1 100 Continue\r\n\r\n" else b"")
        while True:
            self.wfile.write(line * 100)

    def endless_body(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            self.wfile.write(b"10000\r\n" + b"{" * 65536 + b"\r\n")

    def drip(self):
        self.say(200, b"{", Content_Length=100000)
        while True:
            self.wfile.write(b" ")
            time.sleep(0.05)

    def loop(self, nth):
        self.say(307, Location=f"{self.path.split('?')[0]}?{nth}")

    def garbage(self, text):
        self.wfile.write(text)
        self.close_connection = True

    # ---- blobs ----------------------------------------------------------------------------------

    def blob(self, what):
        data = BLOBS.get(what)
        if data is None or (self.command == "HEAD" and self.fault.startswith("push") and (self.fault, what) not in PUSHED):
            return self.error(404, "BLOB_UNKNOWN")
        first = int((self.headers.get("Range") or "bytes=0-").split("=")[1].split("-")[0])
        if self.fault in BLOB_FAULTS and len(data) > 1000:
            return BLOB_FAULTS[self.fault](self, data, first)
        return self.part(data, first)

    def part(self, data, first, end=None, lie=0, total=None, length=None):
        body = data[first:end]
        if first == 0 and end is None:
            return self.say(200, body)
        last = first + len(body) - 1
        return self.say(206, body, Content_Range=f"bytes {first + lie}-{last + lie}/{total or len(data)}", Content_Length=length or len(body))

    def drop(self, data, first, ranges=True, often=99):
        """The whole head, then some of the bytes, then nothing."""
        if not ranges:
            first = 0
        some = random.randrange(70000, 250000)
        if self.nth >= often or len(data) - first <= some:
            return self.part(data, first)
        self.say(206 if first else 200, data[first:first + some], Content_Length=len(data) - first,
                 Content_Range=f"bytes {first}-{len(data) - 1}/{len(data)}" if first else None)
        return self.break_off() if self.nth % 2 else setattr(self, "close_connection", True)

    def elsewhere(self, data, first):
        del first
        self.say(307, Location=f"//127.0.0.2:{PORTS['cdn']}/blob/{digest(data)}?signature=a%2Fb", Set_Cookie="c=d")

    def cdn(self, path):
        what = path.split("/")
        if what[1] == "v2":             # as a mirror, which wants to know everybody
            return self.error(401, WWW_Authenticate='Basic realm="mirror"')
        if what[1] == "token":
            return self.say(200, json.dumps({"token": what[2]}).encode())
        if what[1] == "count" and what[2] != "0":
            return self.say(302, Location=f"/count/{int(what[2]) - 1}/{what[3]}")
        data = BLOBS[what[-1]]
        first = int((self.headers.get("Range") or "bytes=0-").split("=")[1].split("-")[0])
        self.nth = times(path)
        return self.drop(data, first, often=2)

    def cut(self, data, some):
        """An end that looks like one."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.chunked(*some(data))

    def together(self, data, first):
        """Neither layer before both were asked for."""
        BOTH.wait(30)
        self.part(data, first)

    def until_close(self, data, first):
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data[first:first + 150000])

    def stall(self, data, first):
        if self.nth >= 1:
            return self.part(data, first)
        self.say(200, data[:100000], Content_Length=len(data))
        return self.hang()

    def slow(self, data, first):
        """About 2 MB a second, whatever the machine."""
        self.say(206 if first else 200, b"", Content_Length=len(data) - first,
                 Content_Range=f"bytes {first}-{len(data) - 1}/{len(data)}" if first else None)
        for at in range(first, len(data), 8192):
            self.wfile.write(data[at:at + 8192])
            time.sleep(0.004)

    def gate(self, data, first):
        """Half of it, and the rest when DIRECTORY/go is there."""
        half = max(first, len(data) // 2)
        self.say(206 if first else 200, data[first:half], Content_Length=len(data) - first,
                 Content_Range=f"bytes {first}-{len(data) - 1}/{len(data)}" if first else None)
        self.wfile.flush()
        while not os.path.exists(TOP + "/go"):
            time.sleep(0.01)
        self.wfile.write(data[half:])

    # ---- uploads --------------------------------------------------------------------------------

    def upload(self, session):
        fault = self.fault
        size = int(self.headers.get("Content-Length") or 0)
        if self.command == "POST":
            session = str(times("uploads"))
            UPLOADS[session] = b""
            return self.say(202, Location=f"/v2/{fault}/blobs/uploads/{session}?_state=a%3D",
                            OCI_Chunk_Min_Length=200000 if fault == "push-min" else None)
        if session not in UPLOADS:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        if self.command == "GET":
            return self.say(204, Range=f"0-{max(0, len(UPLOADS[session]) - 1)}", Location=f"/v2/{fault}/blobs/uploads/{session}?again=1")
        return self.take(session, size)

    def take(self, session, size):
        fault, nth = self.fault, times((self.fault, self.command))
        if self.query.get("_state", "a=") != "a=":
            return self.error(400, "STATE", self.query.get("_state"))
        if fault.startswith("push-weary") and nth % 2 == 0:
            self.close_connection = True
            return self.error(429, "TOOMANYREQUESTS", "slow down", Retry_After=1)
        if fault == "push-413" and size > 250000:
            self.close_connection = True
            return self.error(413, "TOO_LARGE")
        if fault.startswith("push-drop") and nth % 2 == 0 and size > 1000:
            UPLOADS[session] += self.rfile.read(size // 2)
            return self.break_off()
        if fault == "push-lost" and nth == 1:
            del UPLOADS[session]
            self.close_connection = True
            return self.error(404, "BLOB_UPLOAD_UNKNOWN", "lost")
        if fault == "push-min" and self.command == "PATCH" and size < 200000 and "300000" in self.headers["Content-Range"]:
            return self.error(400, "SMALL")
        data = self.rfile.read(size)
        if self.command == "PATCH":
            first = int(self.headers["Content-Range"].split("-")[0])
            if first != len(UPLOADS[session]):
                return self.error(416, Range=f"0-{len(UPLOADS[session]) - 1}")
            UPLOADS[session] += data
            return self.say(202, Range=f"0-{len(UPLOADS[session]) - 1}", Location=f"{session}")
        whole, wanted = UPLOADS.pop(session) + data, self.query.get("digest")
        if digest(whole) != wanted or fault == "push-refuse":
            return self.error(400, "DIGEST_INVALID", "provided digest did not match")
        PUSHED[fault, wanted] = whole
        BLOBS[wanted] = whole
        return self.say(201, Docker_Content_Digest=wanted, Location="/x")


H = Handler
MANIFEST_FAULTS = {
    "digest-lie": lambda h, body, n: h.say(200, body, Docker_Content_Digest=digest(b"x")),
    "sha512": lambda h, body, n: h.say(200, body, Docker_Content_Digest="sha512:" + hashlib.sha512(body).hexdigest()),
    "sha512-lie": lambda h, body, n: h.say(200, body, Docker_Content_Digest="sha512:" + "0" * 128),
    "digest-none": lambda h, body, n: h.say(200, body, Content_Type=MANIFEST),
    "digest-bad": lambda h, body, n: h.say(200, body, Docker_Content_Digest="sha256:../../etc/passwd"),
    "changed": lambda h, body, n: h.say(200, body + b" ", Docker_Content_Digest=digest(body)),
    "html": lambda h, body, n: h.say(200, b"<html>Welcome to our hotel</html>", Content_Type="text/html"),
    "html404": lambda h, body, n: h.say(404, b"<html>\x1b[2J</html>", Content_Type="text/html\x1b[2J"),
    "steer": lambda h, body, n: h.error(404, "X\x1b[31m", "\u009b2J" + "long " * 1000),
    "empty": lambda h, body, n: h.say(200, b""),
    "gzip": lambda h, body, n: h.say(200, b"\x1f\x8b" + bytes(100), Content_Encoding="gzip"),
    "endless-headers": lambda h, body, n: h.endless(b"X-Header: more\r\n"),
    "endless-header": lambda h, body, n: h.endless(b"X-Header-that-has-no-end"),
    "endless-continue": lambda h, body, n: h.endless(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "endless-body": lambda h, body, n: h.endless_body(),
    "drip": lambda h, body, n: h.drip(),
    "hang": lambda h, body, n: h.hang(),
    "hang-once": lambda h, body, n: h.hang() if n < 1 else h.say(200, body),
    "loop": lambda h, body, n: h.loop(n),
    "to-file": lambda h, body, n: h.say(302, Location="file:///etc/passwd"),
    "to-user": lambda h, body, n: h.say(302, Location="http://a:b@127.0.0.2/"),
    "to-nowhere": lambda h, body, n: h.say(302),
    "to-plain": lambda h, body, n: h.say(302, Location=f"http://127.0.0.1:{PORTS['http']}/v2/good/manifests/1"),
    "garbage": lambda h, body, n: h.garbage(os.urandom(5000)),
    "http09": lambda h, body, n: h.garbage(body),
    "silent": lambda h, body, n: h.break_off(),
    "dead": lambda h, body, n: h.error(500, "UNKNOWN", "the disk is full"),
    "weary": lambda h, body, n: h.error(503, Retry_After="Fri, 31 Dec 1999 23:59:59 GMT") if n < 2 else h.say(200, body),
    "flaky": lambda h, body, n: h.error((503, 502, 504)[n]) if n < 3 else h.say(200, body),
    "throttle": lambda h, body, n: h.error(429, "TOOMANYREQUESTS", "slow down", Retry_After=1) if n < 2 else h.say(200, body),
    "throttle-long": lambda h, body, n: h.error(429, "TOOMANYREQUESTS", "slow down", Retry_After=3600),
    "denied": lambda h, body, n: h.error(403, "DENIED", "not yours"),
    "missing": lambda h, body, n: h.error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
}
BLOB_FAULTS = {
    "drop": lambda h, data, first: h.drop(data, first),
    "basic-drop": lambda h, data, first: h.drop(data, first),
    "no-ranges": lambda h, data, first: h.drop(data, first, ranges=False, often=3),
    "refuses-ranges": lambda h, data, first: h.error(416) if first else h.drop(data, 0, often=2),
    "small-parts": lambda h, data, first: h.part(data, first, first + 100000) if first else h.drop(data, 0),
    "pollute": lambda h, data, first: h.say(200, data + b"HTTP/1.1 200 OK\r\n\r\n" * 9, Content_Length=len(data)),
    "together": lambda h, data, first: h.together(data, first),
    "until-close": lambda h, data, first: h.until_close(data, first),
    "stall": lambda h, data, first: h.stall(data, first),
    "slow": lambda h, data, first: h.slow(data, first),
    "gate": lambda h, data, first: h.gate(data, first),
    "chunks": lambda h, data, first: h.cut(data, lambda d: (d[:100], d[100:])),
    "redirect": lambda h, data, first: h.elsewhere(data, first),
    "redirect-5": lambda h, data, first: h.say(302, Location=f"http://127.0.0.2:{PORTS['cdn']}/count/4/{digest(data)}"),
    "redirect-6": lambda h, data, first: h.say(302, Location=f"http://127.0.0.2:{PORTS['cdn']}/count/5/{digest(data)}"),
    "corrupt": lambda h, data, first: h.part(bytes([data[0] ^ 1]) + data[1:], first),
    "more": lambda h, data, first: h.cut(data, lambda d: (d, b"x" * 100)),
    "less": lambda h, data, first: h.cut(data, lambda d: (d[:1000],)),
    "length": lambda h, data, first: h.say(200, data + b"x"),
    "length-less": lambda h, data, first: h.say(200, data[:-1]),
    "range-start": lambda h, data, first: h.part(data, first, lie=-1) if first else h.drop(data, 0),
    "range-total": lambda h, data, first: h.part(data, first, total=len(data) + 9) if first else h.drop(data, 0),
    "range-none": lambda h, data, first: h.say(206, data[first:]) if first else h.drop(data, 0),
    "blob-missing": lambda h, data, first: h.error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, name, host, context=None):
        super().__init__((host, 0), Handler)
        self.name, PORTS[name] = name, self.server_address[1]
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass


Server("http", "127.0.0.1")
Server("cdn", "127.0.0.2")
PORTS["https"] = 0
if len(sys.argv) > 2:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[2], sys.argv[3])
    Server("https", "127.0.0.1", tls)
os.makedirs(TOP + "/image", exist_ok=True)
for name, content in list(BLOBS.items()) + [(digest(IMAGE), IMAGE)]:
    with open(f"{TOP}/image/{name[7:]}", "wb") as file:
        file.write(content)
with open(TOP + "/ports.new", "w", encoding="utf-8") as file:
    file.write(f"{PORTS['http']} {PORTS['cdn']} {PORTS['https']}\n")
os.rename(TOP + "/ports.new", TOP + "/ports")
threading.Event().wait()
