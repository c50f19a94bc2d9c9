/* SPDX-License-Identifier: Apache-2.0 */
/* Transfers from a mirror in a directory: what a web server would answer, without one. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "os/store.h"

typedef struct reading {
    kni_batch *batch;
    kni_transfer *transfer;
    kni_text body;
    kn_status status;
} reading;

static bool take(void *ctx, const void *bytes, size_t length) {
    reading *r = ctx;
    kni_transfer *t = r->transfer;
    if (t->sink) {
        r->status = t->sink->write(t->sink->ctx, bytes, length, &t->err);
        r->batch->pulled += (int64_t)length;
        return !r->status;
    }
    kni_text_add_n(&r->body, bytes, length);
    return !r->body.failed && r->body.length <= t->limit;
}

static kn_status finish(reading *r, kn_status read, const char *path, const kn_error *cause) {
    kni_transfer *t = r->transfer;
    if (r->status) return r->status;
    if (r->body.failed) return kni_no_memory(&t->err, "reading a mirror");
    if (r->body.length > t->limit)
        return kni_fail(&t->err, KN_ERR_NETWORK,
                        "%s: '%s' has more than the %zu bytes allowed here", t->what, path,
                        t->limit);
    if (read) return kni_fail(&t->err, KN_ERR_NETWORK, "%s: %s", t->what, cause->message);
    if (t->sink) return KN_OK;
    kni_text_add_n(&r->body, "", 0);
    t->body_length = r->body.length;
    t->body = kni_text_take(&r->body);
    return t->body ? KN_OK : kni_no_memory(&t->err, "reading a mirror");
}

static kn_status read_file(reading *r, const char *path) {
    kni_transfer *t = r->transfer;
    kni_file_facts facts;
    kn_error cause;
    kn_error_init(&cause);
    int root = kni_folder_open("/", false);
    kni_file_look(root, path + 1, &facts);
    kn_status status = KN_OK;
    if (!facts.there) {
        t->http_status = 404;
        status = kni_fail(&t->err, KN_ERR_NOT_FOUND, "%s: there is no '%s'", t->what, path);
    } else if (t->sink) {
        status = t->sink->restart(t->sink->ctx, &t->err);
    }
    if (!status) {
        kn_status read = kni_file_each(r->batch->alloc, root, path + 1, take, r, &facts, &cause);
        if (read == KN_ERR_NOMEM)
            status = kni_no_memory(&t->err, "reading a mirror");
        else
            status = finish(r, read, path, &cause);
    }
    kni_folder_close(root);
    return status;
}

void kni_directory_transfer(kni_batch *batch, kni_transfer *transfer) {
    reading r = {.batch = batch, .transfer = transfer};
    kni_transfer_clear(transfer, batch->alloc);
    kni_text_init(&r.body, batch->alloc);
    const char *path = transfer->url + strlen(KNI_DIRECTORY_URL);
    if (kni_path_stays_inside(path + 1))
        transfer->status = read_file(&r, path);
    else
        transfer->status = kni_fail(&transfer->err, KN_ERR_NOT_FOUND,
                                    "%s: '%s' is no path of a mirror", transfer->what, path);
    kni_text_clear(&r.body);
}
