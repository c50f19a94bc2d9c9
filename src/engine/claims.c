/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that several models share: one object, so one forward at a time. Each model that was
 * kernelized holds a claim; as long as all claims agree the forward is in place. */
#include <string.h>

#include "base/error.h"
#include "engine/state.h"

/* Under the lock: whether a claim is one of another root that wants `function` differently. */
static bool is_opponent(const kn_engine *engine, const kni_claim *claim, const void *function,
                        const void *root, const void *forward) {
    return claim->function == function && claim->root != root &&
           !kni_engine_is_same_forward(engine, claim->forward, forward);
}

/* Under the lock: a copy of the name of another root that wants `function` differently. False:
 * there is none; *name NULL with true: no memory. */
static bool copy_opponent(const kn_engine *engine, const void *function, const void *root,
                          const void *forward, char **name) {
    for (size_t i = 0; i < engine->claim_count; i++) {
        const kni_claim *c = &engine->claims[i];
        if (!is_opponent(engine, c, function, root, forward)) continue;
        *name = kni_text_copy(engine->alloc, c->root_name);
        return true;
    }
    return false;
}

kn_status kni_claims_find_conflict(kn_engine *engine, const void *function, const void *root,
                                   const void *forward, char **other, kn_error *err) {
    *other = NULL;
    kni_lock_take(engine->lock);
    bool found = copy_opponent(engine, function, root, forward, other);
    kni_lock_drop(engine->lock);
    return found && !*other ? kni_no_memory(err, "settling a shared function") : KN_OK;
}

bool kni_claims_doubt(kn_engine *engine, const void *function, const void *root,
                      const void *forward) {
    bool doubted = false;
    kni_lock_take(engine->lock);
    for (size_t i = 0; i < engine->claim_count; i++) {
        kni_claim *c = &engine->claims[i];
        if (c->is_seen_alive || !is_opponent(engine, c, function, root, forward)) continue;
        doubted = c->is_seen_alive = true;
    }
    kni_lock_drop(engine->lock);
    return doubted;
}

kn_status kni_claims_find_dispute(kn_engine *engine, const void *function, const void *root,
                                  char **other, kn_error *err) {
    *other = NULL;
    const kni_claim *own = NULL;
    kni_lock_take(engine->lock);
    for (size_t i = 0; i < engine->claim_count && !own; i++) {
        if (engine->claims[i].function == function && engine->claims[i].root == root)
            own = &engine->claims[i];
    }
    bool found = own && copy_opponent(engine, function, root, own->forward, other);
    kni_lock_drop(engine->lock);
    return found && !*other ? kni_no_memory(err, "explaining a shared function") : KN_OK;
}

char *kni_claims_dispute_text(const kn_alloc *alloc, const char *function, const char *other,
                              const char *root) {
    kni_text text;
    kni_text_init(&text, alloc);
    kni_text_addf(
        &text,
        "function `%s` is shared by %s and %s, which want it differently: it runs its original forward for "
        "both",
        function, other, root);
    return kni_text_take(&text);
}

kn_status kni_claims_reserve(kn_engine *engine, size_t count, kn_error *err) {
    kni_lock_take(engine->lock);
    bool ok = kni_reserve(engine->alloc, &engine->claims, &engine->claim_capacity,
                          engine->claim_count + count, sizeof *engine->claims);
    kni_lock_drop(engine->lock);
    return ok ? KN_OK : kni_no_memory(err, "claiming a shared function");
}

void kni_claim_clear(const kn_alloc *alloc, const kn_host *host, kni_claim *claim) {
    kni_free(alloc, claim->root_name);
    if (claim->forward) host->release(claim->forward);
    if (claim->function) host->release(claim->function);
    *claim = (kni_claim){0};
}

void kni_claims_set(kn_engine *engine, const kn_host *host, kni_claim *claim) {
    kni_lock_take(engine->lock);
    size_t at = 0;
    while (at < engine->claim_count && (engine->claims[at].function != claim->function ||
                                        engine->claims[at].root != claim->root)) {
        at++;
    }
    kni_claim replaced = {0};
    if (at < engine->claim_count) {
        replaced = engine->claims[at];
        claim->is_seen_alive = replaced.is_seen_alive;
        engine->claims[at] = *claim;
    } else if (kni_reserve(engine->alloc, &engine->claims, &engine->claim_capacity, at + 1,
                           sizeof *engine->claims)) {
        engine->claims[engine->claim_count++] = *claim;
    } else {
        replaced = *claim;
    }
    kni_lock_drop(engine->lock);
    *claim = (kni_claim){0};
    kni_claim_clear(engine->alloc, host, &replaced);
}

void *kni_claims_effective(kn_engine *engine, const kn_host *host, const void *function) {
    void *forward = NULL;
    bool any = false, agree = true;
    kni_lock_take(engine->lock);
    for (size_t i = 0; i < engine->claim_count; i++) {
        const kni_claim *c = &engine->claims[i];
        if (c->function != function) continue;
        if (!any)
            forward = c->forward;
        else if (!kni_engine_is_same_forward(engine, c->forward, forward))
            agree = false;
        any = true;
    }
    if (!agree) forward = NULL;
    if (forward) host->retain(forward);
    kni_lock_drop(engine->lock);
    return forward;
}

bool kni_claims_take_one(kn_engine *engine, const void *root, kni_claim *out) {
    bool found = false;
    kni_lock_take(engine->lock);
    for (size_t i = 0; i < engine->claim_count && !found; i++) {
        if (engine->claims[i].root != root) continue;
        found = true;
        *out = engine->claims[i];
        engine->claims[i] = engine->claims[--engine->claim_count];
    }
    kni_lock_drop(engine->lock);
    return found;
}

kn_status kni_claims_take(kn_engine *engine, const void *root, kni_claim **taken, size_t *count,
                          kn_error *err) {
    size_t capacity = 0, kept = 0;
    *taken = NULL;
    *count = 0;
    kn_status status = KN_OK;
    kni_lock_take(engine->lock);
    for (size_t i = 0; i < engine->claim_count; i++) *count += engine->claims[i].root == root;
    if (*count && !kni_reserve(engine->alloc, taken, &capacity, *count, sizeof **taken)) {
        *count = 0;
        status = kni_no_memory(err, "releasing a shared function");
    }
    if (!status) {
        size_t moved = 0;
        for (size_t i = 0; i < engine->claim_count; i++) {
            if (engine->claims[i].root == root)
                (*taken)[moved++] = engine->claims[i];
            else
                engine->claims[kept++] = engine->claims[i];
        }
        engine->claim_count = kept;
    }
    kni_lock_drop(engine->lock);
    return status;
}
