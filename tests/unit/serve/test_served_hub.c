/* SPDX-License-Identifier: Apache-2.0 */
/* What a Hub answers about a folder, without a network. */
#define _XOPEN_SOURCE 700

#include "serve/hub.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

#define COMMIT "1111111111111111111111111111111111111111"
#define OTHER "2222222222222222222222222222222222222222"
#define HELLO_OID "ce013625030ba8dba906f756967f9e9ca394464a" /* of "hello\n" as git has it */
#define HELLO_SHA "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
#define CACHE "kernels--open--toy/"

static scratch_folder scratch;
static kni_hub hub;
static kni_scratch texts;
static kni_reply reply;

/* "hello\n" three times: in a plain repository, and as a small and a large file of a cache. */
static void write_folder(void) {
    scratch_file(&scratch, "kernels/plain/toy/repo.json",
                 "{\"branches\": {\"main\": \"" COMMIT "\"}, \"lfs\": [\"*.so\"]}");
    scratch_file(&scratch, "kernels/plain/toy/commits/" COMMIT "/build/a.py", "hello\n");
    scratch_file(&scratch, "kernels/plain/hidden/repo.json",
                 "{\"branches\": {\"main\": \"" COMMIT "\"}, \"private\": true}");
    scratch_file(&scratch, "kernels/plain/hidden/commits/" COMMIT "/a", "hello\n");
    scratch_file(&scratch, "organizations/plain.json", "{\"trustedKernelPublisher\": true}");
    scratch_file(&scratch, CACHE "refs/main", COMMIT);
    scratch_file(&scratch, CACHE "refs/v1", COMMIT);
    scratch_file(&scratch, CACHE "refs/v0.1.0", COMMIT "\n");
    scratch_file(&scratch, CACHE "refs/refs/pr/1", COMMIT);
    scratch_file(&scratch, CACHE "refs/feature/x", COMMIT);
    scratch_file(&scratch, CACHE "blobs/" HELLO_OID, "hello\n");
    scratch_file(&scratch, CACHE "blobs/" HELLO_SHA, "hello\n");
    scratch_link(&scratch, CACHE "snapshots/" COMMIT "/build/a.py", "../../../blobs/" HELLO_OID);
    scratch_link(&scratch, CACHE "snapshots/" COMMIT "/build/b.so", "../../../blobs/" HELLO_SHA);
    scratch_file(&scratch, CACHE "snapshots/" COMMIT "/copy", "hello\n");
}

static int set_up(void **state) {
    (void)state;
    scratch_folder_make(&scratch);
    write_folder();
    hub = (kni_hub){.alloc = kni_alloc_or_default(NULL), .trusted = "other,open"};
    hub.folder = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    kni_scratch_init(&texts, hub.alloc);
    reply = (kni_reply){.file = -1};
    return hub.folder < 0 || kni_hub_init(&hub, NULL);
}

static int tear_down(void **state) {
    (void)state;
    kni_reply_clear(&reply);
    kni_scratch_clear(&texts);
    kni_hub_clear(&hub);
    close(hub.folder);
    scratch_folder_remove(&scratch);
    return 0;
}

#define hub_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static kni_ask question(const char *target) {
    return (kni_ask){
        .hub = &hub,
        .scratch = &texts,
        .method = "GET",
        .target = target,
        .base = "http://hub",
        .page_size = 1000,
        .lfs_threshold = 10 << 20,
    };
}

static const char *header(const char *name) {
    const char *value = kni_reply_header(&reply, name);
    return value ? value : "";
}

/* Asks, and returns the body's text, or the file's. */
static const char *ask(kni_ask of, int status) {
    static char content[4096];
    kni_reply_clear(&reply);
    kni_hub_answer(&of, &reply);
    if (reply.status != status) fail_msg("%s: %d, not %d", of.target, reply.status, status);
    content[0] = '\0';
    if (reply.file >= 0) {
        ssize_t got = pread(reply.file, content, (size_t)reply.length, (off_t)reply.offset);
        assert_int_equal(got, reply.length);
        content[got] = '\0';
    } else if (reply.text.bytes) {
        snprintf(content, sizeof content, "%s", reply.text.bytes);
    }
    return content;
}

