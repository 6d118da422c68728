#!/usr/bin/python3
"""What can stand between us and a registry: remote-server.py DIRECTORY UPSTREAM. UPSTREAM is a registry's HOST:PORT, over
plain HTTP. Ports are written into DIRECTORY/ports: the proxy's, the front's, the store's (on 127.0.0.2).
The proxy is one for HTTP and CONNECT. The front is a registry that passes on to UPSTREAM; the words in DIRECTORY/mode
change how: "auth" wants user:pass-word; "redirect" sends who asks for a blob to the store; "drop=N" hangs up when N bytes
of an upload have come, "hold=N" reads no more of it as long as that word is there, and makes DIRECTORY/held; "down" answers 503; "old" doesn't know mounts. DIRECTORY/log has a line for each request: who was
asked, method, path, and what stood in Authorization; DIRECTORY/seen what the worker's process showed meanwhile."""
import base64
import glob
import http.client
import http.server
import os
import socket
import sys
import threading
import time
import urllib.parse

TOP, UPSTREAM = sys.argv[1:]
SECRET = "Basic " + base64.b64encode(b"user:pass-word").decode()
PORTS = {}
LOCK = threading.Lock()


def modes():
    try:
        with open(TOP + "/mode", encoding="utf-8") as file:
            return dict((word + "=").split("=")[:2] for word in file.read().split())
    except FileNotFoundError:
        return {}


def look_at_worker():
    """Command line and environment of every conex-worker, while one of them waits for our answer."""
    for directory in glob.glob("/proc/[0-9]*"):
        try:
            with open(directory + "/comm", encoding="utf-8") as file:
                if file.read().strip() != "conex-worker":
                    continue
            with open(directory + "/cmdline", "rb") as file:
                words = file.read()
            with open(directory + "/environ", "rb") as file:
                words += b"\n" + file.read()
        except OSError:
            continue
        with LOCK, open(TOP + "/seen", "ab") as file:
            file.write(b"worker: " + words.replace(b"\0", b"\n") + b"\n")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    name = ""

    def log_message(self, *args):
        pass

    def note(self):
        look_at_worker()
        with LOCK, open(TOP + "/log", "a", encoding="utf-8") as log:
            log.write(f"{self.name} {self.command} {self.path} {self.headers.get('Authorization', '-')} "
                      f"{self.headers.get('Proxy-Authorization', '-')}\n")

    def say(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def body(self):
        """All of it; None: it was given up, and so is the connection."""
        size, most = int(self.headers.get("Content-Length", 0)), modes().get("drop")
        if self.name == "front" and most and size > int(most):
            self.rfile.read(int(most))
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return None
        most = int(modes().get("hold", size)) if self.name == "front" else size
        data = self.rfile.read(min(most, size))
        if most < size:
            open(TOP + "/held", "w", encoding="utf-8").close()
        while most < size and "hold" in modes():
            time.sleep(0.02)
        data += self.rfile.read(size - len(data))
        if len(data) < size:
            self.close_connection = True
            return None
        return data

    def pass_on(self, where, path, keep_auth):
        data = self.body()
        if data is None:
            return
        skipped = {"connection", "proxy-authorization", "host"} | (set() if keep_auth else {"authorization"})
        headers = {k: v for k, v in self.headers.items() if k.lower() not in skipped}
        upstream = http.client.HTTPConnection(where, timeout=30)
        upstream.request(self.command, path, body=data or None, headers={**headers, "Host": self.headers.get("Host", where)})
        answer = upstream.getresponse()
        text = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length", str(len(text))) if self.command == "HEAD"
                         else str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        upstream.close()

    def handle_any(self):
        self.note()
        self.work()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = handle_any


class Front(Handler):
    name = "front"

    def work(self):
        how = modes()
        if "down" in how:
            return self.say(503)
        if "auth" in how and self.headers.get("Authorization") != SECRET:
            return self.say(401, WWW_Authenticate='Basic realm="front"')
        if "redirect" in how and self.command == "GET" and "/blobs/" in self.path:
            return self.say(307, Location=f"http://127.0.0.2:{PORTS['store']}{self.path}")
        if "old" in how and "?mount=" in self.path:
            self.path = self.path.split("?")[0]
        return self.pass_on(UPSTREAM, self.path, False)


class Store(Handler):
    name = "store"

    def work(self):
        return self.pass_on(UPSTREAM, self.path, False)


class Proxy(Handler):
    name = "proxy"

    def work(self):
        if self.command == "CONNECT":
            return self.tunnel()
        url = urllib.parse.urlsplit(self.path)
        return self.pass_on(url.netloc, urllib.parse.urlunsplit(("", "") + url[2:]), True)

    def tunnel(self):
        host, port = self.path.rsplit(":", 1)
        far = socket.create_connection((host.strip("[]"), int(port)), timeout=30)
        self.send_response(200)
        self.end_headers()
        there = threading.Thread(target=self.pump, args=(self.connection, far))
        there.start()
        self.pump(far, self.connection)
        there.join()
        far.close()
        self.close_connection = True

    @staticmethod
    def pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, target):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def serve(handler, address):
    server = http.server.ThreadingHTTPServer((address, 0), handler)
    PORTS[handler.name] = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()


serve(Proxy, "127.0.0.1")
serve(Front, "127.0.0.1")
serve(Store, "127.0.0.2")
with open(TOP + "/ports.new", "w", encoding="utf-8") as ports:
    ports.write("{proxy} {front} {store}\n".format(**PORTS))
os.rename(TOP + "/ports.new", TOP + "/ports")
threading.Event().wait()
