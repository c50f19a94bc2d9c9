/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/session.h"

#include <string.h>

#include "base/error.h"
#include "hub/flight.h"

#define ACTIVE_MAX 128 /* transfers under way; the others have not begun */
#define POLL_MS 50     /* the longest that cancellation goes unseen, twice over */
#define CANCEL_MS 25   /* how often it is asked for at most */
#define STALL_SHARE 3  /* a body that stalls for this part of the deadline is asked for again */

typedef struct session_run {
    kni_session *session;
    kni_transfer *const *transfers;
    size_t count, begun;
    kni_flight *active[ACTIVE_MAX];
    size_t active_count;
    int64_t now, asked_ms; /* asked_ms: when cancellation was last asked for */
} session_run;

static void clear_outputs(kni_transfer *transfer) {
    transfer->status = KN_OK;
    kn_error_init(&transfer->err);
    transfer->http_status = 0;
    transfer->error_code = transfer->error_message = NULL;
    transfer->next = transfer->commit = transfer->body = NULL;
    transfer->body_length = 0;
}

void kni_transfer_clear(kni_transfer *transfer, const kn_alloc *alloc) {
    alloc = kni_alloc_or_default(alloc);
    kni_free(alloc, transfer->error_code);
    kni_free(alloc, transfer->error_message);
    kni_free(alloc, transfer->next);
    kni_free(alloc, transfer->commit);
    kni_free(alloc, transfer->body);
    clear_outputs(transfer);
}

/* Begins transfers while there is room; false: no memory. */
static bool begin(session_run *run) {
    while (run->begun < run->count && run->active_count < ACTIVE_MAX) {
        kni_flight *flight = kni_flight_new(run->session, run->transfers[run->begun]);
        if (!flight) return false;
        run->active[run->active_count++] = flight;
        run->begun++;
    }
    return true;
}

static void send_due(session_run *run) {
    for (size_t i = 0; i < run->active_count; i++) {
        kni_flight *flight = run->active[i];
        if (flight->state == KNI_FLIGHT_WAITING && flight->due_ms <= run->now)
            kni_flight_send(flight);
    }
}

/* Frees those that ended, and breaks those whose body stalls. False: one had no memory. */
static bool sweep(session_run *run) {
    const kni_session *session = run->session;
    int64_t stall = session->timeout_ms / STALL_SHARE;
    bool memory = true;
    for (size_t i = 0; i < run->active_count;) {
        kni_flight *flight = run->active[i];
        int64_t silent = run->now - flight->last_byte_ms;
        if (flight->state == KNI_FLIGHT_RUNNING && flight->taking && silent > stall &&
            !session->impatient) {
            kni_flight_break(flight, silent);
        }
        if (flight->state != KNI_FLIGHT_ENDED) {
            i++;
            continue;
        }
        const kni_transfer *transfer = flight->transfer;
        kni_flight_free(flight);
        if (transfer->status == KN_ERR_NOMEM) memory = false;
        run->active[i] = run->active[--run->active_count];
    }
    return memory;
}

/* How long nothing has to be done unless something arrives. */
static int time_to_wait(const session_run *run) {
    const kni_session *session = run->session;
    int64_t wait = session->timeout_ms - (run->now - session->last_byte_ms);
    if (wait > POLL_MS) wait = POLL_MS;
    for (size_t i = 0; i < run->active_count; i++) {
        const kni_flight *flight = run->active[i];
        if (flight->state == KNI_FLIGHT_WAITING && flight->due_ms - run->now < wait)
            wait = flight->due_ms - run->now;
    }
    return wait > 0 ? (int)wait : 0;
}

static bool is_cancelled(session_run *run) {
    const kni_session *session = run->session;
    if (!session->cancelled || run->now - run->asked_ms < CANCEL_MS) return false;
    run->asked_ms = run->now;
    return session->cancelled(session->ctx);
}

