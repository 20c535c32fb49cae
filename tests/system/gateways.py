"""The gateways of h2o-conf/, as real servers: the shipped file with other ports, paths and certificates, and no more."""

import os
import ssl
import subprocess

import requests

from belfry import Process, ROOT, environment, free_port, wait_for

KINDS = ("h2o", "nginx", "haproxy")
FILES = {"h2o": "h2o.conf", "nginx": "nginx.conf", "haproxy": "haproxy.cfg"}
# The user that each configuration names: a unix socket of belfry has to be open to it.
USERS = {"h2o": "www-data", "nginx": "www-data", "haproxy": "haproxy"}
# The line with the TCP upstream, and the line of the sidecar that stands below it, commented out.
UPSTREAMS = {
    "h2o": ('proxy.reverse.url: "http://127.0.0.1:8000/"', '# proxy.reverse.url: "http://[unix:/run/belfry/belfry.sock]/"'),
    "nginx": ("server 127.0.0.1:8000;", "# server unix:/run/belfry/belfry.sock;"),
    "haproxy": ("server belfry1 127.0.0.1:8000 check port 9464",
                "# server belfry1 unix@/run/belfry/belfry.sock check addr 127.0.0.1 port 9464"),
}
# What ends an idle WebSocket, as it stands in the file.
IDLE_TIMEOUTS = {"h2o": "proxy.websocket.timeout: 120000", "nginx": "proxy_read_timeout 120s;",
                 "haproxy": "timeout tunnel 120s"}


def shipped(kind):
    return (ROOT / "h2o-conf" / FILES[kind]).read_text()


def replaced(text, *pairs):
    """Every old text has to be there: a test of a file that it does not know would prove nothing."""
    for old, new in pairs:
        assert old in text, f"{old!r} is not in the shipped file"
        text = text.replace(old, str(new))
    return text


def make_certificate(folder):
    """A certificate of 127.0.0.1 and its key, apart and in one file."""
    cert, key, combined = folder / "cert.pem", folder / "key.pem", folder / "combined.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=gateway",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    combined.write_bytes(cert.read_bytes() + key.read_bytes())


class Gateway(Process):
    """A gateway on a port of its own, in front of one belfry; to clients it looks as a Belfry does, but by TLS."""

    def __init__(self, kind, belfry, unix_socket=None, edits=()):
        super().__init__(kind)
        self.kind, self.belfry, self.unix_socket, self.edits = kind, belfry, unix_socket, edits
        self.port = free_port()
        make_certificate(self.dir)
        self.ca = self.dir / "cert.pem"
        try:
            self.start()
        except AssertionError:
            self.remove()
            raise

    def configuration(self):
        text = replaced(shipped(self.kind), *self.edits, ("/etc/ssl/belfry", self.dir))
        tcp, sidecar = UPSTREAMS[self.kind]
        if self.unix_socket:
            text = replaced(text, (sidecar, sidecar.removeprefix("# ")), (tcp, f"# {tcp}"),
                            ("/run/belfry/belfry.sock", self.unix_socket))
        else:
            text = replaced(text, ("127.0.0.1:8000", self.belfry.address()))
        own = {
            "h2o": [("push.example.com:443", f"push.example.com:{self.port}"), ("port: 443", f"port: {self.port}"),
                    ("/var/log/h2o", self.dir)],
            "nginx": [("listen 443", f"listen {self.port}"), ("/run/nginx.pid", self.dir / "pid"),
                      ("/var/log/nginx", self.dir)],
            "haproxy": [("bind :443", f"bind :{self.port}"),
                        ("port 9464", f"port {self.belfry.address('metrics').rsplit(':', 1)[1]}")],
        }
        text = replaced(text, *own[self.kind])
        return text if os.geteuid() == 0 else self.without_root(text)

    def without_root(self, text):
        """Nobody but root can become another user, or write where Debian's nginx keeps bodies."""
        if self.kind == "nginx":
            folders = "".join(f"{name}_temp_path {self.dir}/{name};\n"
                              for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            return replaced(text, ("http {", "http {\n" + folders))
        return replaced(text, ("user: www-data", "")) if self.kind == "h2o" else \
            replaced(text, ("user haproxy\n", "\n"), ("group haproxy\n", "\n"))

    def start(self):
        path = self.dir / FILES[self.kind]
        path.write_text(self.configuration())
        self.spawn({"h2o": ["h2o", "-c", path], "nginx": ["nginx", "-c", path, "-g", "daemon off;"],
                    "haproxy": ["haproxy", "-db", "-f", path]}[self.kind], environment({"PATH": os.environ["PATH"] + ":/usr/sbin"}))
        wait_for(lambda: self.serving(), 10, f"{self.kind} to serve")
        return self

    def serving(self):
        assert self.running, f"{self.kind} ended with {self.process.returncode}:\n{self.output()[-3000:]}"
        try:
            return self.rest("GET", "/openapi.yaml").status_code == 200
        except requests.ConnectionError:
            return False

    @property
    def tls(self):
        return ssl.create_default_context(cafile=self.ca)

    def address(self, surface="public"):
        return f"127.0.0.1:{self.port}"

    def http(self, path="/"):
        return f"https://{self.address()}{path}"

    def ws(self, query=""):
        return f"wss://{self.address()}/ws{query}"

    def rest(self, method, path, token=None, session=requests, **options):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return session.request(method, self.http(path), headers=headers, verify=str(self.ca), timeout=10, **options)

    def logged(self):
        """All that it has written down anywhere, by file."""
        files = [self.log_path] + [p for p in self.dir.iterdir() if p.name in ("access.log", "error.log")]
        return {p.name: p.read_text(errors="replace") for p in files}

    def finish(self):
        """Ends it the way its own service would, so that its children end too."""
        if self.running:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        self.remove()
