/* SPDX-License-Identifier: Apache-2.0 */
/* One transfer of a session under way: its tries, one request each, and what comes back. */
#ifndef KNI_HUB_FLIGHT_H
#define KNI_HUB_FLIGHT_H

#include "hub/session.h"

typedef enum kni_flight_state {
    KNI_FLIGHT_WAITING, /* for due_ms */
    KNI_FLIGHT_RUNNING, /* the transport has it */
    KNI_FLIGHT_ENDED    /* transfer->status is final */
} kni_flight_state;

#define KNI_FLIGHT_HEADERS 5

typedef struct kni_flight {
    kni_session *session;
    kni_transfer *transfer;
    kni_flight_state state;

    /* over all tries */
    int64_t due_ms;
    int redirects;    /* followed since the transfer's own address */
    int failures;     /* tries in a row that brought nothing new */
    int64_t since_ms; /* when the first of those was begun */
    int64_t furthest; /* how much of the body there ever was */
    kni_text body;    /* where there is no sink */
    char *etag;       /* of that body: only the same one is resumed. NULL: none */
    char *url;        /* where the next try goes */

    /* of this try */
    char *headers[KNI_FLIGHT_HEADERS];
    size_t header_count;
    int64_t sent_ms, last_byte_ms;
    int64_t offset;   /* what the request left out */
    int64_t position; /* of the next byte of the body */
    int64_t received; /* bytes of this response's body, of whatever kind */
    int status;       /* 0: no head yet */
    bool taking;      /* the body is what was asked for */
    bool enough;      /* of a body that nobody needs whole */
    bool mismatch;    /* another part came than was asked for */
    int64_t asked_ms; /* how long the server asks to wait */
    char *location;
    kni_text refusal; /* the body of an error */
} kni_flight;

/* NULL: no memory. It is due at once. */
kni_flight *kni_flight_new(kni_session *session, kni_transfer *transfer);
/* Stops it where it runs, and hands its body over where it ended well. */
void kni_flight_free(kni_flight *flight);

/* Makes the request; what cannot be started ends it. */
void kni_flight_send(kni_flight *flight);
/* Ends a running one; `status` and `message` become the transfer's. */
void kni_flight_end(kni_flight *flight, kn_status status, const char *message);
/* Breaks a connection that brings nothing any more: it is tried again as any that broke. */
void kni_flight_break(kni_flight *flight, int64_t silent_ms);

/* ---- what is said of it (flight_words.c) ---- */

/* The session's line about a try: `failure` in place of the status, unless it is NULL. */
void kni_flight_trace(const kni_flight *flight, const char *failure);
/* How many bytes of an address are its scheme, host and port, as far as a message shows them. */
int kni_flight_origin(const char *url);
/* KN_ERR_NETWORK, in the transfer's error. */
kn_status kni_flight_fail_connection(kni_flight *flight, kn_http_failure failure,
                                     const char *message);
kn_status kni_flight_fail_asked(kni_flight *flight, int64_t wait_ms);

#endif
