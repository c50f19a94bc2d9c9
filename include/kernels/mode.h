/* SPDX-License-Identifier: Apache-2.0 */
/* Modes: what a kernelized layer is going to be used for. All functions are pure and thread safe.
 */
#ifndef KERNELS_MODE_H
#define KERNELS_MODE_H

#include <kernels/common.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A set of the flags below; the values are those of the Python enum `kernels.Mode`. */
typedef uint32_t kn_mode;

#define KN_MODE_FALLBACK 1u      /* in a mapping only: used when no other mode matches */
#define KN_MODE_TRAINING 2u      /* forward and backward */
#define KN_MODE_INFERENCE 4u     /* forward only */
#define KN_MODE_TORCH_COMPILE 8u /* together with one of the two above */

/* The most modes that one request tries. */
#define KN_MODE_CANDIDATES_MAX 5

/* The longest text that kn_mode_text writes, with its NUL. */
#define KN_MODE_TEXT_MAX 64

/* Whether `mode` may stand in a mapping: INFERENCE with TRAINING, FALLBACK with anything, no flag
 * at all and unknown bits are KN_ERR_VALUE. */
KN_API kn_status kn_mode_check(kn_mode mode, kn_error *err);

/* Whether kernelize may be asked for `mode`: as above, and it has INFERENCE or TRAINING and not
 * FALLBACK. */
KN_API kn_status kn_mode_check_request(kn_mode mode, kn_error *err);

/* The modes of a mapping that serve the request `mode`, best first, in `out`; returns how many. 0
 * for a mode that may not be requested. */
KN_API size_t kn_mode_candidates(kn_mode mode, kn_mode out[KN_MODE_CANDIDATES_MAX]);

/* `mode` as text, "INFERENCE|TORCH_COMPILE", into out[KN_MODE_TEXT_MAX]; returns out. */
KN_API char *kn_mode_text(kn_mode mode, char out[KN_MODE_TEXT_MAX]);

#ifdef __cplusplus
}
#endif

#endif
