"""More than one bare Redis: replicas, sentinels that watch over them, and a Redis that speaks TLS."""

import contextlib
import datetime
import ipaddress
import pathlib
import shutil
import tempfile
import time

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis.backoff import NoBackoff
from redis.retry import Retry

from belfry import Process, RedisServer, environment, free_port, wait_for


class Authority:
    """A certificate authority with a folder of its own: `ca` is its certificate; issue() makes others."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="authority-"))
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"a test authority {self.dir.name}")])
        certificate = self.builder(self.name, self.key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.ca = self.write("ca.pem", certificate.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def builder(self, subject, key, days=2):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=9))
                .not_valid_after(now + datetime.timedelta(days=days)))

    def write(self, name, data):
        path = self.dir / name
        path.write_bytes(data)
        return path

    def issue(self, name, hosts=("localhost", "127.0.0.1"), days=2):
        """(certificate, key) for these names and addresses, as files; with days below 0 it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self.builder(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), key, days)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([general_name(h) for h in hosts]), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return (self.write(f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM)),
                self.write(f"{name}.key", key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                            serialization.NoEncryption())))

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def general_name(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class TlsRedis(RedisServer):
    """A redis-server whose TCP port speaks TLS only, with (certificate, key); its unix socket stays plain. With
    auth_clients="yes" it asks for a certificate of the authority; `protocols` is such as "TLSv1.2"."""

    def __init__(self, authority, certificate, *options, auth_clients="no", protocols=None):
        self.authority, self.certificate = authority, certificate
        self.tls = ["--tls-auth-clients", auth_clients, *(["--tls-protocols", protocols] if protocols else [])]
        super().__init__(*options)

    def argv(self, port):
        cert, key = self.certificate
        return [*super().argv(port), "--port", 0, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key,
                "--tls-ca-cert-file", self.authority.ca, *self.tls]

    def tls_url(self, host="localhost", credentials=""):
        return f"rediss://{credentials}{host}:{self.port}/0"


class Replica(RedisServer):
    """A replica of another RedisServer, in sync with it."""

    def __init__(self, master, *options):
        super().__init__("--replicaof", f"127.0.0.1 {master.port}", "--repl-diskless-sync-delay", "0", *options)
        try:
            wait_for(lambda: self.client().info("replication").get("master_link_status") == "up", 15, "the first sync")
        except AssertionError:
            self.remove()
            raise


class Sentinel(Process):
    """One sentinel that watches the master on `port` under the name mymaster."""

    def __init__(self, port, quorum=1, down_after=500, failover_timeout=4000, lines=()):
        super().__init__("sentinel")
        self.watched = [f"sentinel monitor mymaster 127.0.0.1 {port} {quorum}",
                        f"sentinel down-after-milliseconds mymaster {down_after}",
                        f"sentinel failover-timeout mymaster {failover_timeout}",
                        "sentinel parallel-syncs mymaster 1"]
        self.lines = list(lines)
        self.password = None
        self.port = None
        try:
            self.start()
        except AssertionError:
            self.remove()
            raise

    def start(self):
        """Starts, or starts again with what it has learned."""
        file = self.dir / "sentinel.conf"
        for _ in range(5):
            port = self.port or free_port()
            if self.port is None:
                file.write_text("\n".join([f"port {port}", "bind 127.0.0.1", f"dir {self.dir}", *self.watched, *self.lines, ""]))
            self.spawn(["redis-server", file, "--sentinel"], environment({}))
            wait_for(lambda: not self.running or self.answers(port), 10, "a sentinel")
            if self.running:
                self.port = port
                return self
        raise AssertionError(f"the sentinel does not start:\n{self.output()[-2000:]}")

    def client(self, port=None, **options):
        return redis.Redis(port=port or self.port, decode_responses=True, socket_timeout=2, retry=Retry(NoBackoff(), 0), **options)

    def answers(self, port=None):
        try:
            return self.client(port).ping()
        except redis.exceptions.AuthenticationError:
            return True
        except redis.exceptions.RedisError:
            return False

    def hurry(self):
        """Asks, pings and tells the others more often; only a newer Redis can."""
        with contextlib.suppress(redis.exceptions.RedisError):
            self.client().execute_command("SENTINEL", "DEBUG", "INFO-PERIOD", 300, "PUBLISH-PERIOD", 200, "PING-PERIOD", 200,
                                          "ASK-PERIOD", 200)

    def master_port(self):
        return int(self.client().execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")[1])

    def knows(self):
        """(replicas, other sentinels) of mymaster."""
        facts = self.client().execute_command("SENTINEL", "MASTER", "mymaster")
        facts = facts if isinstance(facts, dict) else dict(zip(facts[::2], facts[1::2]))
        return int(facts["num-slaves"]), int(facts["num-other-sentinels"])


class Watched:
    """A master, its replica, and sentinels that know of each other. All of them may be killed, paused and started again."""

    def __init__(self, sentinels=3, *options):
        self.servers, self.sentinels = [], []
        try:
            self.servers.append(RedisServer(*options))
            self.servers.append(Replica(self.servers[0], *options))
            for _ in range(sentinels):
                self.sentinels.append(Sentinel(self.servers[0].port, sentinels // 2 + 1))
            for sentinel in self.sentinels:
                sentinel.hurry()
            for sentinel in self.sentinels:
                wait_for(lambda s=sentinel: s.knows() == (1, sentinels - 1), 20, "sentinels that know all")
        except AssertionError:
            self.remove()
            raise

    @property
    def master(self):
        """What the sentinels name, as the first one that answers has it."""
        answering = next(s for s in self.sentinels if s.running and s.answers())
        return next(s for s in self.servers if s.port == answering.master_port())

    def wait_master(self, server, timeout=30):
        """Until `server` is a master, and all sentinels that run name it."""
        def done():
            return (server.client().role()[0] == "master"
                    and all(s.master_port() == server.port for s in self.sentinels if s.running and s.answers()))
        wait_for(done, timeout, "the failover")

    def fail_over(self, new, timeout=40):
        """Orders a failover to `new`, and waits until the other one is its replica. A sentinel gives up silently where it
        finds the replica not good enough just then, so it is told again."""
        old = next(s for s in self.servers if s is not new)
        ordered = 0

        def done():
            nonlocal ordered
            if self.sentinels[0].master_port() != new.port and time.monotonic() > ordered + 4:
                ordered = time.monotonic()
                with contextlib.suppress(redis.exceptions.ResponseError):
                    self.sentinels[0].client().execute_command("SENTINEL", "FAILOVER", "mymaster")
            return new.client().role()[0] == "master" and old.client().role()[0] == "slave"
        wait_for(done, timeout, "the failover that was ordered")
        self.wait_master(new)

    def url(self, credentials="", master="mymaster", sentinels=None):
        hosts = ",".join(f"127.0.0.1:{s.port}" for s in sentinels or self.sentinels)
        return f"redis+sentinel://{credentials}{hosts}/{master}/0"

    def remove(self):
        for process in [*self.sentinels, *self.servers]:
            process.resume()
            process.remove()
