/* SPDX-License-Identifier: Apache-2.0 */
/* The served Hub's answers, with the public Hub's redirects to where content lies, and with faults.
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "testhub.h"

static const char secret[] = "not much of a secret";

static const char *header_of(const exchange *request, const char *name) {
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static kni_ask ask_of(testhub *hub, const exchange *request, const char *method, const char *target,
                      kni_scratch *scratch) {
    return (kni_ask){
        .hub = &hub->served,
        .scratch = scratch,
        .method = method,
        .target = target,
        .path = request->path,
        .query = request->query,
        .base = request->base,
        .token = request->token,
        .token_is_valid = request->token && token_is_valid(hub, request->token),
        .require_token = request->set.require_token,
        .range = fault_is(request, "ignore-range") ? NULL : header_of(request, "Range"),
        .if_range = header_of(request, "If-Range"),
        .page_size = request->set.page_size,
        .lfs_threshold = request->set.lfs_threshold,
    };
}

/* Takes over what was answered. */
static void reply_take(kni_reply *from, reply *out) {
    reply_init(out, from->status);
    for (size_t at = 0; at < from->header_count; at++)
        reply_header(out, from->headers[at].name, "%s", from->headers[at].value);
    out->text = text_copy(from->text.bytes ? from->text.bytes : "");
    out->text_length = from->text.length;
    out->length = from->file < 0 ? from->text.length : (uint64_t)from->length;
    out->offset = (uint64_t)from->offset;
    out->file = from->file;
    from->file = -1;
    kni_reply_clear(from);
}

/* ---- redirects ---- */

