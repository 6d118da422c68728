#!/usr/bin/python3
"""A token server that a real registry believes (JWT, RS256 by openssl): registry-token.py DIRECTORY CERT KEY. Whoever is
user:pass gets what is asked for, others may pull what begins with "public/"; its port is in DIRECTORY/token-port."""
import base64
import http.server
import json
import os
import subprocess
import sys
import time
import urllib.parse

TOP, CERT, KEY = sys.argv[1:]
with open(CERT, encoding="ascii") as pem:
    DER = "".join(line.strip() for line in pem if not line.startswith("-"))


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(claims):
    head = b64(json.dumps({"typ": "JWT", "alg": "RS256", "x5c": [DER]}).encode())
    text = head + "." + b64(json.dumps(claims).encode())
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", KEY], input=text.encode(), check=True,
                               stdout=subprocess.PIPE).stdout
    return text + "." + b64(signature)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        auth = self.headers.get("Authorization")
        known = auth == "Basic " + base64.b64encode(b"user:pass").decode()
        with open(TOP + "/token-log", "a", encoding="utf-8") as log:
            log.write(f"{auth or '-'} {' '.join(query.get('scope', []))}\n")
        if auth and not known:
            self.send_error(401)
            return
        access = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.split(":")
            allowed = actions.split(",") if known else ["pull"] if name.startswith("public/") else []
            access.append({"type": kind, "name": name, "actions": allowed})
        now = int(time.time())
        body = json.dumps({"token": sign({"iss": "conex test", "sub": "user" if known else "", "aud": query["service"][0],
                                          "exp": now + 300, "nbf": now - 10, "iat": now, "jti": str(time.monotonic_ns()),
                                          "access": access}), "expires_in": 300}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(TOP + "/token-port.new", "w", encoding="utf-8") as file:
    file.write(f"{server.server_address[1]}\n")
os.rename(TOP + "/token-port.new", TOP + "/token-port")
server.serve_forever()
