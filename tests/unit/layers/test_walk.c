/* SPDX-License-Identifier: Apache-2.0 */
/* The record of a walk: nodes, their paths, and sites found by their path. */
#include <stdio.h>

#include "layers/plan.h"
#include "support/failing_alloc.h"
#include "support/fake_host.h"
#include "support/unit.h"

typedef struct scene {
    fake_host *host;
    fake_module *module;
    fake_class *cls;
} scene;

static scene set_scene(void) {
    fake_host *host = fake_host_new();
    return (scene){host, fake_model_new(host, NULL), fake_class_new(host, "LlamaNorm", "Norm")};
}

static kn_plan *new_plan(const scene *s, const kn_alloc *alloc) {
    kn_plan *plan = NULL;
    assert_int_equal(kni_plan_new(kni_alloc_or_default(alloc), &s->host->table, &plan, NULL),
                     KN_OK);
    return plan;
}

static uint32_t add_node(const scene *s, kn_plan *plan, uint32_t parent, const char *name) {
    uint32_t node;
    assert_int_equal(
        kn_walk_add_node(&plan->walk, parent, s->module, name, strlen(name), &node, NULL), KN_OK);
    return node;
}

static void assert_path(const kn_plan *plan, uint32_t node, const char *expected) {
    char *path = kni_walk_path(&plan->walk, node);
    assert_string_equal(path, expected);
    kni_free(plan->alloc, path);
}

static void test_a_path_is_the_names_from_the_root_on(void **state) {
    (void)state;
    scene s = set_scene();
    kn_plan *plan = new_plan(&s, NULL);
    uint32_t root = add_node(&s, plan, KN_NO_PARENT, "");
    uint32_t mlp = add_node(&s, plan, root, "mlp"), act = add_node(&s, plan, mlp, "act");
    uint32_t norm = add_node(&s, plan, root, "norm");
    assert_path(plan, root, "");
    assert_path(plan, mlp, "mlp");
    assert_path(plan, act, "mlp.act");
    assert_path(plan, norm, "norm");
    assert_string_equal(kni_walk_name(&plan->walk, act), "act");
    kn_plan_release(plan);
    fake_host_free(s.host);
}

static void test_a_name_is_copied_by_its_length(void **state) {
    (void)state;
    scene s = set_scene();
    kn_plan *plan = new_plan(&s, NULL);
    char name[] = "normal";
    uint32_t node;
    kn_walk_add_node(&plan->walk, KN_NO_PARENT, s.module, name, 4, &node, NULL);
    name[0] = 'x';
    assert_path(plan, node, "norm");
    kn_plan_release(plan);
    fake_host_free(s.host);
}

static void test_a_path_that_does_not_fit_is_not_written(void **state) {
    (void)state;
    scene s = set_scene();
    kn_plan *plan = new_plan(&s, NULL);
    uint32_t mlp = add_node(&s, plan, add_node(&s, plan, KN_NO_PARENT, ""), "mlp");
    uint32_t act = add_node(&s, plan, mlp, "act");
    char out[16] = "untouched";
    assert_int_equal(kni_walk_path_write(&plan->walk, act, NULL, 0), 7);
    assert_int_equal(kni_walk_path_write(&plan->walk, act, out, 7), 7);
    assert_string_equal(out, "");
    assert_int_equal(kni_walk_path_write(&plan->walk, act, out, 8), 7);
    assert_string_equal(out, "mlp.act");
    kn_plan_release(plan);
    fake_host_free(s.host);
}

static void test_a_module_is_visited_once(void **state) {
    (void)state;
    scene s = set_scene();
    kn_plan *plan = new_plan(&s, NULL);
    fake_module *other = fake_model_new(s.host, NULL);
    assert_int_equal(kn_walk_visit(&plan->walk, s.module), 1);
    assert_int_equal(kn_walk_visit(&plan->walk, other), 1);
    assert_int_equal(kn_walk_visit(&plan->walk, s.module), 0);
    kn_plan_release(plan);
    fake_host_free(s.host);
}

static void test_modules_are_held_until_the_plan_lets_go_of_the_model(void **state) {
    (void)state;
    scene s = set_scene();
    kn_plan *plan = new_plan(&s, NULL);
    uint32_t node = add_node(&s, plan, KN_NO_PARENT, "norm"), cls;
    const kn_class described = {sizeof described, s.cls, "LlamaNorm", "Norm", false};
    assert_int_equal(kn_walk_add_class(&plan->walk, &described, &cls, NULL), KN_OK);
    assert_int_equal(s.module->object.references, 2);
    assert_int_equal(s.cls->object.references, 2);
    kni_plan_release_model(plan);
    kni_plan_release_model(plan);
    assert_int_equal(s.module->object.references, 1);
    assert_path(plan, node, "norm");
    kn_plan_release(plan);
    assert_int_equal(s.cls->object.references, 1);
    fake_host_free(s.host);
}

