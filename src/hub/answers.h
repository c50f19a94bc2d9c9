/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of the Hub's answers share. Pure. */
#ifndef KNI_HUB_ANSWERS_H
#define KNI_HUB_ANSWERS_H

#include "codec/json.h"

#define KNI_HUB_PATH_MAX 1024 /* bytes of a path in a repository, and of a ref's name */
#define KNI_HUB_PART_MAX 255  /* bytes between two '/' of it */
#define KNI_HUB_SHOWN_MAX 101 /* of a text from outside in a message, NUL included */

/* kni_json_parse for an answer: what is no JSON is KN_ERR_NETWORK. */
kn_status kni_hub_answer_parse(const char *bytes, size_t length, const char *what, kni_json **out,
                               kn_error *err);
/* KN_ERR_NETWORK: the answer to `what` is not `expected`. */
kn_status kni_hub_answer_fail(const char *what, const char *expected, kn_error *err);

/* What is wrong with a relative path, as the end of a sentence: "is absolute"; NULL: nothing.
 * Static text. */
const char *kni_hub_path_problem(const char *path);

#endif
