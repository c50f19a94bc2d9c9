/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/mapping.h>

#include "support/failing_alloc.h"
#include "support/fake_host.h"
#include "support/unit.h"

#define ALL {0, KN_CAPABILITY_MAX}
#define COUNT(array) (sizeof(array) / sizeof *(array))

static fake_host *host;
static fake_repo *a, *b, *c;

static int make_repos(void **state) {
    (void)state;
    host = fake_host_new();
    a = fake_repo_new(host, "org/a", NULL);
    b = fake_repo_new(host, "org/b", NULL);
    c = fake_repo_new(host, "org/c", NULL);
    return 0;
}

static int free_repos(void **state) {
    (void)state;
    fake_host_free(host);
    return 0;
}

/* `base` with the entries; the reference to `base` is taken over. */
static kn_mapping *extended(kn_mapping *base, const kn_mapping_entry *entries, size_t count) {
    kn_mapping *made = NULL;
    kn_error err = KN_ERROR_INIT;
    if (kn_mapping_extend(NULL, base, entries, count, &made, &err)) fail_msg("%s", err.message);
    kn_mapping_release(base);
    return made;
}

static kn_mapping *with_range(kn_mapping *base, kn_device_type device, int64_t min, int64_t max,
                              const fake_repo *repo) {
    const kn_mode_repo modes = {KN_MODE_FALLBACK, repo->handle};
    const kn_mapping_entry entry = {"Norm", device, {min, max}, &modes, 1};
    return extended(base, &entry, 1);
}

static void assert_finds(const kn_mapping *mapping, kn_device_type device, int64_t capability,
                         const fake_repo *expected) {
    kn_mode_repo found;
    kn_mapping_answer answer =
        kn_mapping_find(mapping, "Norm", device, capability, KN_MODE_INFERENCE, &found);
    assert_int_equal(answer, KN_MAPPING_FOUND);
    assert_ptr_equal(found.repo, expected->handle);
    assert_int_equal(found.mode, KN_MODE_FALLBACK);
}

static void assert_answer(const kn_mapping *mapping, const char *layer, kn_device_type device,
                          int64_t capability, kn_mapping_answer expected) {
    kn_mode_repo found = {1, a->handle};
    assert_int_equal(kn_mapping_find(mapping, layer, device, capability, KN_MODE_INFERENCE, &found),
                     expected);
    assert_null(found.repo);
    assert_int_equal(found.mode, 0);
}

static void test_an_empty_mapping_has_no_layer(void **state) {
    (void)state;
    kn_mapping *mapping = extended(NULL, NULL, 0);
    assert_answer(mapping, "Norm", KN_DEVICE_CPU, KN_CAPABILITY_UNKNOWN, KN_MAPPING_NO_LAYER);
    assert_false(kn_mapping_has_ranges(mapping, "Norm", KN_DEVICE_CUDA));
    kn_mapping_release(mapping);
    kn_mapping_release(NULL);
}

static void test_each_kind_of_nothing_has_its_answer(void **state) {
    (void)state;
    const kn_mode_repo training = {KN_MODE_TRAINING, a->handle};
    const kn_mode_repo compiled = {KN_MODE_TRAINING | KN_MODE_TORCH_COMPILE, a->handle};
    const kn_mapping_entry entries[] = {
        {"Norm", KN_DEVICE_CUDA, {80, 89}, &training, 1},
        {"Act", KN_DEVICE_CPU, ALL, NULL, 0},
        {"Mlp", KN_DEVICE_CPU, ALL, &compiled, 1},
    };
    kn_mapping *mapping = extended(NULL, entries, 3);
    assert_answer(mapping, "norm", KN_DEVICE_CUDA, 80, KN_MAPPING_NO_LAYER);
    assert_answer(mapping, "Norm", KN_DEVICE_CPU, 80, KN_MAPPING_NO_DEVICE);
    assert_answer(mapping, "Norm", KN_DEVICE_OTHER, 80, KN_MAPPING_NO_DEVICE);
    assert_answer(mapping, "Norm", KN_DEVICE_CUDA, 90, KN_MAPPING_NO_PROPERTIES);
    assert_answer(mapping, "Norm", KN_DEVICE_CUDA, 79, KN_MAPPING_NO_PROPERTIES);
    assert_answer(mapping, "Act", KN_DEVICE_CPU, 0, KN_MAPPING_NO_MODE);
    kn_mode_repo found;
    assert_int_equal(kn_mapping_find(mapping, "Mlp", KN_DEVICE_CPU, 0, KN_MODE_TRAINING, &found),
                     KN_MAPPING_FOUND);
    assert_int_equal(found.mode, KN_MODE_TRAINING | KN_MODE_TORCH_COMPILE);
    assert_int_equal(kn_mapping_find(mapping, "Norm", KN_DEVICE_CUDA, 85,
                                     KN_MODE_INFERENCE | KN_MODE_TORCH_COMPILE, &found),
                     KN_MAPPING_NO_MODE);
    assert_null(found.repo);
    kn_mapping_release(mapping);
}

