/* SPDX-License-Identifier: Apache-2.0 */
/* From a request's line to who answers it. */
#include "serve/hub.h"

#include <string.h>

#include "base/error.h"
#include "serve/serve_parts.h"

kn_status kni_hub_init(kni_hub *hub, kn_error *err) {
    hub->trees = NULL;
    hub->lock = kni_lock_new(hub->alloc);
    if (!hub->lock || pthread_mutex_init(&hub->building, NULL)) {
        kni_lock_free(hub->lock);
        return kni_no_memory(err, "opening the folder");
    }
    return KN_OK;
}

void kni_hub_clear(kni_hub *hub) {
    while (hub->trees) {
        kni_commit_tree *gone = hub->trees;
        hub->trees = gone->next;
        kni_tree_drop(gone);
    }
    kni_lock_free(hub->lock);
    pthread_mutex_destroy(&hub->building);
}

static void route(kni_ask *ask, kni_reply *out) {
    kni_parts parts;
    kni_parts_of(ask->scratch, ask->path, &parts);
    if (kni_parts_is(&parts, 0, "api")) {
        kni_parts rest = kni_parts_after(&parts, 1);
        kni_answer_api(ask, &rest, out);
    } else if (parts.count > 5 && kni_parts_is(&parts, 0, "kernels") &&
               kni_parts_is(&parts, 3, "resolve")) {
        kni_parts rest = kni_parts_after(&parts, 1);
        kni_answer_resolve(ask, "kernels", &rest, out);
    } else if (parts.count > 4 && kni_parts_is(&parts, 2, "resolve")) {
        kni_answer_resolve(ask, "models", &parts, out);
    } else {
        kni_reply_text(ask, out, 404, "Not Found");
    }
}

void kni_hub_answer(kni_ask *ask, kni_reply *out) {
    size_t length = strcspn(ask->target, "?");
    ask->path = kni_scratch_copy(ask->scratch, ask->target, length);
    ask->query = ask->target[length] ? ask->target + length + 1 : "";
    if (strcmp(ask->method, "GET") != 0 && strcmp(ask->method, "HEAD") != 0) {
        kni_reply_text(ask, out, 405, "Method Not Allowed");
        kni_reply_add(out, "Allow", "GET, HEAD");
        return;
    }
    route(ask, out);
    if (ask->scratch->failed || out->text.failed) {
        kni_reply_clear(out);
        kni_reply_init(ask, out, 503);
        kni_reply_add(out, "Retry-After", "1");
    }
}
