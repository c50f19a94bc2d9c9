/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of snapshots against a reference model that is a plain list of rules. */
#include <kernels/mapping.h>
#include <stdio.h>

#include "support/fake_host.h"
#include "support/unit.h"

enum { LAYERS = 7, REPOS = 5, RULES_MAX = 4096, SNAPSHOTS = 12, STEPS = 400 };

static const char *const layer_names[LAYERS] = {"Norm", "Act", "Mlp", "Rope", "Attn", "Gate", "Up"};
static const kn_device_type devices[] = {KN_DEVICE_CPU, KN_DEVICE_CUDA, KN_DEVICE_ROCM};
static const kn_mode modes[] = {KN_MODE_FALLBACK, KN_MODE_TRAINING, KN_MODE_INFERENCE,
                                KN_MODE_INFERENCE | KN_MODE_TORCH_COMPILE,
                                KN_MODE_TRAINING | KN_MODE_TORCH_COMPILE};
static const int64_t bounds[] = {0, 70, 75, 80, 86, 89, 90, 100, KN_CAPABILITY_MAX};

typedef struct rule {
    size_t layer, device;
    kn_capability_range range;
    size_t repo[5]; /* by mode: 1 + the repository, 0 for none */
} rule;

/* The rules in order of registration; a replaced one is taken out. */
typedef struct reference {
    rule rules[RULES_MAX];
    size_t count;
} reference;

static uint64_t seed;

static size_t below(size_t limit) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % limit;
}

static void reference_put(reference *ref, const rule *added) {
    for (size_t i = 0; i < ref->count; i++) {
        const rule *r = &ref->rules[i];
        if (r->layer != added->layer || r->device != added->device ||
            r->range.min != added->range.min || r->range.max != added->range.max) {
            continue;
        }
        memmove(&ref->rules[i], &ref->rules[i + 1], (ref->count - i - 1) * sizeof *r);
        ref->count--;
        break;
    }
    assert_true(ref->count < RULES_MAX);
    ref->rules[ref->count++] = *added;
}

static const rule *reference_find(const reference *ref, size_t layer, size_t device,
                                  int64_t capability) {
    const rule *best = NULL;
    for (size_t i = 0; i < ref->count; i++) {
        const rule *r = &ref->rules[i];
        if (r->layer != layer || r->device != device) continue;
        if (devices[device] != KN_DEVICE_CPU &&
            (capability < r->range.min || capability > r->range.max)) {
            continue;
        }
        if (!best || r->range.max - r->range.min <= best->range.max - best->range.min) best = r;
    }
    return best;
}

static rule random_rule(void) {
    rule made = {.layer = below(LAYERS), .device = below(3), .range = {0, KN_CAPABILITY_MAX}};
    if (devices[made.device] != KN_DEVICE_CPU && below(4)) {
        size_t low = below(8), high = low + below(9 - low);
        made.range = (kn_capability_range){bounds[low], bounds[high]};
    }
    for (size_t i = 0; i < 5; i++) made.repo[i] = below(2) ? 1 + below(REPOS) : 0;
    return made;
}

static kn_mapping *extend(kn_mapping *base, const rule *added, fake_repo *const *repos) {
    kn_mode_repo pairs[5];
    size_t count = 0;
    for (size_t i = 0; i < 5; i++) {
        if (added->repo[i])
            pairs[count++] = (kn_mode_repo){modes[i], repos[added->repo[i] - 1]->handle};
    }
    const kn_mapping_entry entry = {layer_names[added->layer], devices[added->device], added->range,
                                    pairs, count};
    kn_mapping *made;
    assert_int_equal(kn_mapping_extend(NULL, base, &entry, 1, &made, NULL), KN_OK);
    return made;
}

static void assert_same_rule(const kn_mapping *mapping, const reference *ref, size_t layer,
                             size_t device, int64_t capability, fake_repo *const *repos) {
    const kn_mode_repo *found;
    size_t count, expected = 0;
    kn_mapping_answer answer =
        kn_mapping_modes(mapping, layer_names[layer], devices[device], capability, &found, &count);
    const rule *r = reference_find(ref, layer, device, capability);
    assert_int_equal(answer == KN_MAPPING_FOUND, r != NULL);
    for (size_t i = 0; r && i < 5; i++) {
        if (!r->repo[i]) continue;
        assert_true(expected < count);
        assert_int_equal(found[expected].mode, modes[i]);
        assert_ptr_equal(found[expected].repo, repos[r->repo[i] - 1]->handle);
        expected++;
    }
    assert_int_equal(count, expected);
}

static bool count_entry(void *ctx, const kn_mapping_entry *entry) {
    (void)entry;
    ++*(size_t *)ctx;
    return true;
}

static void assert_same(const kn_mapping *mapping, const reference *ref, fake_repo *const *repos) {
    static const int64_t capabilities[] = {0, 69, 70, 74, 75, 80, 86, 88, 89, 90, 95, 101};
    for (size_t layer = 0; layer < LAYERS; layer++) {
        for (size_t device = 0; device < 3; device++) {
            for (size_t i = 0; i < sizeof capabilities / sizeof *capabilities; i++) {
                assert_same_rule(mapping, ref, layer, device, capabilities[i], repos);
            }
        }
    }
    size_t entries = 0;
    kn_mapping_each(mapping, count_entry, &entries);
    assert_int_equal(entries, ref->count);
}

