"""Certificates for tests, and a client that speaks TLS. The authority and the server's certificate come from
`daemun cert dev`, those of clients from openssl."""

import contextlib
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from harness import Connection, run


class Certificates:
    """A folder of certificates: the server's, and lazily those of clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"XDG_DATA_HOME": str(folder / "data")}
        self.authority = folder / "data" / "daemun" / "authority" / "authority.pem"
        self.certificate, self.key = folder / "localhost.pem", folder / "localhost-key.pem"
        self.make("localhost")

    def make(self, *names: str) -> None:
        made = run("cert", "dev", *names, cwd=self.folder, env=self.environment)
        assert made.returncode == 0, made.stderr

    def openssl(self, *args: object) -> None:
        if not shutil.which("openssl"):
            pytest.skip("there is no openssl")
        done = subprocess.run(["openssl", *map(str, args)], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    @property
    def clients(self) -> Path:
        """The authority of clients."""
        path = self.folder / "clients.pem"
        if not path.exists():
            self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                         "-subj", "/O=Clients/CN=Authority of clients", "-keyout", "clients-key.pem", "-out", "clients.pem")
        return path

    def client(self, name: str, subject: str, *, trusted: bool = True) -> tuple[Path, Path]:
        """A client's certificate and key."""
        path, key = self.folder / f"{name}.pem", self.folder / f"{name}-key.pem"
        if path.exists():
            return path, key
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8", "-subj", subject, "-keyout", key)
        if trusted:
            request, extensions = self.folder / f"{name}.csr", self.folder / "client.ext"
            extensions.write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n")
            self.openssl("req", "-new", *new, "-out", request)
            self.openssl("x509", "-req", "-in", request, "-CA", self.clients, "-CAkey", "clients-key.pem", "-days", "9",
                         "-set_serial", "0x1234abcd", "-extfile", extensions, "-out", path)
        else:
            self.openssl("req", "-x509", *new, "-days", "9", "-out", path)
        return path, key

    def context(self, client: tuple[Path, Path] | None = None, alpn: tuple[str, ...] = (), **versions) -> ssl.SSLContext:
        """For a client that trusts the authority, and perhaps shows a certificate."""
        context = ssl.create_default_context(cafile=str(self.authority))
        if client:
            context.load_cert_chain(*client)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        for name, value in versions.items():
            setattr(context, name, value)
        return context


class TlsConnection(Connection):
    """A connection of bytes, over TLS."""

    def __init__(self, port: int, context: ssl.SSLContext, name: str | None = "localhost") -> None:
        super().__init__(("127.0.0.1", port))
        try:
            self.socket = context.wrap_socket(self.socket, server_hostname=name)
        except BaseException:
            self.socket.close()
            raise

    def _fill(self) -> bool:
        # A client that is refused may get the reason or only the end, as the system likes.
        with contextlib.suppress(ssl.SSLEOFError):
            return super()._fill()
        return False
