/* SPDX-License-Identifier: Apache-2.0 */
/* Files: /resolve/, the addresses that it redirects to, and ranges. */
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "testhub.h"

static const char secret[] = "not much of a secret";

/* A file that is to be sent. */
typedef struct served {
    const snapshot *tree;
    const entry *file;
    const char *etag; /* without quotes */
} served;

/* A range of bytes; `count` 0: none was asked for. */
typedef struct byte_range {
    bool asked, wrong;
    uint64_t first, count;
} byte_range;

static bool read_digits(const char **text, uint64_t *number) {
    char *end;
    if (**text < '0' || **text > '9') return false;
    *number = strtoull(*text, &end, 10);
    *text = end;
    return true;
}

/* "bytes=0-9", "bytes=10-", "bytes=-5"; others, with several parts among them, ask for the whole.
 */
static byte_range range_parse(const char *text, uint64_t size) {
    byte_range range = {0};
    uint64_t first = 0, last = 0;

    if (!text || strncmp(text, "bytes=", 6) != 0) return range;
    text += 6;
    bool has_first = read_digits(&text, &first);
    if (*text++ != '-') return range;
    bool has_last = read_digits(&text, &last);
    if (*text || (!has_first && !has_last)) return range;

    range.asked = true;
    if (!has_first) {
        first = last < size ? size - last : 0;
        range.wrong = last == 0 || size == 0;
        last = size - 1;
    } else {
        if (!has_last || last >= size) last = size - 1;
        range.wrong = first >= size || last < first;
    }
    range.first = first;
    range.count = range.wrong ? 0 : last - first + 1;
    return range;
}

