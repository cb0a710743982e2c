# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from nutdrv_py.protocols.tls import trusting


def _authority(folder: Path) -> Path:
    """As anybody makes one at home: no extension tells what its key is for."""
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=home")
    subprocess.run(["openssl", *new, "-keyout", "ca.key", "-out", "ca.pem"], cwd=folder, check=True, capture_output=True, timeout=30)
    return folder / "ca.pem"


def test_an_authority_made_at_home_is_trusted_by_every_python(tmp_path: Path) -> None:
    """A handshake in memory; Python 3.13 and later refuse it by default ("CA cert does not include key usage extension")."""
    authority = _authority(tmp_path)

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True, timeout=30)

    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=s", "-keyout", "s.key", "-out", "s.csr")
    (tmp_path / "san").write_text("subjectAltName=DNS:broker.home\n")
    openssl("x509", "-req", "-in", "s.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san", "-out", "s.pem")
    context = trusting(str(authority))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(tmp_path / "s.pem", tmp_path / "s.key")
    assert _shake(context, served, "broker.home")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        _shake(context, served, "other.home")
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake(trusting(""), served, "broker.home")


def _shake(ours: ssl.SSLContext, theirs: ssl.SSLContext, name: str) -> bool:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ours.wrap_bio(back, there, server_hostname=name)
    server = theirs.wrap_bio(there, back, server_side=True)
    done = set()
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    return len(done) == 2


@pytest.mark.parametrize(("text", "error"), [(None, FileNotFoundError), ("", ssl.SSLError), ("not a certificate\n", ssl.SSLError)])
def test_a_file_that_cannot_be_used_is_an_oserror(tmp_path: Path, text: str | None, error: type[OSError]) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    with pytest.raises(error):
        trusting(str(file))
