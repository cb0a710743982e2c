# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway's self-signed certificate, made with the ``openssl`` command."""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

VALID_DAYS = 365
"""The gateway's own certificate is valid for one year."""

OPENSSL_SECONDS = 30.0
"""A P-256 certificate takes some 20 ms; half a minute is enough for the slowest machine."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files of one certificate and its fingerprint (SHA-256 of the DER form, lower-case hex)."""

    path: Path
    key_path: Path
    fingerprint: str


def make_certificate(directory: Path, serial: str, name: str = "gateway") -> Certificate:
    """Make a new self-signed certificate with the common name ``envoy-<serial>`` in this directory."""
    if not serial.isalnum():
        # The serial goes into "/CN=...", where a slash would start a new field.
        raise ValueError(f'A serial number has letters and digits only, not "{serial}".')
    path, key_path = directory / f"{name}.pem", directory / f"{name}.key"
    # The key file exists with the right mode before openssl writes to it.
    os.close(os.open(key_path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha256", "-nodes"]
    command += ["-days", str(VALID_DAYS), "-subj", f"/CN=envoy-{serial}"]
    command += ["-keyout", str(key_path), "-out", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=OPENSSL_SECONDS, check=False)
    except FileNotFoundError:
        raise RuntimeError(
            "The simulator needs the openssl command to make its certificate. Install it with: apt install openssl"
        ) from None
    if done.returncode:
        raise RuntimeError(f"openssl could not make the simulator's certificate: {done.stderr.strip()}")
    der = ssl.PEM_cert_to_DER_cert(path.read_text(encoding="ascii"))
    return Certificate(path, key_path, hashlib.sha256(der).hexdigest())
