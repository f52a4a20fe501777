"""TLS and mutual TLS, for gRPC and HTTP, with certificates that change."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from hookd.v1.admin_service_pb2 import GetStatsRequest
from hookd.v1.webhook_pb2 import Webhook
from hookd_daemon.auth.certificates import CertificateError, Certificates
from hookd_daemon.auth.roles import Role

from tests.e2e.doors.certs import Authority, Pair
from tests.e2e.doors.keys import bearing, create, told
from tests.support.api import Api
from tests.support.concurrency import eventually
from tests.support.daemon import HOOKD, Daemon, DaemonFailedError, running


class Secure:
    """A daemon with TLS, and ways to reach it."""

    def __init__(self, folder: Path, authority: Authority, clients: Authority | None) -> None:
        self.authority = authority
        self.cert, self.key = folder / "server.pem", folder / "server.key"
        authority.issue().put(self.cert, self.key)
        flags = [f"--tls-cert={self.cert}", f"--tls-key={self.key}"]
        self.client_ca = folder / "clients.pem"
        if clients is not None:
            self.client_ca.write_bytes(clients.file.read_bytes())
            flags.append(f"--tls-client-ca={self.client_ca}")
        self.daemon = Daemon(folder, *flags)

    def channel(
        self, authority: Authority | None = None, client: Pair | None = None
    ) -> grpc.Channel:
        """A new connection."""
        trusted = (authority or self.authority).file.read_bytes()
        key, cert = (None, None) if client is None else client.bytes
        channel = grpc.secure_channel(
            self.daemon.address,
            grpc.ssl_channel_credentials(trusted, key, cert),
            options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)],
        )
        self.daemon.channels.append(channel)
        return channel

    def works(self, authority: Authority | None = None, client: Pair | None = None) -> bool:
        """Whether a new connection is good for a call."""
        with self.channel(authority, client) as channel:
            answer = told(lambda: Api(channel).admin.GetStats(GetStatsRequest(), timeout=30))
        assert answer.code in (None, grpc.StatusCode.UNAVAILABLE), answer
        return answer.code is None

    def https(
        self, path: str, authority: Authority | None = None, client: Pair | None = None
    ) -> int:
        """The status of a request over a new connection; 0 if there is none."""
        context = ssl.create_default_context(cafile=(authority or self.authority).file)
        if client is not None:
            context.load_cert_chain(client.cert, client.key)
        try:
            url = f"https://{self.daemon.http}{path}"
            with urllib.request.urlopen(url, context=context, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def serial(self, address: str, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
        """The certificate that is shown at an address, to a client of some age."""
        host, _, port = address.rpartition(":")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.maximum_version = newest
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((host, int(port)), timeout=30) as plain,
            context.wrap_socket(plain) as connection,
        ):
            return connection.getpeercert(binary_form=True) or b""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture
def secure(tmp_path: Path, authority: Authority) -> Iterator[Secure]:
    secure = Secure(tmp_path, authority, None)
    with secure.daemon:
        yield secure
        assert "Traceback" not in secure.daemon.log


@pytest.fixture
def mutual(tmp_path: Path, authority: Authority) -> Iterator[Secure]:
    mutual = Secure(tmp_path, authority, authority)
    with mutual.daemon:
        yield mutual
        assert "Traceback" not in mutual.daemon.log


def test_the_urls_of_webhooks_are_https(secure: Secure) -> None:
    api = Api(secure.channel())
    api.start("run")
    url = api.claim("run", "t", webhook=Webhook()).hook.url
    base = f"https://{secure.daemon.http}"
    assert url.startswith(f"{base}/webhooks/")
    assert secure.https(url.removeprefix(base)) == 202


def test_both_doors_speak_tls_and_nothing_else(secure: Secure, other: Authority) -> None:
    assert secure.works()
    assert secure.https("/healthz") == 200
    assert secure.https("/metrics") == 200
    # Another authority: the client does not believe that this is the daemon.
    assert not secure.works(other)
    assert secure.https("/healthz", other) == 0
    # Plaintext gets no answer.
    with grpc.insecure_channel(secure.daemon.address) as channel:
        answer = told(lambda: Api(channel).admin.GetStats(GetStatsRequest(), timeout=30))
    assert answer.code == grpc.StatusCode.UNAVAILABLE
    host, _, port = secure.daemon.http.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert not plain.recv(1000).startswith(b"HTTP")
    assert secure.works()


def test_a_new_certificate_is_used_by_new_connections_and_disturbs_no_call(
    secure: Secure, other: Authority
) -> None:
    """Under load: no call fails while the certificates change again and again."""
    over, failed, done = threading.Event(), [], [0, 0]

    def load(number: int) -> None:
        api = Api(secure.channel(), f"p{number}")
        while not over.is_set():
            try:
                run_id = api.start().run.run_id
                api.claim(run_id, f"token-{done[number]}")
                api.complete(run_id)
                done[number] += 1
            except grpc.RpcError as error:
                failed.append(error)
                return

    threads = [threading.Thread(target=load, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for signer in (secure.authority, other, secure.authority):
            seen = list(done)
            pair = signer.issue()
            pair.put(secure.cert, secure.key)
            want = ssl.PEM_cert_to_DER_cert(pair.cert.read_text())
            for address in (secure.daemon.address, secure.daemon.http):
                eventually(lambda a=address, w=want: secure.serial(a) == w)  # type: ignore[misc]
            assert secure.works(signer)
            assert secure.https("/healthz", signer) == 200
            eventually(lambda seen=seen: all(d > s for d, s in zip(done, seen, strict=True)))  # type: ignore[misc]
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
    assert failed == []
    assert not secure.works(other)


def test_old_versions_of_tls(secure: Secure) -> None:
    """HTTP speaks 1.3 alone: before, a session is taken up again without the certificate."""
    assert secure.serial(secure.daemon.address, ssl.TLSVersion.TLSv1_2)
    assert secure.serial(secure.daemon.http)
    with pytest.raises(ssl.SSLError):
        secure.serial(secure.daemon.http, ssl.TLSVersion.TLSv1_2)


def test_a_session_is_not_taken_up_again(secure: Secure) -> None:
    """It would let a client in whose authority is not trusted any more."""
    host, _, port = secure.daemon.http.rpartition(":")
    context = ssl.create_default_context(cafile=secure.authority.file)
    with (
        socket.create_connection((host, int(port)), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        assert connection.session is None or not connection.session.has_ticket


def test_broken_new_files_leave_the_old_ones_in_force(secure: Secure) -> None:
    whole = secure.cert.read_bytes(), secure.key.read_bytes()
    for cert, key, why in (
        (b"junk", whole[1], "does not hold a certificate"),
        (whole[0], b"", "does not hold a private key"),
        (secure.authority.issue().cert.read_bytes(), whole[1], "not that of the certificate"),
    ):
        secure.cert.write_bytes(cert)
        secure.key.write_bytes(key)
        eventually(lambda why=why: why in secure.daemon.log)  # type: ignore[misc]
        assert secure.works()
    secure.key.unlink()
    eventually(lambda: "No such file" in secure.daemon.log)
    assert secure.works()
    assert secure.daemon.log.count("the certificates stay as they were") < 12
    pair = secure.authority.issue()
    pair.put(secure.cert, secure.key)
    want = ssl.PEM_cert_to_DER_cert(pair.cert.read_text())
    eventually(lambda: secure.serial(secure.daemon.address) == want)
    assert secure.works()


def test_a_client_needs_a_certificate_of_the_right_authority(
    mutual: Secure, other: Authority
) -> None:
    good, bad = mutual.authority.issue(), other.issue()
    assert mutual.works(client=good)
    assert mutual.https("/healthz", client=good) == 200
    for client in (None, bad):
        assert not mutual.works(client=client)
        assert mutual.https("/healthz", client=client) == 0
        assert mutual.https("/metrics", client=client) == 0


def test_the_authority_of_clients_can_be_exchanged(mutual: Secure, other: Authority) -> None:
    good, bad = mutual.authority.issue(), other.issue()
    assert mutual.works(client=good)
    assert not mutual.works(client=bad)
    assert mutual.https("/healthz", client=bad) == 0
    mutual.client_ca.write_bytes(other.file.read_bytes())
    eventually(lambda: mutual.works(client=bad))
    eventually(lambda: mutual.https("/healthz", client=bad) == 200)
    assert not mutual.works(client=good)
    assert mutual.https("/healthz", client=good) == 0


def test_metrics_are_for_admins_of_all_projects(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    allowed = {
        create(data_dir, None, Role.ADMIN): 200,
        create(data_dir, "blue", Role.ADMIN): 403,
        create(data_dir, "blue"): 403,
        "junk": 401,
        None: 401,
    }
    with running(tmp_path) as daemon:
        for key, status in allowed.items():
            connection = http.client.HTTPConnection(daemon.http, timeout=30)
            connection.request("GET", "/metrics", headers=dict(bearing(key)))
            answer = connection.getresponse()
            assert answer.status == status, key
            assert (b"hookd_claims_total" in answer.read()) == (status == 200)
            assert (answer.headers["www-authenticate"] == "Bearer") == (status == 401)
            connection.close()
        for path in ("/healthz", "/readyz"):
            with urllib.request.urlopen(f"http://{daemon.http}{path}", timeout=30) as found:
                assert found.status == 200


def test_files_that_cannot_be_used_are_named_at_the_start(
    tmp_path: Path, authority: Authority, other: Authority
) -> None:
    pair, stranger, junk = authority.issue(), other.issue(), tmp_path / "junk.pem"
    junk.write_text("junk")
    closed = tmp_path / "closed.key"
    pair.close(closed, b"x")
    torn = tmp_path / "torn.key"
    torn.write_bytes(pair.key.read_bytes().replace(b"\nM", b"\n!"))
    for cert, key, ca, why in (
        (tmp_path / "none", pair.key, None, "cannot read .*none: No such file.*--tls-cert"),
        (pair.cert, tmp_path, None, "cannot read .*: Is a directory .*--tls-key"),
        (junk, pair.key, None, "junk.pem does not hold a certificate in PEM .*--tls-cert"),
        (pair.cert, pair.cert, None, "does not hold a private key in PEM .*--tls-key"),
        (pair.cert, stranger.key, None, "the key is not that of the certificate"),
        (pair.cert, closed, None, "closed.key has a passphrase .*--tls-key"),
        (pair.cert, torn, None, "what is in them is damaged"),
        (pair.cert, pair.key, junk, "junk.pem does not hold a certificate in PEM .*client-ca"),
    ):
        with pytest.raises(CertificateError, match=why):
            Certificates(cert, key, ca)
    with pytest.raises(DaemonFailedError, match=r"junk\.pem .*see --tls-cert") as failed:
        Daemon(tmp_path, f"--tls-cert={junk}", f"--tls-key={pair.key}").start()
    assert failed.value.status == 1
    assert "Traceback" not in failed.value.log


def start_line(folder: Path, *flags: str) -> str:
    """What a daemon says that does not start."""
    command = [HOOKD, "serve", f"--data-dir={folder / 'data'}", "--http=", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    return line


def test_others_are_let_in_only_with_tls_and_keys(tmp_path: Path, authority: Authority) -> None:
    pair = authority.issue()
    tls = [f"--tls-cert={pair.cert}", f"--tls-key={pair.key}"]
    out = "--listen=0.0.0.0:0"
    line = start_line(tmp_path, out)
    for word in ("--listen: 0.0.0.0:0", "--tls-cert", "hookd keys create", "--insecure"):
        assert word in line
    line = start_line(tmp_path, out, *tls)
    assert "hookd keys create" in line
    assert "--tls-cert" not in line
    line = start_line(tmp_path, out, "--require-keys")
    assert "--tls-cert" in line
    assert "hookd keys create" not in line
    assert "--tls-key" in start_line(tmp_path, tls[0])
    assert "--tls-cert" in start_line(tmp_path, tls[1])
    assert "--tls-cert" in start_line(tmp_path, f"--tls-client-ca={authority.file}")
    # With both it serves; a key in the file is as good as the flag.
    key = create(tmp_path / "data", "blue")
    daemon = Daemon(tmp_path, *tls)
    daemon.listen = "0.0.0.0:0"
    with daemon:
        address = daemon.address.replace("0.0.0.0", "127.0.0.1")
        trusted = grpc.ssl_channel_credentials(authority.file.read_bytes())
        with grpc.secure_channel(address, trusted) as channel:
            api = Api(channel, "blue")
            with pytest.raises(grpc.RpcError) as refused:
                api.start("run-1")
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert key