static void add_found(const kni_found *found, reply *out) {
    reply_header(out, "X-Repo-Commit", "%s", found->commit);
    reply_header(out, "X-Linked-Size", "%lld", (long long)found->size);
    reply_header(out, "X-Linked-Etag", "\"%s\"", found->etag);
    reply_header(out, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
}

static void sign(const char *path, long long expires, char *hex) {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned count = 0;
    char *text = text_format("%s %lld %s", path, expires, secret);
    EVP_Digest(text, strlen(text), bytes, &count, EVP_sha256(), NULL);
    hex_encode(bytes, count, hex);
    free(text);
}

/* Elsewhere, as the public Hub's content network: only a signature counts there. */
static void redirect_large(const testhub *hub, const kni_ask *ask, const exchange *request,
                           const kni_found *found, reply *out) {
    char signature[65];
    const char *file = kni_escape(ask->scratch, found->path, false);
    const char *path = kni_scratch_format(ask->scratch, "/repos/%s/%s/%s/%s", found->type,
                                          found->id, found->commit, found->etag);
    long long expires = (long long)time(NULL) + request->set.sign_seconds;

    sign(path, expires, signature);
    reply_text(out, 302, "Found. Redirecting");
    reply_header(out, MHD_HTTP_HEADER_LOCATION,
                 "http://127.0.0.2:%d%s?response-content-disposition=inline%%3B+filename%%3D%s&"
                 "Expires=%lld&Signature=%s&Key-Pair-Id=TESTHUB",
                 hub->listeners[ORIGIN_CDN].port, path, file, expires, signature);
    add_found(found, out);
}

static void redirect_small(const kni_ask *ask, const kni_found *found, reply *out) {
    const char *location = kni_scratch_format(
        ask->scratch, "/api/resolve-cache/%s/%s/%s/%s?%s=&etag=%%22%s%%22", found->type, found->id,
        found->commit, kni_escape(ask->scratch, found->path, true),
        kni_escape(ask->scratch, ask->path, false), found->etag);
    reply_text(out, 307,
               kni_scratch_format(ask->scratch, "Temporary Redirect. Redirecting to %s", location));
    reply_header(out, MHD_HTTP_HEADER_LOCATION, "%s", location);
    add_found(found, out);
}

/* ---- faults in listings ---- */

static int64_t number_in_query(const kni_ask *ask, const char *name, int64_t otherwise) {
    const char *text = kni_query_get(ask->scratch, ask->query, name);
    const char *colon = text ? strrchr(text, ':') : NULL;
    return text ? strtoll(colon ? colon + 1 : text, NULL, 10) : otherwise;
}

static json_t *invented_entry(int64_t number) {
    char *path = text_format("build/torch-universal/made_up_%lld.py", (long long)number);
    char *oid = text_format("%040llx", (long long)number);
    json_t *out =
        json_pack("{s:s, s:s, s:i, s:s}", "type", "file", "oid", oid, "size", 1, "path", path);
    free(oid);
    free(path);
    return out;
}

/* A page of a listing of as many entries as the fault says. */
static void invent_listing(const kni_ask *ask, const exchange *request, reply *out) {
    int64_t count = json_number(request->fault, "count", 0), size = request->set.page_size;
    int64_t first = number_in_query(ask, "cursor", 0), limit = number_in_query(ask, "limit", size);
    json_t *list = json_array();

    if (limit > 0 && limit < size) size = limit;
    long long next = first + size;
    for (int64_t at = first; at < next && at < count; at++)
        json_array_append_new(list, invented_entry(at));
    reply_json(out, 200, list);
    if (next < count)
        reply_header(out, MHD_HTTP_HEADER_LINK,
                     "<%s%s?expand=false&recursive=true&limit=%lld&cursor=Zg%%3D%%3D%%3A%lld>; "
                     "rel=\"next\"",
                     request->base, request->path, (long long)size, next);
}

/* Puts the bytes of a listing fault before the bracket that closes the list. */
static void add_hostile(const exchange *request, reply *out) {
    const char *hex = json_text(request->fault, "append_hex");
    size_t length = 0;
    char *more = hex ? hex_decode(hex, &length) : NULL;

    if (!more) return;
    if (json_flag(request->fault, "replace")) out->text_length = 2;
    bool alone = out->text_length == 2;
    char *text = must(malloc(out->text_length + length + 2));
    size_t at = alone ? 1 : out->text_length - 1;
    memcpy(text, out->text, at);
    if (!alone) text[at++] = ',';
    memcpy(text + at, more, length);
    text[at + length] = ']';
    free(more);
    free(out->text);
    out->text = text;
    out->text_length = out->length = at + length + 1;
}

static void move_range(const exchange *request, kni_reply *answer, kni_scratch *scratch) {
    const char *other = json_text(request->fault, "value");
    for (size_t at = 0; at < answer->header_count; at++) {
        kni_header *header = &answer->headers[at];
        if (strcmp(header->name, "Content-Range") != 0 || answer->status != 206) continue;
        const char *slash = strchr(header->value, '/');
        header->value =
            other ? other
                  : kni_scratch_format(scratch, "bytes %lld-%lld%s", (long long)answer->offset + 1,
                                       (long long)(answer->offset + answer->length), slash);
    }
}

/* ---- the two origins ---- */

/* /api/resolve-cache/<type>s/<org>/<name>/<commit>/<path> as an address of /resolve/; NULL: it is
 * another one. */
static const char *cached_target(kni_scratch *scratch, const exchange *request) {
    static const char prefix[] = "/api/resolve-cache/";
    if (strncmp(request->path, prefix, sizeof prefix - 1) != 0) return NULL;
    const char *type = request->path + sizeof prefix - 1, *organization = strchr(type, '/');
    const char *name = organization ? strchr(organization + 1, '/') : NULL;
    const char *commit = name ? strchr(name + 1, '/') : NULL;
    if (!commit) return NULL;
    return kni_scratch_format(scratch, "%s%.*s/resolve%s",
                              strncmp(type, "kernels/", 8) == 0 ? "/kernels" : "",
                              (int)(commit - organization), organization, commit);
}

void answer_hub(testhub *hub, exchange *request, const char *method, reply *out) {
    kni_scratch scratch;
    kni_reply answer;
    kni_scratch_init(&scratch, hub->served.alloc);
    const char *cached = cached_target(&scratch, request);
    const char *target = cached ? cached : text_format("%s?%s", request->path, request->query);
    kni_ask ask = ask_of(hub, request, method, target, &scratch);

    kni_hub_answer(&ask, &answer);
    const kni_found found = answer.found;
    if (fault_is(request, "content-range")) move_range(request, &answer, &scratch);
    if (found.path && !cached && found.lfs && request->set.redirect_large) {
        kni_reply_clear(&answer);
        redirect_large(hub, &ask, request, &found, out);
    } else if (found.path && !cached && !found.lfs && request->set.redirect_small) {
        kni_reply_clear(&answer);
        redirect_small(&ask, &found, out);
    } else {
        bool listed = answer.status == 200 && strstr(request->path, "/tree/");
        reply_take(&answer, out);
        if (listed && fault_is(request, "entries")) invent_listing(&ask, request, out);
        if (listed && fault_is(request, "listing")) add_hostile(request, out);
    }
    if (!cached) free((char *)(uintptr_t)target);
    kni_scratch_clear(&scratch);
}

static bool is_signed(const kni_ask *ask) {
    const char *expires = kni_query_get(ask->scratch, ask->query, "Expires");
    const char *signature = kni_query_get(ask->scratch, ask->query, "Signature");
    char right[65];

    if (!expires || !signature) return false;
    long long until = strtoll(expires, NULL, 10);
    sign(ask->path, until, right);
    return strcmp(signature, right) == 0 && until >= (long long)time(NULL);
}

static const char *path_of_digest(const kni_commit_tree *tree, const char *sha256) {
    for (size_t at = 0; tree && at < tree->count; at++) {
        const kni_commit_file *file = &tree->files[at];
        if (file->lfs && strcmp(file->sha256, sha256) == 0) return file->path;
    }
    return NULL;
}

/* `parts`: repos/<type>s/<org>/<name>/<commit>/<sha256>. */
static void send_content(kni_ask *ask, const kni_parts *parts, kni_reply *answer) {
    kni_shelf shelf;
    const kni_commit_file *what = NULL;
    kni_commit_tree *opened = NULL;
    int file = -1;

    kni_shelf_open(ask, parts->items[1], parts->items[2], parts->items[3], &shelf);
    kni_commit_tree *tree =
        shelf.exists ? kni_tree_get(ask, &shelf, parts->items[4], answer) : NULL;
    const char *path = path_of_digest(tree, parts->items[5]);
    if (path) file = kni_tree_open(ask, &shelf, parts->items[4], path, &opened, &what, answer);
    if (file >= 0)
        kni_answer_file(ask, what, file, kni_scratch_copy(ask->scratch, what->sha256, 32), answer);
    else
        kni_reply_text(ask, answer, 404, "No such object");
    kni_tree_drop(opened);
    kni_tree_drop(tree);
    kni_shelf_close(&shelf);
}

void answer_cdn(testhub *hub, exchange *request, const char *method, reply *out) {
    kni_scratch scratch;
    kni_reply answer;
    kni_parts parts;
    kni_scratch_init(&scratch, hub->served.alloc);
    kni_ask ask = ask_of(hub, request, method, request->path, &scratch);
    kni_parts_of(&scratch, ask.path, &parts);

    if (header_of(request, MHD_HTTP_HEADER_AUTHORIZATION)) {
        kni_reply_text(&ask, &answer, 400,
                       "Only one auth mechanism is allowed: the signature or Authorization");
    } else if (parts.count != 6 || !is_signed(&ask)) {
        kni_reply_text(&ask, &answer, 403, "Access denied");
    } else {
        send_content(&ask, &parts, &answer);
    }
    if (fault_is(request, "content-range")) move_range(request, &answer, &scratch);
    reply_take(&answer, out);
    kni_scratch_clear(&scratch);
}
