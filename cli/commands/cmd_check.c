/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

/* Upstream's words and status, for scripts that have it. */
int cmd_check(cli *c) {
    (void)c;
    fprintf(stderr, "`kernels check` has moved to `kernel-builder check-abi`\n");
    return CLI_FAILED;
}