static void test_an_unknown_capability_has_no_properties_even_where_all_are_covered(void **state) {
    (void)state;
    kn_mapping *mapping = with_range(NULL, KN_DEVICE_CUDA, 0, KN_CAPABILITY_MAX, a);
    assert_finds(mapping, KN_DEVICE_CUDA, 0, a);
    assert_finds(mapping, KN_DEVICE_CUDA, 90, a);
    assert_finds(mapping, KN_DEVICE_CUDA, KN_CAPABILITY_MAX, a);
    assert_answer(mapping, "Norm", KN_DEVICE_CUDA, KN_CAPABILITY_UNKNOWN, KN_MAPPING_NO_PROPERTIES);
    kn_mapping_release(mapping);
}

static void test_the_capability_is_ignored_where_devices_have_none(void **state) {
    (void)state;
    kn_mapping *mapping = with_range(NULL, KN_DEVICE_CPU, 0, KN_CAPABILITY_MAX, a);
    assert_finds(mapping, KN_DEVICE_CPU, KN_CAPABILITY_UNKNOWN, a);
    assert_finds(mapping, KN_DEVICE_CPU, 90, a);
    assert_finds(mapping, KN_DEVICE_CPU, -77, a);
    kn_mapping_release(mapping);
}

static void test_the_narrowest_of_nested_ranges_wins_in_any_order(void **state) {
    (void)state;
    static const struct {
        int64_t min, max;
    } ranges[] = {{0, KN_CAPABILITY_MAX}, {70, 99}, {80, 89}};
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    fake_repo *repos[] = {a, b, c};
    for (size_t order = 0; order < 6; order++) {
        kn_mapping *mapping = NULL;
        for (size_t i = 0; i < 3; i++) {
            int at = orders[order][i];
            mapping =
                with_range(mapping, KN_DEVICE_CUDA, ranges[at].min, ranges[at].max, repos[at]);
        }
        assert_finds(mapping, KN_DEVICE_CUDA, 69, a);
        assert_finds(mapping, KN_DEVICE_CUDA, 70, b);
        assert_finds(mapping, KN_DEVICE_CUDA, 79, b);
        assert_finds(mapping, KN_DEVICE_CUDA, 80, c);
        assert_finds(mapping, KN_DEVICE_CUDA, 89, c);
        assert_finds(mapping, KN_DEVICE_CUDA, 90, b);
        assert_finds(mapping, KN_DEVICE_CUDA, 99, b);
        assert_finds(mapping, KN_DEVICE_CUDA, 100, a);
        kn_mapping_release(mapping);
    }
}

static void test_of_overlapping_ranges_the_narrower_wins_where_both_hold(void **state) {
    (void)state;
    kn_mapping *mapping = with_range(NULL, KN_DEVICE_CUDA, 75, 89, a);
    mapping = with_range(mapping, KN_DEVICE_CUDA, 86, 95, b);
    assert_finds(mapping, KN_DEVICE_CUDA, 85, a);
    assert_finds(mapping, KN_DEVICE_CUDA, 86, b);
    assert_finds(mapping, KN_DEVICE_CUDA, 89, b);
    assert_finds(mapping, KN_DEVICE_CUDA, 95, b);
    assert_answer(mapping, "Norm", KN_DEVICE_CUDA, 96, KN_MAPPING_NO_PROPERTIES);
    kn_mapping_release(mapping);
}

