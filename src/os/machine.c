/* SPDX-License-Identifier: Apache-2.0 */
#include "os/machine.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "os/files.h"

void kni_machine(char arch[KNI_MACHINE_TEXT_MAX], char os[KNI_MACHINE_TEXT_MAX]) {
    struct utsname about;
    arch[0] = os[0] = '\0';
    if (uname(&about)) return;
    snprintf(arch, KNI_MACHINE_TEXT_MAX, "%.*s", KNI_MACHINE_TEXT_MAX - 1, about.machine);
    snprintf(os, KNI_MACHINE_TEXT_MAX, "%.*s", KNI_MACHINE_TEXT_MAX - 1, about.sysname);
    for (char *c = os; *c; c++) *c = (char)tolower((unsigned char)*c);
}

kn_status kni_program_path(const kn_alloc *alloc, char **out, kn_error *err) {
    return kni_path_resolve(alloc, "/proc/self/exe", out, err);
}
