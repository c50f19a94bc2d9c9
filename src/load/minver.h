/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_LOAD_MINVER_H
#define KNI_LOAD_MINVER_H

#include <kernels/metadata.h>

/* Whether `release` ("2.1+0.3.0") is `minimum` ("2.1") or later: the numbers between dots are
 * compared, missing ones count as 0, and what follows them is not looked at. A minimum that does
 * not begin with a number asks for nothing. */
bool kni_release_is_at_least(const char *release, const char *minimum);

/* KN_ERR_RUNTIME when the kernel asks for a later version of this library (`kernels-minver`). */
kn_status kni_minver_check(const kn_metadata_info *metadata, const char *variant, kn_error *err);

#endif