static void test_open_ranges_are_compared_by_their_width(void **state) {
    (void)state;
    kn_mapping *mapping = with_range(NULL, KN_DEVICE_ROCM, 90, KN_CAPABILITY_MAX, a);
    mapping = with_range(mapping, KN_DEVICE_ROCM, 0, KN_CAPABILITY_MAX, b);
    mapping = with_range(mapping, KN_DEVICE_ROCM, 0, 94, c);
    assert_finds(mapping, KN_DEVICE_ROCM, 89, c);
    assert_finds(mapping, KN_DEVICE_ROCM, 90, c);
    assert_finds(mapping, KN_DEVICE_ROCM, 95, a);
    assert_finds(mapping, KN_DEVICE_ROCM, KN_CAPABILITY_MAX, a);
    kn_mapping_release(mapping);
}

static void test_a_range_of_one_capability_is_the_narrowest(void **state) {
    (void)state;
    kn_mapping *mapping = with_range(NULL, KN_DEVICE_CUDA, 90, 90, a);
    mapping = with_range(mapping, KN_DEVICE_CUDA, 90, 91, b);
    assert_finds(mapping, KN_DEVICE_CUDA, 90, a);
    assert_finds(mapping, KN_DEVICE_CUDA, 91, b);
    kn_mapping_release(mapping);
}

static void test_a_range_below_zero_does_not_overflow(void **state) {
    (void)state;
    kn_mapping *mapping = with_range(NULL, KN_DEVICE_CUDA, INT64_MIN, INT64_MAX, a);
    mapping = with_range(mapping, KN_DEVICE_CUDA, INT64_MIN, 90, b);
    assert_finds(mapping, KN_DEVICE_CUDA, 90, b);
    assert_finds(mapping, KN_DEVICE_CUDA, 91, a);
    kn_mapping_release(mapping);
}

static void test_of_equally_wide_ranges_the_last_registered_wins(void **state) {
    (void)state;
    kn_mapping *mapping = with_range(NULL, KN_DEVICE_CUDA, 80, 89, a);
    mapping = with_range(mapping, KN_DEVICE_CUDA, 85, 94, b);
    assert_finds(mapping, KN_DEVICE_CUDA, 84, a);
    assert_finds(mapping, KN_DEVICE_CUDA, 87, b);
    /* Registered again it is the last one. */
    mapping = with_range(mapping, KN_DEVICE_CUDA, 80, 89, c);
    assert_finds(mapping, KN_DEVICE_CUDA, 87, c);
    assert_finds(mapping, KN_DEVICE_CUDA, 90, b);
    kn_mapping_release(mapping);
}

static void test_the_same_range_registered_again_replaces(void **state) {
    (void)state;
    kn_mapping *mapping = with_range(NULL, KN_DEVICE_CUDA, 80, 89, a);
    mapping = with_range(mapping, KN_DEVICE_CUDA, 80, 89, b);
    assert_finds(mapping, KN_DEVICE_CUDA, 80, b);
    kn_mapping_release(mapping);
}

static void test_what_the_same_call_replaces_is_released(void **state) {
    (void)state;
    const kn_mode_repo first = {KN_MODE_FALLBACK, a->handle};
    const kn_mode_repo second = {KN_MODE_FALLBACK, b->handle};
    const kn_mapping_entry entries[] = {{"Norm", KN_DEVICE_CUDA, {80, 89}, &first, 1},
                                        {"Norm", KN_DEVICE_CUDA, {80, 89}, &second, 1}};
    kn_mapping *mapping = extended(NULL, entries, 2);
    assert_finds(mapping, KN_DEVICE_CUDA, 80, b);
    assert_int_equal(kn_repo_references(a->handle), 1);
    assert_int_equal(kn_repo_references(b->handle), 2);
    kn_mapping_release(mapping);
}