static const char *header_of(const exchange *request, const char *name) {
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static byte_range range_of(const exchange *request, const served *what) {
    const char *condition = header_of(request, MHD_HTTP_HEADER_IF_RANGE);
    byte_range whole = {0};

    if (fault_is(request, "ignore-range")) return whole;
    if (condition) {
        char *etag = text_format("\"%s\"", what->etag);
        bool same = strcmp(condition, etag) == 0;
        free(etag);
        if (!same) return whole;
    }
    return range_parse(header_of(request, MHD_HTTP_HEADER_RANGE), what->file->size);
}

static const char *content_type(const char *path) {
    const char *dot = strrchr(path, '.');
    if (dot && strcmp(dot, ".json") == 0) return "application/json";
    if (dot && (strcmp(dot, ".py") == 0 || strcmp(dot, ".md") == 0 || strcmp(dot, ".toml") == 0)) {
        return "text/plain; charset=utf-8";
    }
    return "application/octet-stream";
}

static void add_content_range(const exchange *request, const byte_range *range, uint64_t size,
                              reply *out) {
    uint64_t first = range->first;
    const char *other = json_text(request->fault, "value");

    if (fault_is(request, "content-range")) {
        first++;
        if (other) {
            reply_header(out, MHD_HTTP_HEADER_CONTENT_RANGE, "%s", other);
            return;
        }
    }
    reply_header(out, MHD_HTTP_HEADER_CONTENT_RANGE, "bytes %llu-%llu/%llu",
                 (unsigned long long)first, (unsigned long long)(first + range->count - 1),
                 (unsigned long long)size);
}

static void send_file(const exchange *request, const served *what, reply *out) {
    byte_range range = range_of(request, what);
    char *on_disk = text_format("%s/%s", what->tree->folder, what->file->path);
    uint64_t size = what->file->size;

    if (range.wrong) {
        reply_text(out, 416, "Range Not Satisfiable");
        reply_header(out, MHD_HTTP_HEADER_CONTENT_RANGE, "bytes */%llu", (unsigned long long)size);
    } else {
        reply_init(out, range.asked ? 206 : 200);
        out->file = open(on_disk, O_RDONLY | O_CLOEXEC);
        out->offset = range.asked ? range.first : 0;
        out->length = range.asked ? range.count : size;
        reply_header(out, MHD_HTTP_HEADER_CONTENT_TYPE, "%s", content_type(what->file->path));
        if (range.asked) add_content_range(request, &range, size, out);
        if (out->file < 0) reply_error(out, 500, NULL, "the file is gone from the test's folder");
    }
    free(on_disk);
    reply_header(out, MHD_HTTP_HEADER_ETAG, "\"%s\"", what->etag);
    reply_header(out, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
    reply_header(out, MHD_HTTP_HEADER_CONTENT_DISPOSITION, "inline; filename=\"%s\";",
                 strchr(what->file->name, '"') ? "file" : what->file->name);
}

static void add_hub_headers(const served *what, const char *commit, reply *out) {
    reply_header(out, "X-Repo-Commit", "%s", commit);
    reply_header(out, "X-Linked-Size", "%llu", (unsigned long long)what->file->size);
    reply_header(out, "X-Linked-Etag", "\"%s\"", what->etag);
}

static void answer_no_entry(const char *commit, reply *out) {
    reply_text(out, 404, "Entry not found");
    reply_header(out, "X-Error-Code", "EntryNotFound");
    reply_header(out, "X-Error-Message", "Entry not found");
    reply_header(out, "X-Repo-Commit", "%s", commit);
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
static void redirect_large(testhub *hub, const exchange *request, const repository *repo,
                           const served *what, const char *commit, reply *out) {
    char signature[65];
    char *file = text_escape(what->file->path, false);
    char *path =
        text_format("/repos/%s/%s/%s/%s", repo->type, repo->id, commit, what->file->sha256);
    long long expires = (long long)time(NULL) + request->set.sign_seconds;

    sign(path, expires, signature);
    reply_text(out, 302, "Found. Redirecting");
    reply_header(out, MHD_HTTP_HEADER_LOCATION,
                 "http://127.0.0.2:%d%s?response-content-disposition=inline%%3B+filename%%3D%s&"
                 "Expires=%lld&Signature=%s&Key-Pair-Id=TESTHUB",
                 hub->listeners[ORIGIN_CDN].port, path, file, expires, signature);
    add_hub_headers(what, commit, out);
    reply_header(out, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
    free(path);
    free(file);
}

static void redirect_small(const exchange *request, const repository *repo, const served *what,
                           const char *commit, reply *out) {
    char *file = text_escape(what->file->path, true);
    char *asked = text_escape(request->path, false);
    char *location = text_format("/api/resolve-cache/%s/%s/%s/%s?%s=&etag=%%22%s%%22", repo->type,
                                 repo->id, commit, file, asked, what->etag);
    char *text = text_format("Temporary Redirect. Redirecting to %s", location);

    reply_text(out, 307, text);
    reply_header(out, MHD_HTTP_HEADER_LOCATION, "%s", location);
    add_hub_headers(what, commit, out);
    reply_header(out, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
    free(text);
    free(location);
    free(asked);
    free(file);
}

static bool find_file(testhub *hub, const exchange *request, const repository *repo,
                      const char *commit, char **parts, size_t count, served *what) {
    char *path = path_from(parts, count);
    *what = (served){.tree = store_snapshot(hub, repo, commit, request->set.lfs_threshold)};
    if (path && what->tree) what->file = store_find(what->tree, path);
    free(path);
    if (!what->file || what->file->directory) return false;
    what->etag = what->file->lfs ? what->file->sha256 : what->file->oid;
    return true;
}

/* `parts`: <org>/<name>/resolve/<revision>/<path>. */
void files_resolve(testhub *hub, exchange *request, const char *type, char **parts, size_t count,
                   reply *out) {
    repository repo;
    served what;
    size_t used;
    char *revision = revision_from(parts + 3, count - 3, &used);

    store_open(&repo, hub->root, type, parts[0], parts[1]);
    char *commit = repo.about && revision ? store_resolve(&repo, revision) : NULL;
    if (access_refused(hub, request, &repo, true, out)) {
        /* answered */
    } else if (!commit) {
        char *message = text_format("Invalid rev id: %s", revision ? revision : "");
        reply_text(out, 404, message);
        reply_header(out, "X-Error-Code", "RevisionNotFound");
        reply_header(out, "X-Error-Message", "%s", message);
        free(message);
    } else if (!find_file(hub, request, &repo, commit, parts + 3 + used, count - 3 - used, &what)) {
        answer_no_entry(commit, out);
    } else if (what.file->lfs && request->set.redirect_large) {
        redirect_large(hub, request, &repo, &what, commit, out);
    } else if (!what.file->lfs && request->set.redirect_small) {
        redirect_small(request, &repo, &what, commit, out);
    } else {
        send_file(request, &what, out);
        if (what.file->lfs) {
            add_hub_headers(&what, commit, out);
        } else {
            reply_header(out, "X-Repo-Commit", "%s", commit);
        }
    }
    free(commit);
    free(revision);
    store_close(&repo);
}

/* `parts`: <type>s/<org>/<name>/<commit>/<path>. */
void files_resolve_cache(testhub *hub, exchange *request, char **parts, size_t count, reply *out) {
    repository repo;
    served what;

    if (count < 5) {
        reply_error(out, 404, NULL, "Not found");
        return;
    }
    store_open(&repo, hub->root, parts[0], parts[1], parts[2]);
    if (access_refused(hub, request, &repo, true, out)) {
        /* answered */
    } else if (!find_file(hub, request, &repo, parts[3], parts + 4, count - 4, &what)) {
        answer_no_entry(parts[3], out);
    } else {
        send_file(request, &what, out);
        reply_header(out, "X-Repo-Commit", "%s", parts[3]);
    }
    store_close(&repo);
}

static bool is_signed(const exchange *request) {
    char *expires = query_get(request->query, "Expires");
    char *signature = query_get(request->query, "Signature");
    char right[65];
    bool good = false;

    if (expires && signature) {
        long long until = strtoll(expires, NULL, 10);
        sign(request->path, until, right);
        good = strcmp(signature, right) == 0 && until >= (long long)time(NULL);
    }
    free(expires);
    free(signature);
    return good;
}

static const entry *find_digest(const snapshot *tree, const char *sha256) {
    for (size_t at = 0; tree && at < tree->count; at++) {
        const entry *file = &tree->entries[at];
        if (file->lfs && strcmp(file->sha256, sha256) == 0) return file;
    }
    return NULL;
}

/* `parts`: repos/<type>s/<org>/<name>/<commit>/<sha256>. */
void files_cdn(testhub *hub, exchange *request, char **parts, size_t count, reply *out) {
    repository repo;
    served what = {0};

    if (header_of(request, MHD_HTTP_HEADER_AUTHORIZATION)) {
        reply_text(out, 400, "Only one auth mechanism is allowed: the signature or Authorization");
        return;
    }
    if (count != 6 || !is_signed(request)) {
        reply_text(out, 403, "Access denied");
        return;
    }
    store_open(&repo, hub->root, parts[1], parts[2], parts[3]);
    if (repo.about) what.tree = store_snapshot(hub, &repo, parts[4], request->set.lfs_threshold);
    what.file = find_digest(what.tree, parts[5]);
    if (what.file) {
        char *etag = text_format("%.32s", what.file->sha256);
        what.etag = etag;
        send_file(request, &what, out);
        free(etag);
    } else {
        reply_text(out, 404, "No such object");
    }
    store_close(&repo);
}
