/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_LAYERS_REPO_H
#define KNI_LAYERS_REPO_H

#include <kernels/repo.h>

/* Whether both are handles of one object. */
bool kni_repo_is_same(const kn_repo *a, const kn_repo *b);

/* 1 equal, 0 not, -1 the host failed. Handles of different hosts are never equal. May run user
 * code. */
int kni_repo_equal(const kn_repo *a, const kn_repo *b);
bool kni_repo_hash(const kn_repo *repo, uint64_t *out);

/* How messages name it, from a description of it. */
const char *kni_repo_display(const kn_repo_info *info);

#endif
