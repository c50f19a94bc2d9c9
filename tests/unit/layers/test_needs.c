/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/needs.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "support/fake_host.h"
#include "support/unit.h"

#define ALL {0, KN_CAPABILITY_MAX}

static fake_host *host;
static kn_mapping *mapping;

static void put(const char *layer, kn_device_type device, kn_capability_range range,
                const kn_mode *modes, const char *const *ids, size_t count) {
    kn_mode_repo repos[4];
    kn_error err = KN_ERROR_INIT;
    kn_mapping *before = mapping;
    for (size_t i = 0; i < count; i++)
        repos[i] = (kn_mode_repo){modes[i], fake_repo_new(host, ids[i], NULL)->handle};
    const kn_mapping_entry entry = {layer, device, range, repos, count};
    assert_int_equal(kn_mapping_extend(NULL, before, &entry, 1, &mapping, &err), KN_OK);
    kn_mapping_release(before);
}

static void put_one(const char *layer, kn_device_type device, kn_capability_range range,
                    const char *id) {
    const kn_mode mode = KN_MODE_FALLBACK;
    put(layer, device, range, &mode, &id, 1);
}

static int set_up(void **state) {
    (void)state;
    host = fake_host_new();
    mapping = NULL;
    return 0;
}

static int clear(void **state) {
    (void)state;
    kn_mapping_release(mapping);
    fake_host_free(host);
    return 0;
}

typedef struct visited {
    char text[512];
    size_t fail_at; /* from 1; 0: never */
    size_t count;
} visited;

static kn_status note(void *ctx, kn_repo *repo, kn_device_type device, kn_error *err) {
    visited *v = ctx;
    if (++v->count == v->fail_at) return kni_fail(err, KN_ERR_VALUE, "no more");
    size_t length = strlen(v->text);
    snprintf(v->text + length, sizeof v->text - length, "%s:%s ",
             ((fake_repo *)kn_repo_object(repo))->info.id, kn_device_type_name(device));
    return KN_OK;
}

static const char *needs(const kni_needs_device *devices, size_t count, bool all_modes) {
    static visited v;
    kn_error err = KN_ERROR_INIT;
    v = (visited){0};
    assert_int_equal(kni_mapping_needs(mapping, devices, count, all_modes, note, &v, &err), KN_OK);
    return v.text;
}

static const kni_needs_device cpu[] = {{KN_DEVICE_CPU, KN_CAPABILITY_UNKNOWN}};

static void test_only_devices_of_the_machine_count(void **state) {
    (void)state;
    put_one("A", KN_DEVICE_CPU, (kn_capability_range)ALL, "cpu");
    put_one("A", KN_DEVICE_CUDA, (kn_capability_range)ALL, "cuda");
    assert_string_equal(needs(cpu, 1, true), "cpu:cpu ");
    const kni_needs_device both[] = {cpu[0], {KN_DEVICE_CUDA, 90}};
    assert_string_equal(needs(both, 2, true), "cpu:cpu cuda:cuda ");
}

static void test_only_the_range_that_is_chosen_counts(void **state) {
    (void)state;
    put_one("A", KN_DEVICE_CUDA, (kn_capability_range)ALL, "any");
    put_one("A", KN_DEVICE_CUDA, (kn_capability_range){90, 100}, "new");
    const kni_needs_device hopper[] = {{KN_DEVICE_CUDA, 90}}, ampere[] = {{KN_DEVICE_CUDA, 80}};
    assert_string_equal(needs(hopper, 1, false), "new:cuda ");
    assert_string_equal(needs(ampere, 1, false), "any:cuda ");
}

static void test_all_ranges_count_where_the_capability_is_unknown(void **state) {
    (void)state;
    put_one("A", KN_DEVICE_CUDA, (kn_capability_range)ALL, "any");
    put_one("A", KN_DEVICE_CUDA, (kn_capability_range){90, 100}, "new");
    const kni_needs_device unknown[] = {{KN_DEVICE_CUDA, KN_CAPABILITY_UNKNOWN}};
    assert_string_equal(needs(unknown, 1, false), "any:cuda new:cuda ");
}

static void test_inference_takes_one_mode_and_all_modes_takes_each(void **state) {
    (void)state;
    const kn_mode modes[] = {KN_MODE_FALLBACK, KN_MODE_TRAINING, KN_MODE_INFERENCE};
    const char *const ids[] = {"fallback", "training", "inference"};
    put("A", KN_DEVICE_CPU, (kn_capability_range)ALL, modes, ids, 3);
    assert_string_equal(needs(cpu, 1, false), "inference:cpu ");
    assert_string_equal(needs(cpu, 1, true), "fallback:cpu training:cpu inference:cpu ");
}

static void test_inference_takes_a_training_kernel_before_the_fallback(void **state) {
    (void)state;
    const kn_mode modes[] = {KN_MODE_FALLBACK, KN_MODE_TRAINING};
    const char *const ids[] = {"fallback", "training"};
    put("A", KN_DEVICE_CPU, (kn_capability_range)ALL, modes, ids, 2);
    assert_string_equal(needs(cpu, 1, false), "training:cpu ");
}

static void test_a_failure_ends_it(void **state) {
    (void)state;
    put_one("A", KN_DEVICE_CPU, (kn_capability_range)ALL, "a");
    put_one("B", KN_DEVICE_CPU, (kn_capability_range)ALL, "b");
    visited v = {.fail_at = 1};
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_mapping_needs(mapping, cpu, 1, false, note, &v, &err), KN_ERR_VALUE);
    assert_int_equal(v.count, 1);
    assert_string_equal(err.message, "no more");
}

#define needs_test(test) cmocka_unit_test_setup_teardown(test, set_up, clear)

int main(void) {
    const struct CMUnitTest tests[] = {
        needs_test(test_only_devices_of_the_machine_count),
        needs_test(test_only_the_range_that_is_chosen_counts),
        needs_test(test_all_ranges_count_where_the_capability_is_unknown),
        needs_test(test_inference_takes_one_mode_and_all_modes_takes_each),
        needs_test(test_inference_takes_a_training_kernel_before_the_fallback),
        needs_test(test_a_failure_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
