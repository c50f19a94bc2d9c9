/* SPDX-License-Identifier: Apache-2.0 */
/* A cache of the repository "org/name" in a scratch folder, whose memory is counted, and pieces of
 * content for it. */
#ifndef TEST_CACHE_FIXTURE_H
#define TEST_CACHE_FIXTURE_H

#include "cache/cache.h"
#include "support/failing_alloc.h"
#include "support/scratch_folder.h"

#define COMMIT_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define COMMIT_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
/* Of "hello world\n": git's id and the SHA-256. */
#define HELLO "hello world\n"
#define HELLO_GIT "3b18e512dba79e4c8300dd08aeb37f8e728b8dad"
#define HELLO_SHA256 "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447"

typedef struct cache_fixture {
    scratch_folder scratch; /* "cache" and "user" are in it */
    failing_alloc memory;
    kni_cache cache;
} cache_fixture;

/* For cmocka: *state is a cache_fixture. The teardown asserts that no memory was leaked. */
int cache_fixture_setup(void **state);
int cache_fixture_teardown(void **state);

#define cache_test(test) \
    cmocka_unit_test_setup_teardown(test, cache_fixture_setup, cache_fixture_teardown)

/* A path in the scratch folder below "cache/kernels--org--name". */
const char *cache_file(const cache_fixture *fx, const char *relative);
/* Asserts that the file has this text; NULL: that there is nothing. */
void assert_file(const char *path, const char *text);

/* Opens, writes and finishes a blob. */
kn_status put_blob(const kni_cache *cache, const kni_content *content, const void *bytes,
                   size_t length, kn_error *err);
/* A blob of `text`, and a link to it in the snapshot; `oid` has room for its id. */
kni_content put_text(cache_fixture *fx, const char *commit, const char *path, const char *text,
                     char oid[65]);

/* For kni_cache_check: ctx counts the calls (size_t), or is NULL. */
kn_status give_digests(void *ctx, const kni_net **out, kn_error *err);

#endif
