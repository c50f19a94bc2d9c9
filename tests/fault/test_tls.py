# SPDX-License-Identifier: Apache-2.0
"""A Hub behind TLS."""

import time

import pytest
from front import HOST, Front, make_certificates
from hub_support import kinds, repository

from kernels import get_kernel
from kernels.errors import NetworkError


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def front(hub, tmp_path, monkeypatch, certificates):
    """Starts a proxy whose authority is trusted, and makes it the Hub."""
    fronts = []

    def start(trusted=True, **options):
        made = Front(hub, tmp_path, certificates, **options)
        fronts.append(made)
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "authority.pem"))
        return made

    yield start
    for made in fronts:
        made.stop()


def test_http2_carries_all_requests_over_one_connection(hub, front):
    repository(hub, "tls-forty", extra=38)
    behind = front()
    assert get_kernel("open/tls-forty", version=1).NAME == "tls-forty"
    requests = behind.requests()
    assert {protocol for _, protocol in requests} == {"h2"}
    assert len({port for port, _ in requests}) == 1
    assert len(requests) == 43 == len(kinds(hub))


def test_http1_over_tls_keeps_its_connections(hub, front):
    repository(hub, "tls-old", extra=38)
    behind = front(protocols="http/1.1")
    assert get_kernel("open/tls-old", version=1).NAME == "tls-old"
    requests = behind.requests()
    assert {protocol for _, protocol in requests} == {"http/1.1"}
    assert len(requests) == 43
    assert len({port for port, _ in requests}) <= 24  # as many as there are to one host at once


def test_an_unknown_authority_is_refused_at_once(hub, front):
    repository(hub, "tls-unknown")
    behind = front(trusted=False)
    begun = time.monotonic()
    with pytest.raises(NetworkError, match="certificate"):
        get_kernel("open/tls-unknown", version=1)
    assert time.monotonic() - begun < 10  # the deadline is 60 s
    assert not behind.log.exists() or behind.requests() == []


def without_authorities(monkeypatch):
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_authorities_are_taken_from_the_variables_of_requests(
    hub, front, certificates, monkeypatch, name
):
    repository(hub, "tls-requests")
    without_authorities(monkeypatch)
    front(trusted=False)
    monkeypatch.setenv(name, str(certificates / "authority.pem"))
    assert get_kernel("open/tls-requests", version=1).NAME == "tls-requests"


def test_a_variable_that_names_no_authorities_is_named(hub, front, monkeypatch):
    repository(hub, "tls-nothing")
    without_authorities(monkeypatch)
    behind = front(trusted=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file.pem")
    with pytest.raises(NetworkError, match="REQUESTS_CA_BUNDLE is '/no/such/file.pem'"):
        get_kernel("open/tls-nothing", version=1)
    assert not behind.log.exists() or behind.requests() == []


def test_a_certificate_for_another_host_is_refused(hub, front):
    repository(hub, "tls-elsewhere")
    behind = front(host="elsewhere.test")
    with pytest.raises(NetworkError, match=f"(?i)certificate.*{HOST}"):
        get_kernel("open/tls-elsewhere", version=1)
    assert not behind.log.exists() or behind.requests() == []


def test_a_redirect_from_https_to_http_is_refused(hub, front):
    repository(hub, "tls-down")
    front()
    hub.fault("redirect", match="/resolve/", location=f"{hub.url}/elsewhere")
    with pytest.raises(NetworkError, match="redirects from https to 'http://"):
        get_kernel("open/tls-down", version=1)


def test_a_token_goes_over_tls(hub, front, monkeypatch):
    hub.repo("open/tls-private", private=True, grants=["insider"])
    repository(hub, "tls-private")
    front()
    monkeypatch.setenv("HF_TOKEN", "insider")
    assert get_kernel("open/tls-private", version=1).NAME == "tls-private"
