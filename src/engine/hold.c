/* SPDX-License-Identifier: Apache-2.0 */
/* One process at a time resolves and fetches a repository; the others wait and then find it in the
 * cache. Locks are taken in the order of their paths and all given up before more are taken, so
 * that no two processes wait for each other. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "os/clock.h"

#define WAIT_MS 20
#define HASTE_MS 5000 /* how long those wait for a sign of life who have something cached */

bool kni_want_may_work(kni_want *w) {
    if (!w->is_locked) w->needs_lock = true;
    return w->is_locked;
}

static int compare_held(const void *a, const void *b) {
    return strcmp(((const struct kni_held *)a)->path, ((const struct kni_held *)b)->path);
}

static kn_status note_repository(kni_batch *batch, const kni_want *w, kn_error *err) {
    /* Whichever type it turns out to be, this is the lock. */
    char *path = w->caches[KNI_REPO_KERNEL].locks;
    for (size_t i = 0; i < batch->held_count; i++) {
        if (strcmp(batch->held[i].path, path) == 0) return KN_OK;
    }
    char *copy = kni_text_copy(batch->alloc, path);
    if (!copy || !kni_reserve(batch->alloc, &batch->held, &batch->held_capacity,
                              batch->held_count + 1, sizeof *batch->held)) {
        kni_free(batch->alloc, copy);
        return kni_no_memory(err, "locking the cache");
    }
    batch->held[batch->held_count++] = (struct kni_held){copy, {-1}};
    return KN_OK;
}

void kni_batch_release_locks(kni_batch *batch) {
    for (size_t i = 0; i < batch->held_count; i++) {
        kni_cache_lock_drop(&batch->held[i].lock);
        kni_free(batch->alloc, batch->held[i].path);
    }
    batch->held_count = 0;
}

/* Waits while another process holds it and shows that it lives; *waited then. A cache in which
 * there can be no locks is used without. */
static kn_status take(kni_batch *batch, const kni_want *w, struct kni_held *held, bool hasty,
                      bool *waited, kn_error *err) {
    const kni_cache *cache = &w->caches[KNI_REPO_KERNEL];
    int64_t since = kni_clock_ms(), seen = 0, limit = batch->settings.timeout_ms;
    if (hasty && limit > HASTE_MS) limit = HASTE_MS;
    for (;;) {
        bool taken;
        kn_error cause;
        kn_error_init(&cause);
        kn_status status =
            kni_cache_lock_try(cache, KNI_REPOSITORY_LOCK, &held->lock, &taken, &cause);
        if (status == KN_ERR_OS) return KN_OK;
        if (status) return kni_fail(err, status, "%s", cause.message);
        if (taken) return KN_OK;
        *waited = true;
        if (kni_batch_is_cancelled(batch)) return kni_fail(err, KN_ERR_CANCELLED, "stopped");
        int64_t life = kni_cache_lock_life(cache, KNI_REPOSITORY_LOCK);
        if (life != seen) since = kni_clock_ms();
        seen = life;
        if (kni_clock_ms() - since > limit) {
            return kni_fail(
                err, KN_ERR_TIMEOUT,
                "another process is at work on '%s' in the cache and makes no progress; "
                "end it, or wait longer with KERNELS_TIMEOUT=SECONDS",
                w->id);
        }
        kni_sleep_ms(WAIT_MS);
    }
}

static bool waits_for(const kni_want *w, const char *path) {
    return w->needs_lock && strcmp(w->caches[KNI_REPO_KERNEL].locks, path) == 0;
}

/* One of the wants that need the lock at `path`; *hasty: all have something cached. */
static const kni_want *find_want(const kni_batch *batch, const char *path, bool *hasty) {
    const kni_want *found = NULL;
    *hasty = true;
    for (size_t i = 0; i < batch->count; i++) {
        const kni_want *w = batch->wants[i];
        if (!waits_for(w, path)) continue;
        found = w;
        if (!w->has_cached || w->patient) *hasty = false;
    }
    return found;
}

/* Without the lock at `path` nothing is asked: what is cached serves. */
static kn_status do_without(kni_batch *batch, const char *path, bool hasty, kn_status cause,
                            const kn_error *why, kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < batch->count && !status; i++) {
        kni_want *w = batch->wants[i];
        if (!waits_for(w, path)) continue;
        w->needs_lock = false;
        kni_fail(&w->err, cause, "%s", why->message);
        status = cause == KN_ERR_TIMEOUT ? kni_want_go_offline(w, cause, hasty, err)
                                         : kni_want_fail_online(batch, w, cause, err);
    }
    return status;
}

/* Lets those begin again that need a lock: with it, or first without. */
static void restart(kni_batch *batch, bool locked) {
    for (size_t i = 0; i < batch->count; i++) {
        kni_want *w = batch->wants[i];
        if (!w->needs_lock) continue;
        kni_want_restart(w);
        w->needs_lock = false;
        w->is_locked = locked;
    }
}

kn_status kni_batch_hold(kni_batch *batch, kn_error *err) {
    kni_batch_release_locks(batch);
    kn_status status = KN_OK;
    bool waited = false;
    for (size_t i = 0; i < batch->count && !status; i++) {
        batch->wants[i]->is_locked = false;
        if (batch->wants[i]->needs_lock) status = note_repository(batch, batch->wants[i], err);
    }
    if (!status && batch->held_count)
        qsort(batch->held, batch->held_count, sizeof *batch->held, compare_held);
    for (size_t i = 0; i < batch->held_count && !status && (!waited || batch->has_looked); i++) {
        bool hasty;
        const kni_want *w = find_want(batch, batch->held[i].path, &hasty);
        kn_error cause;
        kn_error_init(&cause);
        kn_status one = take(batch, w, &batch->held[i], hasty, &waited, &cause);
        if (one) status = do_without(batch, batch->held[i].path, hasty, one, &cause, err);
    }
    if (status) return status;
    /* Who had to wait looks for what the other has done without keeping those from it who wait,
     * too: they all go on at once. */
    batch->has_looked = waited && !batch->has_looked;
    if (batch->has_looked) kni_batch_release_locks(batch);
    restart(batch, !batch->has_looked);
    return status;
}

void kni_batch_show_life(kni_batch *batch) {
    for (size_t i = 0; i < batch->held_count; i++) kni_cache_lock_touch(&batch->held[i].lock);
}