static void test_a_mode_dict_replaces_the_whole_mode_dict(void **state) {
    (void)state;
    const kn_mode_repo both[] = {{KN_MODE_INFERENCE, a->handle}, {KN_MODE_TRAINING, b->handle}};
    const kn_mode_repo one = {KN_MODE_TRAINING, c->handle};
    const kn_mapping_entry first = {"Norm", KN_DEVICE_CPU, ALL, both, 2};
    const kn_mapping_entry second = {"Norm", KN_DEVICE_CPU, ALL, &one, 1};
    kn_mapping *mapping = extended(extended(NULL, &first, 1), &second, 1);
    const kn_mode_repo *modes;
    size_t count;
    assert_int_equal(kn_mapping_modes(mapping, "Norm", KN_DEVICE_CPU, 0, &modes, &count),
                     KN_MAPPING_FOUND);
    assert_int_equal(count, 1);
    assert_int_equal(modes[0].mode, KN_MODE_TRAINING);
    assert_ptr_equal(modes[0].repo, c->handle);
    kn_mapping_release(mapping);
}

static void test_within_a_mode_dict_the_last_of_a_mode_wins(void **state) {
    (void)state;
    const kn_mode_repo modes[] = {{KN_MODE_INFERENCE, a->handle},
                                  {KN_MODE_TRAINING, b->handle},
                                  {KN_MODE_INFERENCE, c->handle}};
    const kn_mapping_entry entry = {"Norm", KN_DEVICE_CPU, ALL, modes, 3};
    kn_mapping *mapping = extended(NULL, &entry, 1);
    const kn_mode_repo *found;
    size_t count;
    kn_mapping_modes(mapping, "Norm", KN_DEVICE_CPU, 0, &found, &count);
    assert_int_equal(count, 2);
    assert_ptr_equal(found[0].repo, c->handle);
    assert_ptr_equal(found[1].repo, b->handle);
    assert_int_equal(kn_repo_references(a->handle), 1);
    kn_mapping_release(mapping);
}

static void test_an_empty_mode_dict_takes_the_layer_from_the_device(void **state) {
    (void)state;
    const kn_mapping_entry nothing = {"Norm", KN_DEVICE_CPU, ALL, NULL, 0};
    kn_mapping *mapping = with_range(NULL, KN_DEVICE_CPU, 0, KN_CAPABILITY_MAX, a);
    mapping = extended(mapping, &nothing, 1);
    assert_answer(mapping, "Norm", KN_DEVICE_CPU, 0, KN_MAPPING_NO_MODE);
    kn_mapping_release(mapping);
}

static void test_devices_and_layers_are_kept_apart(void **state) {
    (void)state;
    kn_mapping *mapping = with_range(NULL, KN_DEVICE_CUDA, 0, KN_CAPABILITY_MAX, a);
    mapping = with_range(mapping, KN_DEVICE_ROCM, 0, KN_CAPABILITY_MAX, b);
    mapping = with_range(mapping, KN_DEVICE_CPU, 0, KN_CAPABILITY_MAX, c);
    assert_finds(mapping, KN_DEVICE_CUDA, 90, a);
    assert_finds(mapping, KN_DEVICE_ROCM, 90, b);
    assert_finds(mapping, KN_DEVICE_CPU, 90, c);
    assert_answer(mapping, "Norm", KN_DEVICE_XPU, 90, KN_MAPPING_NO_DEVICE);
    assert_answer(mapping, "Act", KN_DEVICE_CPU, 90, KN_MAPPING_NO_LAYER);
    kn_mapping_release(mapping);
}

static void test_a_snapshot_is_not_changed_by_extending_it(void **state) {
    (void)state;
    kn_mapping *before = with_range(NULL, KN_DEVICE_CPU, 0, KN_CAPABILITY_MAX, a);
    kn_mapping *after =
        with_range(kn_mapping_retain(before), KN_DEVICE_CPU, 0, KN_CAPABILITY_MAX, b);
    assert_finds(before, KN_DEVICE_CPU, 0, a);
    assert_finds(after, KN_DEVICE_CPU, 0, b);
    kn_mapping_release(before);
    assert_finds(after, KN_DEVICE_CPU, 0, b);
    kn_mapping_release(after);
}

