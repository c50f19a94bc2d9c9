/* SPDX-License-Identifier: Apache-2.0 */
/* A host over a graph of structs, for tests of the engine. Every handle is an object that counts
 * its references and is freed with the last one, so that a sanitizer sees any use after that.
 *
 * What the test makes belongs to the host until fake_host_free, which asserts that nobody else
 * holds anything. Each callback is counted, can fail at its n-th call and can run code of the test
 * before that, as user code would. */
#ifndef TEST_FAKE_HOST_H
#define TEST_FAKE_HOST_H

#include <kernels/host.h>
#include <kernels/repo.h>

typedef struct fake_host fake_host;

typedef enum fake_kind {
    FAKE_CLASS,
    FAKE_MODULE,
    FAKE_LAYER,
    FAKE_KERNEL,
    FAKE_FORWARD,
    FAKE_UNDO,
    FAKE_REPO
} fake_kind;

typedef struct fake_object {
    fake_host *host;
    fake_kind kind;
    long references;
    struct fake_object *before, *after; /* all that are alive */
} fake_object;

typedef struct fake_class {
    fake_object object;
    const char *name;
    const char *layer_name; /* NULL: not extensible */
    int signature;          /* only a layer of the same one fits */
    bool has_condition;
    bool is_function;
    uint64_t walk; /* the walk that gave it walk_id */
    uint32_t walk_id;
} fake_class;

typedef struct fake_layer {
    fake_object object;
    const char *name;
    bool has_backward;
    bool can_torch_compile;
    int signature;
} fake_layer;

/* What `import_kernel` makes. */
typedef struct fake_kernel {
    fake_object object;
    char id[64];
} fake_kernel;

/* What `bind` makes: a layer's forward, for one class. */
typedef struct fake_forward {
    fake_object object;
    fake_layer *layer;
    kn_forward_info info; /* its texts are copies */
} fake_forward;

/* What stands at a module. With `ours` that is called, else `own`, else the class's forward. */
typedef struct fake_state {
    fake_forward *ours;
    fake_forward *described; /* a description that nothing stands behind, as after unpickling */
    int own;                 /* a forward that the user set on the instance; 0: none */
} fake_state;

typedef struct fake_undo {
    fake_object object;
    fake_state state;
} fake_undo;

typedef struct fake_child {
    char name[24];
    struct fake_module *module;
} fake_child;

typedef struct fake_module {
    fake_object object;
    fake_class *cls;
    fake_child *children;
    size_t count, capacity;
    bool has_parameter;
    kn_device device; /* of its parameter */
    bool refused;     /* what the condition of its class answers */
    fake_state forward;
    uint64_t stamp;
} fake_module;

typedef struct fake_repo {
    fake_object object;
    kn_repo *handle; /* the test's */
    kn_repo_info info;
    char *id;
    fake_layer *layer;     /* KN_REPO_HOST: what it loads; NULL: nothing is there */
    const char *equals;    /* repositories of the same text are equal; NULL: to itself only */
    kn_status load_status; /* what loading comes to */
} fake_repo;

typedef enum fake_call {
    FAKE_CALL_SYSTEM,
    FAKE_CALL_WALK,
    FAKE_CALL_MODEL_DEVICE,
    FAKE_CALL_CAPABILITY,
    FAKE_CALL_UNLIKE_DEVICES,
    FAKE_CALL_MODULE_DEVICE,
    FAKE_CALL_CONDITION,
    FAKE_CALL_PREDICATE,
    FAKE_CALL_IMPORT,
    FAKE_CALL_FIND_LAYER,
    FAKE_CALL_LOAD,
    FAKE_CALL_BIND,
    FAKE_CALL_INSPECT,
    FAKE_CALL_SWAP,
    FAKE_CALL_RESTORE,
    FAKE_CALL_DESCRIBE,
    FAKE_CALL_DESCRIBE_MODULE,
    FAKE_CALL_REPO_DESCRIBE,
    FAKE_CALL_REPO_HASH,
    FAKE_CALL_REPO_EQUAL,
    FAKE_CALL_WATCH,     /* failing: it says that it cannot */
    FAKE_CALL_CANCELLED, /* failing: it says stop */
    FAKE_CALL_LOG,       /* cannot fail */
    FAKE_CALL_CAN_IMPORT,
    FAKE_CALL_GPU,
    FAKE_CALL_PROGRESS, /* cannot fail */
    FAKE_CALL_COLLECT,  /* cannot fail */
    FAKE_CALLS
} fake_call;

