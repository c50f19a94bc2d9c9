/* SPDX-License-Identifier: Apache-2.0 */
#include "support/scripted_hub.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "support/plain_digest.h"
#include "support/unit.h"

#define TEXT_MAX 4096

void scripted_hub_init(scripted_hub *hub) {
    *hub = (scripted_hub){.fail_at = SIZE_MAX, .fails = 1};
}

static char *copy(const char *text) {
    size_t size = strlen(text) + 1;
    char *made = malloc(size);
    assert_non_null(made);
    memcpy(made, text, size);
    return made;
}

void scripted_hub_clear(scripted_hub *hub) {
    assert_int_equal(hub->waiting_count, 0);
    for (size_t i = 0; i < hub->count; i++) {
        free(hub->answers[i].url);
        free(hub->answers[i].body);
    }
    hub->count = 0;
}

void scripted_hub_set(scripted_hub *hub, const char *path, const char *body) {
    char url[TEXT_MAX];
    snprintf(url, sizeof url, SCRIPTED_ENDPOINT "%s", path);
    scripted_hub_set_url(hub, url, body);
}

void scripted_hub_move(scripted_hub *hub, const char *endpoint) {
    for (size_t i = 0; i < hub->count; i++) {
        char url[TEXT_MAX], *old = hub->answers[i].url;
        if (strncmp(old, SCRIPTED_ENDPOINT, strlen(SCRIPTED_ENDPOINT)) != 0) continue;
        snprintf(url, sizeof url, "%s%s", endpoint, old + strlen(SCRIPTED_ENDPOINT));
        hub->answers[i].url = copy(url);
        free(old);
    }
}

const char *scripted_hub_get(const scripted_hub *hub, const char *url) {
    for (size_t i = 0; i < hub->count; i++) {
        if (strcmp(hub->answers[i].url, url) == 0) return hub->answers[i].body;
    }
    fail_msg("nothing is at '%s'", url);
    return NULL;
}

void scripted_hub_set_url(scripted_hub *hub, const char *url, const char *body) {
    size_t at = 0;
    while (at < hub->count && strcmp(hub->answers[at].url, url) != 0) at++;
    assert_true(at < sizeof hub->answers / sizeof *hub->answers);
    if (at == hub->count) {
        hub->answers[hub->count++] = (scripted_answer){.url = copy(url), .status = 200};
    } else {
        free(hub->answers[at].body);
    }
    hub->answers[at].body = copy(body);
    hub->answers[at].length = strlen(body);
}

void scripted_hub_publisher(scripted_hub *hub, const char *name, bool trusted) {
    char path[TEXT_MAX];
    snprintf(path, sizeof path, "/api/organizations/%s/overview", name);
    scripted_hub_set(hub, path,
                     trusted ? "{\"trustedKernelPublisher\": true}"
                             : "{\"trustedKernelPublisher\": false}");
}

static const scripted_answer *find(const scripted_hub *hub, const char *url) {
    for (size_t i = 0; i < hub->count; i++) {
        if (strcmp(hub->answers[i].url, url) == 0) return &hub->answers[i];
    }
    return NULL;
}

/* Sets a file of the commit and appends its entry to the listing. */
static void add_file(scripted_hub *hub, const char *repo_id, bool is_model, const char *file,
                     const char *content, char *listing) {
    char path[TEXT_MAX], commit[65], oid[65];
    scripted_hub_commit(repo_id, commit);
    snprintf(path, sizeof path, "%s/%s/resolve/%s/%s", is_model ? "" : "/kernels", repo_id, commit,
             file);
    scripted_hub_set(hub, path, content);
    plain_git_oid(content, strlen(content), oid);
    size_t used = strlen(listing);
    snprintf(listing + used, TEXT_MAX - used,
             "%s{\"type\": \"file\", \"path\": \"%s\", \"oid\": \"%s\", \"size\": %zu}",
             used > 1 ? ", " : "", file, oid, strlen(content));
}

