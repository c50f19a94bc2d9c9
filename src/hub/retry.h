/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a request that failed is made again, and when. Pure: no I/O, no clock. */
#ifndef KNI_HUB_RETRY_H
#define KNI_HUB_RETRY_H

#include <kernels/transport.h>

#define KNI_RETRY_BASE_MS 200  /* the first wait; it doubles */
#define KNI_RETRY_CEIL_MS 8000 /* the longest */
#define KNI_RETRY_MAX 5        /* tries after the first one that brought nothing */
#define KNI_RETRY_NOT_ASKED (-1)

/* What is known of a try that failed. */
typedef struct kni_retry_facts {
    kn_http_failure failure;
    int http_status;      /* of the response; 0: none came */
    int64_t asked_ms;     /* how long the server asks to wait; KNI_RETRY_NOT_ASKED */
    int failures;         /* tries in a row, before this one, that brought nothing new */
    int64_t elapsed_ms;   /* since the first of those, or this one, was begun */
    int64_t connect_ms;   /* how long an unknown or refusing host is tried */
    int64_t remaining_ms; /* until the deadline of the whole call */
    bool impatient;       /* no second try */
} kni_retry_facts;

typedef enum kni_retry {
    KNI_RETRY_GIVE_UP,
    KNI_RETRY_WAIT,    /* *wait_ms, then again */
    KNI_RETRY_TOO_LONG /* the server asks for *wait_ms, which the deadline does not allow */
} kni_retry;

/* 408, 429, 500, 502, 503 and 504 and connections that broke are tried again KNI_RETRY_MAX times;
 * hosts that are unknown or refuse, until `connect_ms`; nothing else. *wait_ms is set unless the
 * answer is to give up. */
kni_retry kni_retry_decide(const kni_retry_facts *facts, int64_t *wait_ms);

/* How many milliseconds a response asks to wait, at most a day; KNI_RETRY_NOT_ASKED when it does
 * not, or not in a way that can be read. Its headers, NULL where absent: Retry-After (seconds, or a
 * date, which is measured against Date), RateLimit ("…;t=55") and RateLimit-Reset (seconds). */
int64_t kni_retry_asked_ms(const char *retry_after, const char *date, const char *rate_limit,
                           const char *rate_limit_reset);

#endif