static void test_extending_by_nothing_is_the_same_snapshot(void **state) {
    (void)state;
    kn_mapping *mapping = with_range(NULL, KN_DEVICE_CPU, 0, KN_CAPABILITY_MAX, a);
    kn_mapping *same = NULL;
    assert_int_equal(kn_mapping_extend(NULL, mapping, NULL, 0, &same, NULL), KN_OK);
    assert_ptr_equal(same, mapping);
    kn_mapping_release(same);
    assert_finds(mapping, KN_DEVICE_CPU, 0, a);
    kn_mapping_release(mapping);
}

static void test_the_layer_name_is_copied(void **state) {
    (void)state;
    char name[] = "Norm";
    const kn_mode_repo modes = {KN_MODE_FALLBACK, a->handle};
    const kn_mapping_entry entry = {name, KN_DEVICE_CPU, ALL, &modes, 1};
    kn_mapping *mapping = extended(NULL, &entry, 1);
    name[0] = 'F';
    assert_finds(mapping, KN_DEVICE_CPU, 0, a);
    kn_mapping_release(mapping);
}

static void assert_refused(const kn_mapping_entry *entries, size_t count, const char *part) {
    kn_mapping *made = (kn_mapping *)host;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_mapping_extend(NULL, NULL, entries, count, &made, &err), KN_ERR_VALUE);
    assert_null(made);
    assert_contains(err.message, part);
}

static void test_bad_entries_are_refused(void **state) {
    (void)state;
    const kn_mode_repo good = {KN_MODE_FALLBACK, a->handle};
    const kn_mode_repo bad = {KN_MODE_INFERENCE | KN_MODE_TRAINING, a->handle};
    const kn_mapping_entry entries[] = {
        {"Norm", KN_DEVICE_OTHER, ALL, &good, 1},
        {"Norm", (kn_device_type)KN_DEVICE_TYPES, ALL, &good, 1},
        {"Norm", KN_DEVICE_CPU, {80, 90}, &good, 1},
        {"Norm", KN_DEVICE_XPU, {0, 90}, &good, 1},
        {"Norm", KN_DEVICE_CUDA, {90, 80}, &good, 1},
        {"Norm", KN_DEVICE_CUDA, ALL, &bad, 1},
    };
    const char *parts[] = {
        "layer 'Norm': no kernel can be registered for device type 0",
        "layer 'Norm': no kernel can be registered for device type 9",
        "layer 'Norm': 'cpu' devices have no capabilities",
        "layer 'Norm': 'xpu' devices have no capabilities",
        "min_capability (90) must be <= max_capability (80)",
        "Mode.INFERENCE and Mode.TRAINING are mutually exclusive.",
    };
    const kn_mapping_entry fine = {"Act", KN_DEVICE_CPU, ALL, &good, 1};
    for (size_t i = 0; i < COUNT(entries); i++) {
        const kn_mapping_entry both[] = {fine, entries[i]};
        assert_refused(&entries[i], 1, parts[i]);
        assert_refused(both, 2, parts[i]);
    }
    assert_int_equal(kn_repo_references(a->handle), 1);
}

static void test_ranges_are_told_only_where_the_capability_decides(void **state) {
    (void)state;
    kn_mapping *mapping = with_range(NULL, KN_DEVICE_CUDA, 0, KN_CAPABILITY_MAX, a);
    mapping = with_range(mapping, KN_DEVICE_CPU, 0, KN_CAPABILITY_MAX, a);
    assert_false(kn_mapping_has_ranges(mapping, "Norm", KN_DEVICE_CUDA));
    assert_false(kn_mapping_has_ranges(mapping, "Norm", KN_DEVICE_CPU));
    assert_false(kn_mapping_has_ranges(mapping, "Act", KN_DEVICE_CUDA));
    mapping = with_range(mapping, KN_DEVICE_CUDA, 90, KN_CAPABILITY_MAX, b);
    assert_true(kn_mapping_has_ranges(mapping, "Norm", KN_DEVICE_CUDA));
    assert_false(kn_mapping_has_ranges(mapping, "Norm", KN_DEVICE_ROCM));
    mapping = with_range(mapping, KN_DEVICE_ROCM, 0, 90, b);
    assert_true(kn_mapping_has_ranges(mapping, "Norm", KN_DEVICE_ROCM));
    kn_mapping_release(mapping);
}

