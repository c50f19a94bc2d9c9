/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a flight: its line in the trace, and the sentences of its failures. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "hub/endpoint.h"
#include "hub/flight.h"

#define URL_SHOWN 512
#define MESSAGE_SHOWN 300

/* Signatures are secrets, and they stand in the queries of other origins' addresses. */
static int shown_length(const kni_flight *flight, const char **tail) {
    size_t length = strlen(flight->url), query = strcspn(flight->url, "?");
    bool cut = query < length && !kni_url_same_origin(flight->transfer->url, flight->url);
    if (cut) length = query;
    *tail = cut ? "?\xE2\x80\xA6" : "";
    return (int)(length < URL_SHOWN ? length : URL_SHOWN);
}

int kni_flight_origin(const char *url) {
    const char *host = strstr(url, "://");
    size_t scheme = host ? (size_t)(host - url) + 3 : 0, rest = strcspn(url + scheme, "/?#");
    return (int)(scheme + (rest < URL_SHOWN ? rest : URL_SHOWN));
}

void kni_flight_trace(const kni_flight *flight, const char *failure) {
    const kni_session *session = flight->session;
    if (!session->trace) return;
    char line[URL_SHOWN + MESSAGE_SHOWN + 128];
    const char *tail;
    int shown = shown_length(flight, &tail);
    long long spent = (long long)(session->now_ms(session->ctx) - flight->sent_ms);
    if (failure) {
        snprintf(line, sizeof line, "GET %.*s%s -> %.300s, %lld bytes %lld ms", shown, flight->url,
                 tail, failure, (long long)flight->received, spent);
    } else {
        snprintf(line, sizeof line, "GET %.*s%s -> %d %lld bytes %lld ms", shown, flight->url, tail,
                 flight->status, (long long)flight->received, spent);
    }
    session->trace(session->ctx, line);
}

kn_status kni_flight_fail_connection(kni_flight *flight, kn_http_failure failure,
                                     const char *message) {
    const char *what = flight->transfer->what, *url = flight->url;
    kn_error *err = &flight->transfer->err;
    int host = kni_flight_origin(url);
    switch (failure) {
    case KN_HTTP_RESOLVE:
        return kni_fail(err, KN_ERR_NETWORK,
                        "%s: the host of '%.*s' is not known (%s): check the network, HF_ENDPOINT "
                        "and the proxy",
                        what, host, url, message);
    case KN_HTTP_CONNECT:
        return kni_fail(err, KN_ERR_NETWORK,
                        "%s: no connection to '%.*s' (%s): check the network, HF_ENDPOINT and the "
                        "proxy",
                        what, host, url, message);
    case KN_HTTP_SECURITY:
        return kni_fail(err, KN_ERR_NETWORK,
                        "%s: no safe connection to '%.*s' (%s): check the certificates "
                        "(SSL_CERT_FILE) and the clock",
                        what, host, url, message);
    case KN_HTTP_BROKEN:
        return kni_fail(err, KN_ERR_NETWORK,
                        "%s: the connection to '%.*s' ended before everything had come, try for "
                        "try (%d; the last one: %s): try again later",
                        what, host, url, flight->failures + 1, message);
    default:
        return kni_fail(err, KN_ERR_NETWORK, "%s: the request to '%.*s' failed: %s", what, host,
                        url, message);
    }
}

kn_status kni_flight_fail_asked(kni_flight *flight, int64_t wait_ms) {
    const kni_session *session = flight->session;
    return kni_fail(&flight->transfer->err, KN_ERR_NETWORK,
                    "%s: the Hub answers with status %d and asks to wait %lld seconds, longer than "
                    "KERNELS_TIMEOUT (%g seconds) allows: try again then",
                    flight->transfer->what, flight->status, (long long)((wait_ms + 999) / 1000),
                    (double)session->timeout_ms / 1000);
}