void scripted_hub_commit(const char *repo_id, char commit[65]) {
    plain_git_oid(repo_id, strlen(repo_id), commit);
}

static void add_repository(scripted_hub *hub, const char *repo_id, bool is_model,
                           const char *depends, const char *benchmark) {
    const char *type = is_model ? "models" : "kernels";
    char commit[65], text[TEXT_MAX], path[TEXT_MAX], listing[TEXT_MAX] = "[";
    scripted_hub_commit(repo_id, commit);
    snprintf(text, sizeof text,
             "{\"branches\": [{\"name\": \"main\", \"ref\": \"refs/heads/main\", \"targetCommit\": "
             "\"%s\"}, {\"name\": \"v1\", \"ref\": \"refs/heads/v1\", \"targetCommit\": \"%s\"}], "
             "\"tags\": [], \"converts\": []}",
             commit, commit);
    snprintf(path, sizeof path, "/api/%s/%s/refs", type, repo_id);
    scripted_hub_set(hub, path, text);
    snprintf(
        text, sizeof text,
        "{\"id\": \"_%s\", \"name\": \"%s\", \"version\": 1, \"backend\": {\"type\": \"cpu\"}, "
        "\"kernel-depends\": %s}",
        strrchr(repo_id, '/') + 1, strrchr(repo_id, '/') + 1, depends);
    add_file(hub, repo_id, is_model, "build/torch-cpu/metadata.json", text, listing);
    snprintf(text, sizeof text, "NAME = '%s'\n", repo_id);
    add_file(hub, repo_id, is_model, "build/torch-cpu/__init__.py", text, listing);
    snprintf(text, sizeof text, "OTHER = '%s'\n", repo_id);
    add_file(hub, repo_id, is_model, "build/torch-cpu/other.py", text, listing);
    if (benchmark) add_file(hub, repo_id, is_model, "benchmarks/benchmark.py", benchmark, listing);
    size_t used = strlen(listing);
    snprintf(listing + used, sizeof listing - used, "]");
    snprintf(path, sizeof path, "/api/%s/%s/tree/%s?recursive=true&expand=false", type, repo_id,
             commit);
    scripted_hub_set(hub, path, listing);
}

void scripted_hub_kernel(scripted_hub *hub, const char *repo_id, const char *depends) {
    add_repository(hub, repo_id, false, depends, NULL);
}

void scripted_hub_benchmark(scripted_hub *hub, const char *repo_id, const char *benchmark) {
    add_repository(hub, repo_id, false, "[]", benchmark);
}

void scripted_hub_model(scripted_hub *hub, const char *repo_id) {
    add_repository(hub, repo_id, true, "[]", NULL);
}

void scripted_hub_add_build(scripted_hub *hub, const char *repo_id, const char *variant) {
    char commit[65], path[TEXT_MAX], text[2 * TEXT_MAX], listing[TEXT_MAX], name[256];
    scripted_hub_commit(repo_id, commit);
    snprintf(path, sizeof path, "/api/kernels/%s/tree/%s?recursive=true&expand=false", repo_id,
             commit);
    snprintf(text, sizeof text, SCRIPTED_ENDPOINT "%s", path);
    const scripted_answer *before = find(hub, text);
    assert_non_null(before);
    snprintf(listing, sizeof listing, "%.*s", (int)before->length - 1, before->body);
    snprintf(text, sizeof text, "VARIANT = '%s'\n", variant);
    snprintf(name, sizeof name, "build/%s/__init__.py", variant);
    add_file(hub, repo_id, false, name, text, listing);
    snprintf(
        text, sizeof text,
        "{\"id\": \"_%s\", \"name\": \"%s\", \"version\": 1, \"backend\": {\"type\": \"cpu\"}}",
        variant, strrchr(repo_id, '/') + 1);
    snprintf(name, sizeof name, "build/%s/metadata.json", variant);
    add_file(hub, repo_id, false, name, text, listing);
    size_t used = strlen(listing);
    snprintf(listing + used, sizeof listing - used, "]");
    scripted_hub_set(hub, path, listing);
}