static const char *get(const char *target, int status) { return ask(question(target), status); }

static void test_both_forms_of_a_repository_are_served(void **state) {
    (void)state;
    assert_string_equal(get("/kernels/plain/toy/resolve/main/build/a.py", 200), "hello\n");
    assert_string_equal(header("ETag"), "\"" HELLO_OID "\"");
    assert_string_equal(header("X-Repo-Commit"), COMMIT);
    assert_string_equal(header("X-Linked-Etag"), "");
    assert_string_equal(get("/kernels/open/toy/resolve/v1/build/a.py", 200), "hello\n");
    assert_string_equal(header("ETag"), "\"" HELLO_OID "\"");
    assert_string_equal(get("/kernels/open/toy/resolve/main/build/b.so", 200), "hello\n");
    assert_string_equal(header("ETag"), "\"" HELLO_SHA "\"");
    assert_string_equal(header("X-Linked-Etag"), "\"" HELLO_SHA "\"");
    assert_string_equal(header("X-Linked-Size"), "6");
}

static void test_a_copy_in_a_cache_is_hashed(void **state) {
    (void)state;
    assert_string_equal(get("/kernels/open/toy/resolve/main/copy", 200), "hello\n");
    assert_string_equal(header("ETag"), "\"" HELLO_OID "\"");
}

static void test_the_refs_of_a_cache(void **state) {
    (void)state;
    const char *refs = get("/api/kernels/open/toy/refs?include_prs=1", 200);
    assert_contains(refs, "{\"tags\":[{\"name\":\"v0.1.0\",\"ref\":\"refs/tags/v0.1.0\","
                          "\"targetCommit\":\"" COMMIT "\"}],\"branches\":[");
    assert_contains(refs, "{\"name\":\"feature/x\",\"ref\":\"refs/heads/feature/x\",");
    assert_contains(refs, "{\"name\":\"main\",\"ref\":\"refs/heads/main\",");
    assert_contains(refs, "{\"name\":\"v1\",\"ref\":\"refs/heads/v1\",");
    assert_contains(refs,
                    "\"converts\":[],\"pullRequests\":[{\"name\":\"1\",\"ref\":\"refs/pr/1\",");
    static const char *const revisions[] = {
        "main", "v1", "v0.1.0", "feature%2Fx", "refs%2Fpr%2F1", "refs/heads/v1", "refs/tags/v0.1.0",
        COMMIT};
    for (size_t i = 0; i < sizeof revisions / sizeof *revisions; i++) {
        char target[256];
        snprintf(target, sizeof target, "/api/kernels/open/toy/revision/%s", revisions[i]);
        assert_contains(get(target, 200), "\"sha\":\"" COMMIT "\"");
    }
    get("/api/kernels/open/toy/revision/v2", 404);
    assert_string_equal(header("X-Error-Code"), "RevisionNotFound");
    get("/api/kernels/open/toy/revision/" OTHER, 404);
}

static void test_a_listing_tells_ids_and_sizes(void **state) {
    (void)state;
    const char *list = get("/api/kernels/open/toy/tree/main?recursive=true", 200);
    assert_contains(list, "{\"type\":\"directory\",\"oid\":");
    assert_contains(list, "{\"type\":\"file\",\"oid\":\"" HELLO_OID
                          "\",\"size\":6,\"path\":\"build/a.py\"}");
    assert_contains(list, "\"lfs\":{\"oid\":\"" HELLO_SHA "\",\"size\":6,\"pointerSize\":126}");
    assert_string_equal(header("Link"), "");
    kni_ask paged = question("/api/kernels/open/toy/tree/main/build");
    paged.page_size = 1;
    ask(paged, 200);
    assert_contains(header("Link"), "<http://hub/api/kernels/open/toy/tree/main/build?");
    get("/api/kernels/open/toy/tree/main/none", 404);
    assert_string_equal(header("X-Error-Code"), "EntryNotFound");
}

