/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that depend on kernels: order, cycles, and what follows from one that failed. */
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"

static kn_status fail_dependent(kni_want *w, const kni_want *cause, kn_error *err) {
    kni_text text;
    kni_text_init(&text, w->alloc);
    kni_text_addf(&text, "%s depends on '%s': %s", w->display, cause->id, cause->err.message);
    char *message = kni_text_take(&text);
    if (!message) return kni_no_memory(err, "finding a kernel");
    kni_fail(&w->err, cause->status, "%s", message);
    kni_free(w->alloc, message);
    w->step = KNI_WANT_FAILED;
    w->status = cause->status;
    w->is_absent = cause->is_absent;
    w->kernel = NULL;
    return KN_OK;
}

/* Whether everything that `w` depends on is settled; then what follows is in `w`. */
static kn_status settle(const kni_batch *batch, kni_want *w, const bool *settled, bool *ready,
                        kn_error *err) {
    *ready = false;
    for (size_t i = 0; i < w->depend_count; i++) {
        if (!settled[w->depends[i]]) return KN_OK;
    }
    *ready = true;
    for (size_t i = 0; i < w->depend_count && w->step == KNI_WANT_DONE; i++) {
        const kni_want *on = batch->wants[w->depends[i]];
        if (on->step == KNI_WANT_FAILED) return fail_dependent(w, on, err);
        if (on->valid_until_s < w->valid_until_s) w->valid_until_s = on->valid_until_s;
    }
    return KN_OK;
}

/* The first of what `w` depends on that is not settled. */
static size_t unsettled_depend(const kni_want *w, const bool *settled) {
    size_t i = 0;
    while (i + 1 < w->depend_count && settled[w->depends[i]]) i++;
    return w->depends[i];
}

/* From a want that depends on itself, or on one that does: the way round, as text. */
static char *cycle_text(const kni_batch *batch, size_t start, const bool *settled) {
    size_t at = start;
    for (size_t i = 0; i < batch->count; i++) at = unsettled_depend(batch->wants[at], settled);
    kni_text text; /* now `at` is on the cycle */
    kni_text_init(&text, batch->alloc);
    size_t first = at;
    do {
        if (text.length < KN_ERROR_TEXT_MAX / 2)
            kni_text_addf(&text, "%s -> ", batch->wants[at]->id);
        at = unsettled_depend(batch->wants[at], settled);
    } while (at != first);
    kni_text_add(&text, batch->wants[first]->id);
    return kni_text_take(&text);
}

static kn_status fail_cycles(const kni_batch *batch, const bool *settled, kn_error *err) {
    for (size_t i = 0; i < batch->count; i++) {
        kni_want *w = batch->wants[i];
        if (settled[i]) continue;
        char *cycle = cycle_text(batch, i, settled);
        if (!cycle) return kni_no_memory(err, "finding a kernel");
        w->status = kni_fail(&w->err, KN_ERR_VALUE, "Cyclic kernel dependency detected: %s", cycle);
        w->step = KNI_WANT_FAILED;
        w->kernel = NULL;
        kni_free(batch->alloc, cycle);
    }
    return KN_OK;
}

kn_status kni_batch_link(kni_batch *batch, kn_error *err) {
    bool *settled = kni_new(batch->alloc, batch->count + 1);
    if (!settled) return kni_no_memory(err, "finding a kernel");
    kn_status status = KN_OK;
    for (bool moved = true; moved && !status;) {
        moved = false;
        for (size_t i = 0; i < batch->count && !status; i++) {
            bool ready = false;
            if (!settled[i]) status = settle(batch, batch->wants[i], settled, &ready, err);
            if (ready) settled[i] = moved = true;
        }
    }
    if (!status) status = fail_cycles(batch, settled, err);
    kni_free(batch->alloc, settled);
    return status;
}