/* Snapshots in flight: each is extended, forked, dropped or begun anew, in a random order. */
static void random_run(uint64_t from) {
    static reference refs[SNAPSHOTS];
    seed = from;
    fake_host *host = fake_host_new();
    fake_repo *repos[REPOS];
    kn_mapping *snapshots[SNAPSHOTS];
    for (size_t i = 0; i < REPOS; i++) repos[i] = fake_repo_new(host, "org/a", NULL);
    for (size_t i = 0; i < SNAPSHOTS; i++) {
        refs[i].count = 0;
        assert_int_equal(kn_mapping_extend(NULL, NULL, NULL, 0, &snapshots[i], NULL), KN_OK);
    }
    for (size_t step = 0; step < STEPS; step++) {
        size_t at = below(SNAPSHOTS), other = below(SNAPSHOTS);
        if (below(8) == 0 && at != other) { /* stack on another one */
            kn_mapping_release(snapshots[at]);
            snapshots[at] = kn_mapping_retain(snapshots[other]);
            refs[at] = refs[other];
        }
        if (below(40) == 0) { /* erase */
            kn_mapping_release(snapshots[at]);
            assert_int_equal(kn_mapping_extend(NULL, NULL, NULL, 0, &snapshots[at], NULL), KN_OK);
            refs[at].count = 0;
        }
        rule added = random_rule();
        kn_mapping *made = extend(snapshots[at], &added, repos);
        kn_mapping_release(snapshots[at]);
        snapshots[at] = made;
        reference_put(&refs[at], &added);
        if (step % 50 == 49) assert_same(snapshots[other], &refs[other], repos);
    }
    for (size_t i = 0; i < SNAPSHOTS; i++) {
        assert_same(snapshots[i], &refs[i], repos);
        kn_mapping_release(snapshots[i]);
    }
    fake_host_free(host);
}

static void test_random_snapshots_answer_as_a_list_of_rules_does(void **state) {
    (void)state;
    for (uint64_t from = 1; from <= 20; from++) random_run(from);
}

static void test_a_chain_of_a_thousand_snapshots_keeps_every_layer(void **state) {
    (void)state;
    fake_host *host = fake_host_new();
    fake_repo *repos[] = {fake_repo_new(host, "org/a", NULL), fake_repo_new(host, "org/b", NULL)};
    static kn_mapping *chain[1000];
    kn_mapping *base = NULL;
    for (size_t i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "Layer%zu", i);
        const kn_mode_repo pair = {KN_MODE_FALLBACK, repos[i % 2]->handle};
        const kn_mapping_entry entry = {name, KN_DEVICE_CPU, {0, KN_CAPABILITY_MAX}, &pair, 1};
        assert_int_equal(kn_mapping_extend(NULL, base, &entry, 1, &chain[i], NULL), KN_OK);
        base = chain[i];
    }
    for (size_t at = 0; at < 1000; at += 37) {
        for (size_t i = 0; i < 1000; i++) {
            char name[16];
            snprintf(name, sizeof name, "Layer%zu", i);
            kn_mode_repo found;
            kn_mapping_answer answer =
                kn_mapping_find(chain[at], name, KN_DEVICE_CPU, 0, KN_MODE_TRAINING, &found);
            assert_int_equal(answer, i <= at ? KN_MAPPING_FOUND : KN_MAPPING_NO_LAYER);
            if (i <= at) assert_ptr_equal(found.repo, repos[i % 2]->handle);
        }
    }
    for (size_t i = 0; i < 1000; i++) kn_mapping_release(chain[i]);
    fake_host_free(host);
}

static void test_what_is_replaced_again_and_again_does_not_pile_up(void **state) {
    (void)state;
    fake_host *host = fake_host_new();
    fake_repo *repo = fake_repo_new(host, "org/a", NULL);
    const kn_mode_repo pair = {KN_MODE_FALLBACK, repo->handle};
    const kn_mapping_entry entry = {"Norm", KN_DEVICE_CPU, {0, KN_CAPABILITY_MAX}, &pair, 1};
    kn_mapping *mapping = NULL;
    for (size_t i = 0; i < 500; i++) {
        kn_mapping *made;
        assert_int_equal(kn_mapping_extend(NULL, mapping, &entry, 1, &made, NULL), KN_OK);
        kn_mapping_release(mapping);
        mapping = made;
        assert_true(kn_repo_references(repo->handle) <= 1 + 8);
    }
    kn_mapping_release(mapping);
    assert_int_equal(kn_repo_references(repo->handle), 1);
    fake_host_free(host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_snapshots_answer_as_a_list_of_rules_does),
        cmocka_unit_test(test_a_chain_of_a_thousand_snapshots_keeps_every_layer),
        cmocka_unit_test(test_what_is_replaced_again_and_again_does_not_pile_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
