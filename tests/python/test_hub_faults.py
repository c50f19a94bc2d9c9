# SPDX-License-Identifier: Apache-2.0
"""Each fault of the loopback Hub does the harm that its name says: one that does none would make other tests empty."""

import http.client
import json
import time

import pytest
from hub_support import (
    PULLED,
    RESOLVE,
    TREE,
    WEIGHTS,
    ask,
    body_of,
    get,
    raw,
    set_back,
    write_repositories,
)

from hub import Hub


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One Hub for all of these tests; `hub` sets it back for each."""
    with Hub(tmp_path_factory.mktemp("hub"), tokens=["insider", "outsider"]) as hub:
        write_repositories(hub)
        yield hub


@pytest.fixture
def hub(served):
    return set_back(served)


def cut(hub, kind, **options):
    """What a client of a broken transfer gets: (bytes of the body, how it ended)."""
    fault = hub.fault(kind, "weights", **options)
    answer, ending = raw(hub, get(RESOLVE), seconds=0.5)
    assert b"Content-Length: 102400" in answer
    assert fault.fired == 1
    assert hub.log()[0]["fault"] == kind
    return body_of(answer), ending


def test_truncate(hub):
    assert cut(hub, "truncate", bytes=70000) == (WEIGHTS[:70000], "end")
    assert ask(hub, RESOLVE)[2] == WEIGHTS  # once only


def test_reset(hub):
    assert cut(hub, "reset", bytes=70000) == (WEIGHTS[:70000], "reset")


def test_stall(hub):
    assert cut(hub, "stall", bytes=70000) == (WEIGHTS[:70000], "silence")


def test_drop(hub):
    hub.fault("drop")
    assert raw(hub, get(RESOLVE)) == (b"", "reset")
    assert [(line["status"], line["fault"]) for line in hub.log()] == [(0, "drop")]


def test_hold(hub):
    hub.fault("hold", ms=300)
    start = time.monotonic()
    assert ask(hub, RESOLVE)[2] == WEIGHTS
    assert time.monotonic() - start >= 0.3


def test_slow(hub):
    hub.fault("slow", rate=200_000)
    start = time.monotonic()
    assert ask(hub, RESOLVE)[2] == WEIGHTS
    assert time.monotonic() - start >= 0.5


def test_refuse(hub):
    hub.fault("refuse", ms=300)
    assert raw(hub, get(RESOLVE)) == (b"", "reset")
    with pytest.raises(ConnectionRefusedError):
        ask(hub, RESOLVE)
    time.sleep(0.35)
    assert ask(hub, RESOLVE)[0] == 200
    hub.refuse(0.2)
    with pytest.raises(ConnectionRefusedError):
        ask(hub, RESOLVE)
    time.sleep(0.25)
    assert ask(hub, RESOLVE)[0] == 200


def test_sever(hub):
    link = http.client.HTTPConnection("127.0.0.1", hub.port)
    link.connect()
    ask(hub, RESOLVE, connection=link)
    hub.sever()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        link.request("GET", RESOLVE)
        link.getresponse()
    link.close()


def test_flip(hub):
    hub.fault("flip", "weights", offset=50, times=2)
    other = WEIGHTS[:50] + bytes([WEIGHTS[50] ^ 1]) + WEIGHTS[51:]
    assert ask(hub, RESOLVE)[2] == other
    assert ask(hub, RESOLVE, Range="bytes=49-51")[2] == other[49:52]
    assert ask(hub, RESOLVE)[2] == WEIGHTS


def test_ignored_range(hub):
    hub.fault("ignore-range")
    assert ask(hub, RESOLVE, Range="bytes=5-9")[::2] == (200, WEIGHTS)


def test_wrong_content_range(hub):
    hub.fault("content-range")
    hub.fault("content-range", value="bytes 0-4/1")
    for said in ("bytes 6-10/102400", "bytes 0-4/1"):
        status, headers, body = ask(hub, RESOLVE, Range="bytes=5-9")
        assert (status, headers["content-range"], body) == (206, said, WEIGHTS[5:10])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_status(hub, status):
    hub.fault("status", "/refs$", status=status, times=2)
    path = "/api/models/open/model/refs"
    assert [ask(hub, path)[0] for _ in range(3)] == [status, status, 200]


def test_rate_limits(hub):
    hub.fault("status", status=429, retry_after=2, rate_limit=(0, 55))
    hub.fault("status", status=429, retry_after=1800000000.0)
    status, headers, _ = ask(hub, TREE)
    assert (status, headers["retry-after"], headers["ratelimit"]) == (429, "2", '"api";r=0;t=55')
    assert headers["ratelimit-policy"] == '"fixed window";"api";q=500;w=300'
    status, headers, _ = ask(hub, TREE)
    assert (status, headers["retry-after"]) == (429, "Fri, 15 Jan 2027 08:00:00 GMT")


def test_body(hub):
    hub.fault("body", times=1)
    with pytest.raises(json.JSONDecodeError):
        json.loads(ask(hub, TREE)[2])
    hub.fault("body", body=b'["\xff\xfe\0"]', status=201)
    assert ask(hub, TREE)[::2] == (201, b'["\xff\xfe\0"]')
    hub.fault("body", body=[{"size": -1}])
    assert json.loads(ask(hub, TREE)[2]) == [{"size": -1}]


def test_headers(hub):
    hub.fault("headers", headers={"X-Repo-Commit": PULLED, "ETag": None})
    status, headers, body = ask(hub, RESOLVE)
    assert (status, headers["x-repo-commit"], "etag" in headers, body) == (
        200,
        PULLED,
        False,
        WEIGHTS,
    )


def test_redirects(hub):
    hub.fault("redirect", location="file:///etc/passwd")
    hub.fault("redirect", location=f"{hub.cdn_url}/x", status=307)
    hub.fault("loop", times=-1)
    assert [ask(hub, RESOLVE)[1]["location"] for _ in range(4)] == [
        "file:///etc/passwd",
        f"{hub.cdn_url}/x",
        RESOLVE,
        RESOLVE,
    ]
    assert [line["status"] for line in hub.log()] == [302, 307, 302, 302]


def test_flood(hub):
    link = http.client.HTTPConnection("127.0.0.1", hub.port)
    hub.fault("flood", text="[", fill='{"a":1},', bytes=10 << 30)
    link.request("GET", TREE)
    answer = link.getresponse()
    assert answer.headers["Content-Length"] == str(10 << 30)
    assert answer.read(17) == b'[{"a":1},{"a":1},'
    assert len(answer.read(20_000_000)) == 20_000_000
    link.close()
    hub.fault("flood", text="[", fill="[", bytes=1000, chunked=True)
    status, headers, body = ask(hub, TREE)
    assert (headers["transfer-encoding"], body) == ("chunked", b"[" * 1000)


def test_raw(hub):
    head = b"HTTP/1.1 200 OK\r\n"
    hub.fault("raw", text=head, fill="X-Filler: 0123456789\r\n", bytes=3_000_000)
    answer, ending = raw(hub, get(TREE))
    assert (len(answer), answer[:30], ending) == (3_000_000, head + b"X-Filler: 012", "end")
    hub.fault("raw", text=head + b"Content-Length: -5\r\n\r\n", then="reset")
    assert raw(hub, get(TREE)) == (head + b"Content-Length: -5\r\n\r\n", "reset")
    hub.fault("raw", text=b"garbage", then="stall")
    assert raw(hub, get(TREE), seconds=0.3) == (b"garbage", "silence")


def test_hostile_listings(hub):
    hostile = [
        {"type": "file", "path": "../x", "size": -1, "oid": "0" * 40},
        {"type": "file", "path": "/etc/x", "size": 1, "oid": "0" * 40},
        b'{"type":"file","path":"a\\u0000b","size":1}',
        b'{"type":"file","path":"\xff\xfe","size":1}',
    ]
    hub.fault("listing", "/tree/", entries=hostile)
    body = ask(hub, TREE)[2]
    assert b'"path": "../x", "size": -1' in body
    assert b'"a\\u0000b"' in body
    entries = json.loads(body.decode("latin-1"))
    assert len(entries) == 5 + 4
    assert entries[7]["path"] == "a\0b"
    hub.fault("listing", "/tree/", entries=hostile[:1], replace=True)
    assert json.loads(ask(hub, TREE)[2]) == hostile[:1]


def test_a_million_entries(hub):
    fault = hub.fault("entries", "/tree/", count=1_000_000, times=-1)
    status, headers, body = ask(hub, TREE)
    assert (status, len(json.loads(body))) == (200, 1000)
    assert headers["link"].endswith('%3A1000>; rel="next"')
    last = ask(hub, f"{TREE}&cursor=ZXlKbWFXeGxJam9pSW4w%3D%3A999000")
    assert len(json.loads(last[2])) == 1000
    assert json.loads(last[2])[-1]["path"] == "build/torch-universal/made_up_999999.py"
    assert "link" not in last[1]
    assert fault.fired == 2


def test_rules_choose_their_requests(hub):
    heads = hub.fault("status", method="HEAD", status=503)
    third = hub.fault("status", "weights", after=2, status=500)
    there = hub.fault("status", origin="cdn", times=-1, status=502)
    assert [ask(hub, RESOLVE)[0] for _ in range(4)] == [200, 200, 500, 200]
    assert [ask(hub, RESOLVE, "HEAD")[0] for _ in range(2)] == [503, 200]
    assert ask(hub, "/x", host="127.0.0.2", port=hub.cdn_port)[0] == 502
    assert (heads.fired, third.fired, there.fired) == (1, 1, 1)


def test_what_is_not_understood_is_an_error(hub):
    with pytest.raises(ValueError, match="no fault is called 'sotp'"):
        hub.fault("sotp")
    with pytest.raises(ValueError, match="regular expression"):
        hub.fault("drop", "(")
    with pytest.raises(ValueError, match="'latency' cannot be set so"):
        hub.set(latency=5)
