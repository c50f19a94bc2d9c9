/* SPDX-License-Identifier: Apache-2.0 */
/* This machine, and the program that runs. Thread safe. */
#ifndef KNI_OS_MACHINE_H
#define KNI_OS_MACHINE_H

#include "base/alloc.h"

#define KNI_MACHINE_TEXT_MAX 66

/* "x86_64", and "linux": as uname(2) and Python's platform have them, in lower case for the latter.
 * "" where it cannot be told. */
void kni_machine(char arch[KNI_MACHINE_TEXT_MAX], char os[KNI_MACHINE_TEXT_MAX]);

/* The file of the program that runs, absolute and without links. */
kn_status kni_program_path(const kn_alloc *alloc, char **out, kn_error *err);

#endif
