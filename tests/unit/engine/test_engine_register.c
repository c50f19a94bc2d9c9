/* SPDX-License-Identifier: Apache-2.0 */
/* The global mapping of an engine. */
#include "support/engine_fixture.h"
#include "support/unit.h"

#define ALL {0, KN_CAPABILITY_MAX}

static const kn_repo *registered(engine_fixture *fx, const char *layer) {
    kn_mapping *mapping = kn_engine_mapping(fx->engine);
    kn_mode_repo found;
    kn_mapping_find(mapping, layer, KN_DEVICE_CPU, 0, KN_MODE_INFERENCE, &found);
    kn_mapping_release(mapping); /* the engine holds it, too */
    return found.repo;
}

static void test_an_engine_starts_with_an_empty_mapping(void **state) {
    engine_fixture *fx = *state;
    assert_null(registered(fx, "Norm"));
}

static void test_registering_adds_to_what_is_there(void **state) {
    engine_fixture *fx = *state;
    fake_repo *norm = map_fast(fx, "Norm", "A"), *act = map_fast(fx, "Act", "B");
    assert_ptr_equal(registered(fx, "Norm"), norm->handle);
    assert_ptr_equal(registered(fx, "Act"), act->handle);
    fake_repo *again = map_fast(fx, "Norm", "C");
    assert_ptr_equal(registered(fx, "Norm"), again->handle);
}

static void test_without_inherit_what_was_there_is_erased(void **state) {
    engine_fixture *fx = *state;
    map_fast(fx, "Norm", "A");
    fake_repo *act = fake_repo_new(fx->host, "B", NULL);
    const kn_mode_repo pair = {KN_MODE_FALLBACK, act->handle};
    const kn_mapping_entry entry = {"Act", KN_DEVICE_CPU, ALL, &pair, 1};
    assert_int_equal(kn_engine_register(fx->engine, &entry, 1, false, NULL), KN_OK);
    assert_null(registered(fx, "Norm"));
    assert_ptr_equal(registered(fx, "Act"), act->handle);
    assert_int_equal(kn_engine_register(fx->engine, NULL, 0, false, NULL), KN_OK);
    assert_null(registered(fx, "Act"));
}

static void test_registering_nothing_changes_nothing(void **state) {
    engine_fixture *fx = *state;
    fake_repo *norm = map_fast(fx, "Norm", "A");
    kn_mapping *before = kn_engine_mapping(fx->engine);
    assert_int_equal(kn_engine_register(fx->engine, NULL, 0, true, NULL), KN_OK);
    kn_mapping *after = kn_engine_mapping(fx->engine);
    assert_ptr_equal(before, after);
    kn_mapping_release(before);
    kn_mapping_release(after);
    assert_ptr_equal(registered(fx, "Norm"), norm->handle);
}

static void test_a_bad_entry_registers_none_of_them(void **state) {
    engine_fixture *fx = *state;
    fake_repo *norm = map_fast(fx, "Norm", "A");
    const kn_mode_repo good = {KN_MODE_FALLBACK, norm->handle}, bad = {0, norm->handle};
    const kn_mapping_entry entries[] = {{"Act", KN_DEVICE_CPU, ALL, &good, 1},
                                        {"Mlp", KN_DEVICE_CPU, ALL, &bad, 1}};
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_engine_register(fx->engine, entries, 2, false, &err), KN_ERR_VALUE);
    assert_contains(err.message, "mode 0 is none of");
    assert_ptr_equal(registered(fx, "Norm"), norm->handle);
    assert_null(registered(fx, "Act"));
}

static void test_a_snapshot_that_was_taken_does_not_change(void **state) {
    engine_fixture *fx = *state;
    map_fast(fx, "Norm", "A");
    kn_mapping *taken = kn_engine_mapping(fx->engine);
    map_fast(fx, "Act", "B");
    assert_int_equal(kn_engine_register(fx->engine, NULL, 0, false, NULL), KN_OK);
    kn_mode_repo found;
    assert_int_equal(kn_mapping_find(taken, "Norm", KN_DEVICE_CPU, 0, KN_MODE_INFERENCE, &found),
                     KN_MAPPING_FOUND);
    assert_int_equal(kn_mapping_find(taken, "Act", KN_DEVICE_CPU, 0, KN_MODE_INFERENCE, &found),
                     KN_MAPPING_NO_LAYER);
    kn_mapping_release(taken);
}

static void test_two_engines_share_nothing(void **state) {
    engine_fixture *fx = *state;
    map_fast(fx, "Norm", "A");
    const kn_engine_options options = {.size = sizeof options};
    kn_engine *other;
    assert_int_equal(kn_engine_new(&options, &other, NULL), KN_OK);
    kn_mapping *mapping = kn_engine_mapping(other);
    kn_mode_repo found;
    assert_int_equal(kn_mapping_find(mapping, "Norm", KN_DEVICE_CPU, 0, KN_MODE_INFERENCE, &found),
                     KN_MAPPING_NO_LAYER);
    kn_mapping_release(mapping);
    kn_engine_free(other, &fx->host->table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        engine_test(test_an_engine_starts_with_an_empty_mapping),
        engine_test(test_registering_adds_to_what_is_there),
        engine_test(test_without_inherit_what_was_there_is_erased),
        engine_test(test_registering_nothing_changes_nothing),
        engine_test(test_a_bad_entry_registers_none_of_them),
        engine_test(test_a_snapshot_that_was_taken_does_not_change),
        engine_test(test_two_engines_share_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
