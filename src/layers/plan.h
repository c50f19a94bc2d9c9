/* SPDX-License-Identifier: Apache-2.0 */
/* The record that the stages of a plan fill in. Pure: what it needs of the host comes in as handles
 * and values. */
#ifndef KNI_LAYERS_PLAN_H
#define KNI_LAYERS_PLAN_H

#include <kernels/host.h>
#include <kernels/mapping.h>
#include <kernels/plan.h>

#include "base/table.h"
#include "base/text.h"
#include "os/lock.h"

typedef struct kni_node {
    void *module; /* retained; NULL once the plan has let go of the model */
    uint32_t parent;
    uint32_t name; /* offset into the walk's names */
} kni_node;

typedef struct kni_class {
    void *handle;
    char *name;
    char *layer_name;
    bool has_condition;
} kni_class;

typedef struct kni_site {
    void *current; /* see kn_walk_add_site */
    uint32_t node;
    uint32_t class_id;
    uint32_t flags;
    uint32_t decision;
} kni_site;

struct kn_walk {
    const kn_alloc *alloc;
    void (*retain)(void *);
    void (*release)(void *);
    kni_seen seen;
    kni_node *nodes;
    size_t node_count, node_capacity;
    char *names;
    size_t names_length, names_capacity;
    kni_class *classes;
    size_t class_count, class_capacity;
    kni_site *sites;
    size_t site_count, site_capacity;
    bool has_functions; /* some site is a KN_SITE_FUNCTION */
};

/* One way in which modules are decided. Texts belong to the decision. */
typedef struct kni_decision {
    uint32_t class_id;
    uint32_t next_of_class; /* the next decision of the same class, KNI_NONE at the end */
    uint32_t site_count;
    kn_device device;
    kn_stage stage;
    kn_action action;
    kn_reason reason;
    bool applied;
    char *message;
    kn_repo *repo; /* retained */
    kn_mode repo_mode;
    char *repo_text;
    char *repo_layer;
    char *commit;
    char *variant;
    const void *kernel; /* the engine's own: the kernel that was resolved; NULL for none */
    void *forward;      /* retained: what is put in place */
} kni_decision;

struct kn_plan {
    kni_count references;
    const kn_alloc *alloc;
    kn_walk walk;
    kn_mode mode;
    uint32_t fallback;
    kn_device device;      /* what it is planned for */
    char model_device[32]; /* where the model was: the name of its first parameter's device, "" for
                              none */
    bool model_released;   /* modules are no longer held */
    bool is_account;       /* of what is, by explain: nothing to carry out */
    kni_decision *decisions;
    size_t count, capacity;
    uint32_t *first_of_class; /* by class: its first decision, KNI_NONE for none */
};

/* An empty plan with one reference. */
kn_status kni_plan_new(const kn_alloc *alloc, const kn_host *host, kn_plan **out, kn_error *err);

/* Lets go of the model's modules; paths stay. */
void kni_plan_release_model(kn_plan *plan);

/* To be called once the walk is complete. */
kn_status kni_plan_prepare_classes(kn_plan *plan, kn_error *err);

/* The path of a node as a copy; NULL: no memory. */
char *kni_walk_path(const kn_walk *walk, uint32_t node);
size_t kni_walk_path_write(const kn_walk *walk, uint32_t node, char *out, size_t capacity);
const char *kni_walk_name(const kn_walk *walk, uint32_t node);

/* Whether two nodes have the same path. */
bool kni_is_same_place(const kn_walk *a, uint32_t node_a, const kn_walk *b, uint32_t node_b);

/* The sites of a walk by their path; false: no memory. Cleared with kni_index_clear, also on
 * failure. */
bool kni_walk_index_sites(const kn_walk *walk, kni_index *index);
/* The site of `in` at the place of `node` in `from`; NULL: none. */
const kni_site *kni_walk_find_site(const kn_walk *in, const kni_index *index, const kn_walk *from,
                                   uint32_t node);

/* KN_ERR_VALUE with the differing paths where the model of `now`, a fresh walk, is not that of
 * `plan`. */
kn_status kni_plan_compare(const kn_plan *plan, const kn_plan *now, kn_error *err);

/* What decides about a module, apart from its class. */
typedef struct kni_case {
    uint32_t class_id;
    kn_device device;
    bool overridden; /* kept for `reason`, whatever the mapping says */
    kn_reason reason;
} kni_case;

/* The decision for a case: the one that was made for its like, or a new one from the mapping.
 * KN_ERR_VALUE where there is no kernel and `plan->fallback` does not allow for that. `disabled`:
 * kernels are switched off. */
kn_status kni_plan_decide(kn_plan *plan, const kn_mapping *mapping, const kni_case *c,
                          bool disabled, uint32_t *out, kn_error *err);

/* Whether decisions for the two are the same: the index does not count. */
bool kni_is_same_device(const kn_device *a, const kn_device *b);

/* Modules that a condition, the caller or a foreign forward leaves out are not touched, whatever
 * they run. */
bool kni_reason_is_untouched(kn_reason reason);

/* Changes decision `index` to keep the original forward. The message is made by the caller (taken
 * over). */
void kni_decision_keep(kn_plan *plan, size_t index, kn_reason reason, char *message);

/* A copy of decision `index` that keeps for `reason`, added or found. */
kn_status kni_plan_decide_kept(kn_plan *plan, size_t index, kn_reason reason, const char *message,
                               uint32_t *out, kn_error *err);

/* Moves site `site` to decision `decision`. */
void kni_plan_assign(kn_plan *plan, size_t site, uint32_t decision);

/* Adds a decision (contents taken over, also on failure). */
kn_status kni_plan_add_decision(kn_plan *plan, kni_decision *decision, uint32_t *out,
                                kn_error *err);
void kni_decision_clear(const kn_plan *plan, kni_decision *decision);

/* Removes the decisions that no module is left with. The last step: nothing can be decided after
 * it. */
void kni_plan_compact(kn_plan *plan);

/* A plan with the decisions of `from` for a fresh walk over the same modules. */
kn_status kni_plan_copy_decisions(kn_plan *plan, const kn_plan *from, kn_error *err);

#endif