/* ---- the transport ---- */

static kn_status start(void *ctx, const kn_http_request *request, kn_error *err) {
    scripted_hub *hub = ctx;
    (void)err;
    assert_true(hub->waiting_count < sizeof hub->waiting / sizeof *hub->waiting);
    hub->waiting[hub->waiting_count++] = *request;
    return KN_OK;
}

static void stop(void *ctx, void *token) {
    scripted_hub *hub = ctx;
    for (size_t i = 0; i < hub->waiting_count; i++) {
        if (hub->waiting[i].token != token) continue;
        hub->waiting[i] = hub->waiting[--hub->waiting_count];
        return;
    }
}

static void finish(const kn_http_request *request, kn_http_failure failure, int status) {
    const kn_http_result result = {.size = sizeof result,
                                   .failure = failure,
                                   .status = status,
                                   .message = failure ? "as scripted" : ""};
    request->on_done(request->token, &result);
}

/* Head and body; `length` of it arrive. */
static void reply(const kn_http_request *request, int status, const char *body, size_t length,
                  bool whole) {
    const kn_http_header headers[] = {{"content-type", "application/octet-stream"},
                                      {"x-error-code", "RepoNotFound"}};
    bool go_on = request->on_head(request->token, status, headers, status == 404 ? 2 : 1);
    if (go_on && length) go_on = request->on_body(request->token, body, length);
    if (!go_on)
        finish(request, KN_HTTP_STOPPED, status);
    else
        finish(request, whole ? KN_HTTP_DONE : KN_HTTP_BROKEN, status);
}

static void break_off(const kn_http_request *request, const scripted_answer *answer,
                      scripted_fault fault) {
    switch (fault) {
    case SCRIPTED_CONNECT: /* it does not come to an answer */
        break;
    case SCRIPTED_BROKEN:
        reply(request, answer->status, answer->body, answer->length / 2, false);
        break;
    case SCRIPTED_STATUS:
        reply(request, 500, "{}", 2, true);
        break;
    case SCRIPTED_GARBAGE:
        reply(request, 200, "<html></html>", 13, true);
        break;
    }
}

static kn_status poll(void *ctx, int timeout_ms, kn_error *err) {
    scripted_hub *hub = ctx;
    (void)timeout_ms;
    if (++hub->polls == hub->poll_fails)
        return kni_fail(err, KN_ERR_NETWORK, "polling failed, as scripted");
    while (hub->waiting_count) {
        const kn_http_request first = hub->waiting[0], *request = &first;
        memmove(hub->waiting, hub->waiting + 1, --hub->waiting_count * sizeof *hub->waiting);
        const scripted_answer *answer = find(hub, request->url);
        bool fails = hub->requests >= hub->fail_at && hub->requests - hub->fail_at < hub->fails;
        hub->requests++;
        if (fails && hub->fault == SCRIPTED_CONNECT)
            finish(request, KN_HTTP_CONNECT, 0);
        else if (!answer)
            reply(request, 404, "{}", 2, true);
        else if (fails)
            break_off(request, answer, hub->fault);
        else
            reply(request, answer->status, answer->body, answer->length, true);
    }
    return KN_OK;
}

static void free_transport(void *ctx) { ((scripted_hub *)ctx)->freed++; }

kn_status scripted_transport_new(void *ctx, kn_transport *out, kn_error *err) {
    (void)err;
    ((scripted_hub *)ctx)->opened++;
    *out = (kn_transport){.size = sizeof *out,
                          .ctx = ctx,
                          .start = start,
                          .poll = poll,
                          .stop = stop,
                          .free = free_transport};
    return KN_OK;
}