typedef struct visits {
    size_t count, stop_after;
    bool saw_a, saw_b, saw_c;
} visits;

static bool note_entry(void *ctx, const kn_mapping_entry *entry) {
    visits *v = ctx;
    assert_int_equal(entry->mode_count, 1);
    v->saw_a |= entry->modes[0].repo == a->handle;
    v->saw_b |= entry->modes[0].repo == b->handle;
    v->saw_c |= entry->modes[0].repo == c->handle;
    return ++v->count != v->stop_after;
}

static void test_each_visits_what_stands_and_not_what_was_replaced(void **state) {
    (void)state;
    kn_mapping *mapping = with_range(NULL, KN_DEVICE_CPU, 0, KN_CAPABILITY_MAX, a);
    mapping = with_range(mapping, KN_DEVICE_CPU, 0, KN_CAPABILITY_MAX, b);
    mapping = with_range(mapping, KN_DEVICE_CUDA, 80, 89, c);
    visits all = {0}, first = {.stop_after = 1};
    kn_mapping_each(mapping, note_entry, &all);
    assert_int_equal(all.count, 2);
    assert_false(all.saw_a);
    assert_true(all.saw_b && all.saw_c);
    kn_mapping_each(mapping, note_entry, &first);
    assert_int_equal(first.count, 1);
    kn_mapping_release(mapping);
}

typedef struct owned {
    void *objects[8];
    size_t count;
    int answer;
} owned;

static int note_owned(void *ctx, void *object) {
    owned *o = ctx;
    assert_true(o->count < 8);
    o->objects[o->count++] = object;
    return o->answer;
}

/* A repository whose only handle is that of the mapping. */
static void give_away(fake_repo *repo) {
    kn_repo_release(repo->handle);
    repo->handle = NULL;
}

static void test_owned_are_the_repositories_that_nobody_else_holds(void **state) {
    (void)state;
    const kn_mode_repo first = {KN_MODE_FALLBACK, a->handle};
    const kn_mode_repo second = {KN_MODE_FALLBACK, b->handle};
    const kn_mapping_entry entries[] = {{"Norm", KN_DEVICE_CPU, ALL, &first, 1},
                                        {"Act", KN_DEVICE_CPU, ALL, &second, 1}};
    kn_mapping *mapping = extended(NULL, entries, 2);
    owned none = {0};
    assert_int_equal(kn_mapping_each_owned(mapping, note_owned, &none), 0);
    assert_int_equal(none.count, 0);

    give_away(a);
    owned one = {.answer = 5};
    assert_int_equal(kn_mapping_each_owned(mapping, note_owned, &one), 5);
    assert_int_equal(one.count, 1);
    assert_ptr_equal(one.objects[0], a);

    kn_mapping *again = kn_mapping_retain(mapping);
    owned shared = {0};
    kn_mapping_each_owned(mapping, note_owned, &shared);
    assert_int_equal(shared.count, 0);
    kn_mapping_release(again);
    kn_mapping_release(mapping);
    /* The handle went with the mapping: the object is now the test's alone. */
    assert_int_equal(a->object.references, 1);
}

static void test_what_a_base_shared_by_two_snapshots_holds_is_not_owned(void **state) {
    (void)state;
    kn_mapping *base = with_range(NULL, KN_DEVICE_CPU, 0, KN_CAPABILITY_MAX, a);
    const kn_mode_repo modes = {KN_MODE_FALLBACK, b->handle};
    const kn_mapping_entry entry = {"Act", KN_DEVICE_CPU, ALL, &modes, 1};
    kn_mapping *top = extended(kn_mapping_retain(base), &entry, 1);
    give_away(a);
    give_away(b);
    owned shared = {0};
    kn_mapping_each_owned(top, note_owned, &shared);
    assert_int_equal(shared.count, 1);
    assert_ptr_equal(shared.objects[0], b);
    kn_mapping_release(base);
    owned alone = {0};
    kn_mapping_each_owned(top, note_owned, &alone);
    assert_int_equal(alone.count, 2);
    kn_mapping_release(top);
}