static void test_no_address_leads_out_of_the_folder(void **state) {
    (void)state;
    scratch_link(&scratch, CACHE "snapshots/" COMMIT "/out", "/etc/passwd");
    scratch_link(&scratch, CACHE "snapshots/" COMMIT "/far", "../../../../../../etc/passwd");
    scratch_link(&scratch, CACHE "refs/evil", "/etc/passwd");
    static const char *const entries[] = {
        "out",
        "far",
        "..%2f..%2frefs%2fmain",
        "%2e%2e/refs/main",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "a%00",
        "..\\..\\refs",
        "build/..%5ca",
        "build",
    };
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        char target[256];
        snprintf(target, sizeof target, "/kernels/open/toy/resolve/main/%s", entries[i]);
        get(target, 404);
        assert_string_equal(header("X-Error-Code"), "EntryNotFound");
    }
    static const char *const others[] = {
        "/kernels/../../resolve/main/a",
        "/kernels/%2e%2e/x/resolve/main/a",
        "/api/kernels/..%2fkernels/plain/refs",
        "/api/kernels/open--toy/x/refs",
        "/api/organizations/..%2fkernels/overview",
        "/kernels/open/toy/resolve/evil/build/a.py",
        "/kernels/open/toy/resolve/..%2f..%2frefs/a",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        kni_ask of = question(others[i]);
        kni_reply_clear(&reply);
        kni_hub_answer(&of, &reply);
        if (reply.status != 404 && reply.status != 401) fail_msg("%s: %d", others[i], reply.status);
    }
    assert_null(strstr(get("/api/kernels/open/toy/tree/main", 200), "\"far\""));
}

static void test_trust_is_said_where_the_operator_says_it(void **state) {
    (void)state;
    assert_contains(get("/api/organizations/open/overview", 200),
                    "\"trustedKernelPublisher\":true");
    assert_null(strstr(get("/api/organizations/plain/overview", 200), "trusted"));
    get("/api/organizations/nobody/overview", 404);
    hub.believes_folder = true;
    assert_contains(get("/api/organizations/plain/overview", 200),
                    "\"trustedKernelPublisher\":true");
}

static void test_a_token_is_asked_for(void **state) {
    (void)state;
    kni_ask of = question("/kernels/open/toy/resolve/main/build/a.py");
    of.require_token = true;
    assert_string_equal(ask(of, 401), "{\"error\":\"Invalid username or password.\"}");
    assert_contains(header("WWW-Authenticate"), "Bearer");
    of.token = "wrong";
    ask(of, 401);
    of.token_is_valid = true;
    ask(of, 200);
    static const char *const all[] = {"/api/organizations/open/overview", "/api/kernels/open/toy",
                                      "/api/kernels/open/toy/refs",
                                      "/api/kernels/open/toy/tree/main"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        of = question(all[i]);
        of.require_token = true;
        ask(of, 401);
    }
}

static void test_what_is_private_looks_like_what_is_missing(void **state) {
    (void)state;
    get("/kernels/plain/hidden/resolve/main/a", 401);
    get("/kernels/plain/nothing/resolve/main/a", 401);
}

static void test_files_that_change_are_seen(void **state) {
    (void)state;
    assert_string_equal(get("/kernels/plain/toy/resolve/main/build/a.py", 200), "hello\n");
    get("/kernels/plain/toy/resolve/main/build/new.py", 404);
    scratch_file(&scratch, "kernels/plain/toy/commits/" COMMIT "/build/new.py", "new");
    assert_string_equal(get("/kernels/plain/toy/resolve/main/build/new.py", 200), "new");
    assert_contains(get("/api/kernels/plain/toy/tree/main/build", 200), "build/new.py");
    scratch_file(&scratch, "kernels/plain/toy/commits/" COMMIT "/build/a.py", "other text");
    assert_string_equal(get("/kernels/plain/toy/resolve/main/build/a.py", 200), "other text");
    assert_true(strcmp(header("ETag"), "\"" HELLO_OID "\"") != 0);
    unlink(scratch_path(&scratch, "kernels/plain/toy/commits/" COMMIT "/build/a.py"));
    get("/kernels/plain/toy/resolve/main/build/a.py", 404);
    scratch_file(&scratch, CACHE "refs/later", COMMIT);
    get("/kernels/open/toy/resolve/later/copy", 200);
}