typedef void (*fake_hook)(fake_host *host, void *ctx);

struct fake_host {
    kn_host table; /* to hand to the engine */
    fake_object *objects;
    size_t live;
    fake_object **owned;
    size_t owned_count, owned_capacity;
    uint64_t stamp;
    kn_system system;
    int64_t capability;
    bool has_unlike_devices;
    size_t calls[FAKE_CALLS];
    size_t fail_at[FAKE_CALLS]; /* the number, from 1, of the call that fails; 0: none does */
    kn_status fail_status;
    fake_hook hooks[FAKE_CALLS];
    void *hook_ctx[FAKE_CALLS];
    size_t hook_at[FAKE_CALLS]; /* the number, from 1, of the call that runs it */
    char log[8192];             /* a line a message: "warning: ..." */
    kn_log_topic topic;         /* of the last one */
    size_t left; /* how often it was left and not entered again: then no callback may come */
    size_t leaves;
    char imported[512];  /* the folder of the last kernel */
    char imports[2048];  /* all of them, a line each: "id of repository at revision: what it
                            depends on as 'repository=id', ..." */
    const char *missing; /* the name of the package that cannot be imported; NULL: none */
    kn_gpu gpu;
    int64_t progress_done, progress_total; /* as last told */
};

fake_host *fake_host_new(void);
/* Asserts that every object is held by the host alone, and frees all. */
void fake_host_free(fake_host *host);
/* Sets counts, faults, hooks and logs to nothing. */
void fake_host_calm(fake_host *host);
void fake_host_fail(fake_host *host, fake_call call, size_t at, kn_status status);
void fake_host_hook(fake_host *host, fake_call call, size_t at, fake_hook hook, void *ctx);
const char *fake_call_name(fake_call call);
/* How many lines of the log hold `part`. */
size_t fake_host_logged(const fake_host *host, const char *part);

void fake_retain(void *object);
void fake_release(void *object);

fake_class *fake_class_new(fake_host *host, const char *name, const char *layer_name);
fake_layer *fake_layer_new(fake_host *host, const char *name);

/* A model's root, and a module below `parent`. */
fake_module *fake_model_new(fake_host *host, fake_class *cls);
fake_module *fake_module_add(fake_module *parent, const char *name, fake_class *cls);
/* A second place for a module. */
void fake_module_link(fake_module *parent, const char *name, fake_module *module);
void fake_module_remove(fake_module *parent, const char *name);
void fake_module_put_on(fake_module *module, kn_device device);
/* Sets a forward on the instance, as a user would; 0 takes it away. */
void fake_module_set_own(fake_module *module, int own);
/* As if unpickled: the description stays, the forward does not. */
void fake_module_unpickle(fake_module *module);

/* KN_REPO_HOST with what it loads, or a repository of `kind` with `layer_name`. `id` stays the
 * test's. */
fake_repo *fake_repo_new(fake_host *host, const char *id, fake_layer *layer);
fake_repo *fake_repo_of_kind(fake_host *host, kn_repo_kind kind, const char *id,
                             const char *layer_name);

/* A predicate that says yes to the paths with `part` in them. */
void *fake_predicate(const char *part);

kn_device fake_cpu(void);
kn_device fake_cuda(int32_t index, int64_t capability);
kn_device fake_device(const char *name);

#endif