static kn_status build(const kn_alloc *alloc, void *ctx, kn_error *err) {
    size_t steps = *(size_t *)ctx;
    static const char *const names[] = {"Norm", "Act", "Mlp", "Rope", "Attn"};
    kn_mapping *mapping = NULL;
    kn_status status = KN_OK;
    for (size_t i = 0; !status && i < steps; i++) {
        const kn_mode_repo modes[] = {{KN_MODE_INFERENCE, a->handle},
                                      {KN_MODE_TRAINING, b->handle}};
        const kn_mapping_entry entries[] = {
            {names[i % 5], KN_DEVICE_CUDA, {(int64_t)i, 90}, modes, 2},
            {names[(i + 1) % 5], KN_DEVICE_CPU, ALL, modes, 1},
        };
        kn_mapping *made;
        status = kn_mapping_extend(alloc, mapping, entries, 2, &made, err);
        assert_int_equal(made == NULL, status != KN_OK);
        if (status) break;
        kn_mapping_release(mapping);
        mapping = made;
    }
    /* A failed step leaves the snapshot before it as it was. */
    kn_mode_repo found;
    if (mapping) {
        assert_int_equal(
            kn_mapping_find(mapping, "Norm", KN_DEVICE_CUDA, 90, KN_MODE_TRAINING, &found),
            KN_MAPPING_FOUND);
        assert_ptr_equal(found.repo, b->handle);
    }
    kn_mapping_release(mapping);
    assert_int_equal(kn_repo_references(a->handle), 1);
    assert_int_equal(kn_repo_references(b->handle), 1);
    return status;
}

static void test_without_memory_the_snapshot_stays_and_nothing_leaks(void **state) {
    (void)state;
    size_t steps = 20; /* more than one fold of the chain */
    assert_true(fault_sweep(build, &steps) > 100);
}

#define with_repos(test) cmocka_unit_test_setup_teardown(test, make_repos, free_repos)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_repos(test_an_empty_mapping_has_no_layer),
        with_repos(test_each_kind_of_nothing_has_its_answer),
        with_repos(test_an_unknown_capability_has_no_properties_even_where_all_are_covered),
        with_repos(test_the_capability_is_ignored_where_devices_have_none),
        with_repos(test_the_narrowest_of_nested_ranges_wins_in_any_order),
        with_repos(test_of_overlapping_ranges_the_narrower_wins_where_both_hold),
        with_repos(test_open_ranges_are_compared_by_their_width),
        with_repos(test_a_range_of_one_capability_is_the_narrowest),
        with_repos(test_a_range_below_zero_does_not_overflow),
        with_repos(test_of_equally_wide_ranges_the_last_registered_wins),
        with_repos(test_the_same_range_registered_again_replaces),
        with_repos(test_what_the_same_call_replaces_is_released),
        with_repos(test_a_mode_dict_replaces_the_whole_mode_dict),
        with_repos(test_within_a_mode_dict_the_last_of_a_mode_wins),
        with_repos(test_an_empty_mode_dict_takes_the_layer_from_the_device),
        with_repos(test_devices_and_layers_are_kept_apart),
        with_repos(test_a_snapshot_is_not_changed_by_extending_it),
        with_repos(test_extending_by_nothing_is_the_same_snapshot),
        with_repos(test_the_layer_name_is_copied),
        with_repos(test_bad_entries_are_refused),
        with_repos(test_ranges_are_told_only_where_the_capability_decides),
        with_repos(test_each_visits_what_stands_and_not_what_was_replaced),
        with_repos(test_owned_are_the_repositories_that_nobody_else_holds),
        with_repos(test_what_a_base_shared_by_two_snapshots_holds_is_not_owned),
        with_repos(test_without_memory_the_snapshot_stays_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