static void test_only_reading_is_allowed(void **state) {
    (void)state;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        kni_ask of = question("/kernels/open/toy/resolve/main/build/a.py");
        of.method = methods[i];
        ask(of, 405);
        assert_string_equal(header("Allow"), "GET, HEAD");
    }
}

static void test_a_message_is_one_line(void **state) {
    (void)state;
    get("/api/kernels/open/toy/revision/a%0d%0aX-Evil:%201", 404);
    assert_null(strchr(header("X-Error-Message"), '\n'));
    assert_null(strchr(header("X-Error-Message"), '\r'));
    get("/api/kernels/open/toy/tree/main/a%0d%0aX", 404);
    assert_null(strchr(header("X-Error-Message"), '\r'));
}

/* Each allocation fails once: the answer is 503 or the right one, and nothing is lost. */
static void test_without_memory_it_is_unavailable(void **state) {
    (void)state;
    static const char *const targets[] = {
        "/kernels/open/toy/resolve/main/copy", "/api/kernels/open/toy/tree/main?recursive=true",
        "/api/kernels/plain/toy/refs", "/api/organizations/open/overview",
        "/api/kernels/open/toy/refs?include_prs=1"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        bool failed = true;
        for (size_t at = 0; failed; at++) {
            failing_alloc failing;
            failing_alloc_init(&failing, SIZE_MAX);
            kni_hub own = {.alloc = &failing.alloc, .folder = hub.folder, .trusted = "open"};
            kni_scratch own_texts;
            kni_reply answer;
            assert_int_equal(kni_hub_init(&own, NULL), KN_OK);
            failing.fail_at = failing.requests + at;
            kni_scratch_init(&own_texts, &failing.alloc);
            kni_ask of = question(targets[i]);
            of.hub = &own;
            of.scratch = &own_texts;
            kni_hub_answer(&of, &answer);
            failed = failing.failed;
            if (answer.status != (failed ? 503 : 200) && answer.status != 500)
                fail_msg("%s: %d without allocation %zu", targets[i], answer.status, at);
            kni_reply_clear(&answer);
            kni_scratch_clear(&own_texts);
            kni_hub_clear(&own);
            assert_int_equal(failing.live, 0);
        }
    }
}

static void *ask_again_and_again(void *ctx) {
    (void)ctx;
    for (int i = 0; i < 50; i++) {
        kni_scratch own;
        kni_reply answer;
        kni_scratch_init(&own, hub.alloc);
        kni_ask of = question(i % 2 ? "/kernels/open/toy/resolve/main/copy"
                                    : "/api/kernels/open/toy/tree/main?recursive=true");
        of.scratch = &own;
        kni_hub_answer(&of, &answer);
        if (answer.status != 200) return (void *)"another answer";
        kni_reply_clear(&answer);
        kni_scratch_clear(&own);
    }
    return NULL;
}

static void test_threads_share_it(void **state) {
    (void)state;
    pthread_t threads[4];
    void *problem;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_again_and_again, NULL), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], &problem);
        assert_null(problem);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        hub_test(test_both_forms_of_a_repository_are_served),
        hub_test(test_a_copy_in_a_cache_is_hashed),
        hub_test(test_the_refs_of_a_cache),
        hub_test(test_a_listing_tells_ids_and_sizes),
        hub_test(test_no_address_leads_out_of_the_folder),
        hub_test(test_trust_is_said_where_the_operator_says_it),
        hub_test(test_a_token_is_asked_for),
        hub_test(test_what_is_private_looks_like_what_is_missing),
        hub_test(test_files_that_change_are_seen),
        hub_test(test_only_reading_is_allowed),
        hub_test(test_a_message_is_one_line),
        hub_test(test_without_memory_it_is_unavailable),
        hub_test(test_threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
