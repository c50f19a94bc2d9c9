/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/repo.h"

#include "base/alloc.h"
#include "base/error.h"
#include "os/lock.h"

struct kn_repo {
    kni_count references;
    const kn_alloc *alloc;
    void *object;
    const kn_repo_ops *ops;
};

kn_status kn_repo_new(const kn_alloc *alloc, void *object, const kn_repo_ops *ops, kn_repo **out,
                      kn_error *err) {
    alloc = kni_alloc_or_default(alloc);
    *out = kni_new(alloc, sizeof **out);
    if (!*out) return kni_no_memory(err, "adding a repository");
    **out = (kn_repo){{1}, alloc, object, ops};
    ops->retain(object);
    return KN_OK;
}

kn_repo *kn_repo_retain(kn_repo *repo) {
    kni_count_add(&repo->references);
    return repo;
}

void kn_repo_release(kn_repo *repo) {
    if (!repo || !kni_count_drop(&repo->references)) return;
    repo->ops->release(repo->object);
    kni_free(repo->alloc, repo);
}

void *kn_repo_object(const kn_repo *repo) { return repo->object; }

size_t kn_repo_references(const kn_repo *repo) { return kni_count_get(&repo->references); }

kn_status kn_repo_describe(const kn_repo *repo, kn_repo_info *out, kn_error *err) {
    *out = (kn_repo_info){.size = sizeof *out};
    return repo->ops->describe(repo->object, out, err);
}

bool kni_repo_is_same(const kn_repo *a, const kn_repo *b) {
    return a == b || (a->ops == b->ops && a->object == b->object);
}

int kni_repo_equal(const kn_repo *a, const kn_repo *b) {
    if (kni_repo_is_same(a, b)) return 1;
    return a->ops == b->ops ? a->ops->equal(a->object, b->object) : 0;
}

bool kni_repo_hash(const kn_repo *repo, uint64_t *out) {
    return repo->ops->hash(repo->object, out);
}

const char *kni_repo_display(const kn_repo_info *info) {
    if (info->display) return info->display;
    return info->id ? info->id : "a repository of the host";
}