/* Sites "0.norm" to "99.norm", in this or in the other order. */
static kn_plan *many_sites(const scene *s, bool backwards) {
    kn_plan *plan = new_plan(s, NULL);
    uint32_t root = add_node(s, plan, KN_NO_PARENT, ""), cls;
    const kn_class described = {sizeof described, s->cls, "LlamaNorm", "Norm", false};
    assert_int_equal(kn_walk_add_class(&plan->walk, &described, &cls, NULL), KN_OK);
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", backwards ? 99 - i : i);
        uint32_t node = add_node(s, plan, add_node(s, plan, root, name), "norm");
        assert_int_equal(kn_walk_add_site(&plan->walk, node, cls, NULL, 0, NULL), KN_OK);
    }
    return plan;
}

static void test_sites_are_found_by_their_path_in_another_walk(void **state) {
    (void)state;
    scene s = set_scene();
    kn_plan *plan = many_sites(&s, false), *other = many_sites(&s, true);
    uint32_t stranger = add_node(&s, other, KN_NO_PARENT, "100");
    kni_index index;
    assert_true(kni_walk_index_sites(&plan->walk, &index));
    for (size_t i = 0; i < 100; i++) {
        uint32_t node = other->walk.sites[i].node;
        const kni_site *found = kni_walk_find_site(&plan->walk, &index, &other->walk, node);
        assert_ptr_equal(found, &plan->walk.sites[99 - i]);
        assert_true(kni_is_same_place(&plan->walk, found->node, &other->walk, node));
        assert_int_equal(
            kni_is_same_place(&plan->walk, plan->walk.sites[i].node, &other->walk, node), false);
    }
    assert_null(kni_walk_find_site(&plan->walk, &index, &other->walk, stranger));
    kni_index_clear(&index);
    kn_plan_release(plan);
    kn_plan_release(other);
    fake_host_free(s.host);
}

static void test_paths_of_different_depth_are_different_places(void **state) {
    (void)state;
    scene s = set_scene();
    kn_plan *plan = new_plan(&s, NULL);
    uint32_t root = add_node(&s, plan, KN_NO_PARENT, ""), a = add_node(&s, plan, root, "a");
    uint32_t below = add_node(&s, plan, a, "a");
    assert_true(kni_is_same_place(&plan->walk, a, &plan->walk, a));
    assert_false(kni_is_same_place(&plan->walk, a, &plan->walk, below));
    assert_false(kni_is_same_place(&plan->walk, below, &plan->walk, a));
    assert_false(kni_is_same_place(&plan->walk, root, &plan->walk, a));
    kn_plan_release(plan);
    fake_host_free(s.host);
}

static kn_status walk_some(const kn_alloc *alloc, void *ctx, kn_error *err) {
    const scene *s = ctx;
    kn_plan *plan = NULL;
    kn_status status = kni_plan_new(alloc, &s->host->table, &plan, err);
    uint32_t node = KN_NO_PARENT, cls = 0;
    const kn_class described = {sizeof described, s->cls, "LlamaNorm", "Norm", false};
    for (int i = 0; !status && i < 20; i++) {
        status = kn_walk_add_node(&plan->walk, node, s->module, "norm", 4, &node, err);
        if (!status) status = kn_walk_add_class(&plan->walk, &described, &cls, err);
        if (!status) status = kn_walk_add_site(&plan->walk, node, cls, NULL, 0, err);
    }
    if (!status) status = kni_plan_prepare_classes(plan, err);
    kn_plan_release(plan);
    assert_int_equal(s->module->object.references, 1);
    assert_int_equal(s->cls->object.references, 1);
    return status;
}

static void test_a_walk_without_memory_holds_nothing(void **state) {
    (void)state;
    scene s = set_scene();
    assert_true(fault_sweep(walk_some, &s) > 40);
    fake_host_free(s.host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_path_is_the_names_from_the_root_on),
        cmocka_unit_test(test_a_name_is_copied_by_its_length),
        cmocka_unit_test(test_a_path_that_does_not_fit_is_not_written),
        cmocka_unit_test(test_a_module_is_visited_once),
        cmocka_unit_test(test_modules_are_held_until_the_plan_lets_go_of_the_model),
        cmocka_unit_test(test_sites_are_found_by_their_path_in_another_walk),
        cmocka_unit_test(test_paths_of_different_depth_are_different_places),
        cmocka_unit_test(test_a_walk_without_memory_holds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