/* Whatever has not ended ends with `status` and the message in `cause`. */
static void end_all(session_run *run, kn_status status, const kn_error *cause) {
    for (size_t i = 0; i < run->active_count; i++) {
        kni_flight *flight = run->active[i];
        if (flight->state != KNI_FLIGHT_ENDED) kni_flight_end(flight, status, cause->message);
        kni_flight_free(flight);
    }
    run->active_count = 0;
    for (; run->begun < run->count; run->begun++) {
        kni_transfer *transfer = run->transfers[run->begun];
        transfer->status = kni_fail(&transfer->err, status, "%s", cause->message);
    }
}

static kn_status end_with(session_run *run, kn_status status, const kn_error *cause,
                          kn_error *err) {
    end_all(run, status, cause);
    return kni_fail(err, status, "%s", cause->message);
}

static kn_status fail_timeout(const session_run *run, kn_error *err) {
    double seconds = (double)run->session->timeout_ms / 1000;
    size_t others = run->active_count + (run->count - run->begun) - 1;
    const char *what = run->active[0]->transfer->what;
    if (others) {
        return kni_fail(err, KN_ERR_TIMEOUT,
                        "nothing arrived for %g seconds while waiting for %s and %zu more: check "
                        "the network, or allow more with KERNELS_TIMEOUT (now %g)",
                        seconds, what, others, seconds);
    }
    return kni_fail(err, KN_ERR_TIMEOUT,
                    "nothing arrived for %g seconds while waiting for %s: check the network, or "
                    "allow more with KERNELS_TIMEOUT (now %g)",
                    seconds, what, seconds);
}

/* One round. KN_OK: go on while something is active; anything else ends the whole, `cause` set. */
static kn_status step(session_run *run, kn_error *cause) {
    kni_session *session = run->session;
    run->now = session->now_ms(session->ctx);
    if (is_cancelled(run)) {
        return kni_fail(cause, KN_ERR_CANCELLED, "stopped while waiting for %s",
                        run->active[0]->transfer->what);
    }
    send_due(run);
    if (!sweep(run)) return kni_no_memory(cause, "talking to the Hub");
    if (!run->active_count) return KN_OK;
    if (run->now - session->last_byte_ms >= session->timeout_ms) return fail_timeout(run, cause);

    kn_status status = session->transport->poll(session->transport->ctx, time_to_wait(run), cause);
    if (status) session->transport_failed = true;
    run->now = session->now_ms(session->ctx);
    if (!sweep(run)) return kni_no_memory(cause, "talking to the Hub");
    return status;
}

/* Whether a text can stand in a header without ending it. */
static bool is_header_text(const char *text) {
    for (; text && *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F) return false;
    }
    return true;
}

static kn_status check_session(const kni_session *session, kn_error *err) {
    for (size_t i = 0; i < session->origin_count; i++) {
        if (!is_header_text(session->origins[i].token))
            return kni_fail(err, KN_ERR_VALUE,
                            "the Hub's token has line breaks or control characters: check "
                            "HF_TOKEN and the token file");
    }
    if (!is_header_text(session->user_agent)) {
        return kni_fail(err, KN_ERR_VALUE, "the user agent has line breaks or control characters");
    }
    return KN_OK;
}

kn_status kni_session_run(kni_session *session, kni_transfer *const *transfers, size_t count,
                          kn_error *err) {
    session_run run = {.session = session, .transfers = transfers, .count = count};
    for (size_t i = 0; i < count; i++) clear_outputs(transfers[i]);
    kn_error cause;
    kn_error_init(&cause);
    if (check_session(session, &cause)) {
        end_all(&run, KN_ERR_VALUE, &cause);
        return KN_OK;
    }
    run.now = session->last_byte_ms = session->now_ms(session->ctx);
    run.asked_ms = run.now - CANCEL_MS;
    for (;;) {
        if (!begin(&run))
            return end_with(&run, KN_ERR_NOMEM,
                            (kni_no_memory(&cause, "talking to the Hub"), &cause), err);
        if (!run.active_count) return KN_OK;
        kn_status status = step(&run, &cause);
        if (status == KN_ERR_CANCELLED || status == KN_ERR_NOMEM || status == KN_ERR_TIMEOUT)
            return end_with(&run, status, &cause, err);
        if (status) {
            end_all(&run, status, &cause);
            return KN_OK;
        }
    }
}
