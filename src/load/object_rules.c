/* SPDX-License-Identifier: Apache-2.0 */
#include "load/object_rules.h"

#include <stdio.h>
#include <string.h>

#include "load/torch_text.h"

#define MACHINE_TEXT_MAX 64

/* ---- the machine ---- */

static const char *machine_text(int bits, bool is_big_endian, uint16_t machine,
                                char out[MACHINE_TEXT_MAX]) {
    const char *name = kni_elf_machine_name(machine);
    char number[24];
    snprintf(number, sizeof number, "machine %u", machine);
    snprintf(out, MACHINE_TEXT_MAX, "%s%s%s", name ? name : number,
             bits == 32 && machine == 62 ? ", 32 bits" : "", is_big_endian ? ", big-endian" : "");
    return out;
}

static bool refuse_machine(kni_text *reason, const kni_elf *elf, const kni_loader *loader) {
    char built[MACHINE_TEXT_MAX], here[MACHINE_TEXT_MAX];
    if (!loader->machine) return false;
    if (elf->machine == loader->machine && elf->bits == loader->bits &&
        elf->is_big_endian == loader->is_big_endian)
        return false;
    kni_text_addf(reason,
                  "was built for %s and this process runs on %s; take a build for this machine",
                  machine_text(elf->bits, elf->is_big_endian, elf->machine, built),
                  machine_text(loader->bits, loader->is_big_endian, loader->machine, here));
    return true;
}

/* ---- glibc ---- */

/* The libraries of glibc whose versions all go with it. */
bool kni_object_is_glibc(const char *library) {
    static const char *const names[] = {"libc.so.6",   "libm.so.6",       "libdl.so.2",
                                        "librt.so.1",  "libpthread.so.0", "libresolv.so.2",
                                        "libutil.so.1"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(library, names[i]) == 0) return true;
    }
    return false;
}

/* Of "GLIBC_2.34"; "GLIBC_PRIVATE" and others have none. */
static bool glibc_of(const kni_elf_need *need, int *major, int *minor) {
    if (need->is_weak || !kni_object_is_glibc(need->library)) return false;
    if (strcmp(need->version, "GLIBC_ABI_DT_RELR") == 0) { /* came with 2.36 */
        *major = 2;
        *minor = 36;
        return true;
    }
    static const char prefix[] = "GLIBC_";
    size_t length = sizeof prefix - 1;
    return strncmp(need->version, prefix, length) == 0 &&
           kni_major_minor(need->version + length, major, minor);
}

static bool is_older(int major, int minor, int other_major, int other_minor) {
    return major < other_major || (major == other_major && minor < other_minor);
}

bool kni_object_glibc(const kni_elf *elf, int *major, int *minor) {
    *major = *minor = -1;
    for (size_t i = 0; i < elf->need_count; i++) {
        int needed_major, needed_minor;
        if (!glibc_of(&elf->needs[i], &needed_major, &needed_minor)) continue;
        if (!is_older(*major, *minor, needed_major, needed_minor)) continue;
        *major = needed_major;
        *minor = needed_minor;
    }
    return *major >= 0;
}

static bool refuse_glibc(kni_text *reason, const kni_elf *elf, const kni_loader *loader) {
    int needed, needed_minor, major, minor;
    if (!loader->glibc || !kni_major_minor(loader->glibc, &major, &minor)) return false;
    if (!kni_object_glibc(elf, &needed, &needed_minor)) return false;
    if (!is_older(major, minor, needed, needed_minor)) return false;
    kni_text_addf(reason,
                  "needs glibc %d.%d or newer and this system has %d.%d; use a newer system (a "
                  "container will do), or a build that was made on an older one",
                  needed, needed_minor, major, minor);
    return true;
}

/* ---- libraries that are loaded ---- */

static const kni_loaded_library *find_loaded(const kni_object_place *place, const char *name) {
    for (size_t i = 0; i < place->library_count; i++) {
        if (strcmp(place->libraries[i].name, name) == 0) return &place->libraries[i];
    }
    return NULL;
}

static bool has_version(const kni_elf *elf, const char *version) {
    for (size_t i = 0; i < elf->versions.count; i++) {
        if (strcmp(elf->versions.items[i], version) == 0) return true;
    }
    return elf->versions.count == 0;
}

static bool refuse_version(kni_text *reason, const kni_elf *elf, const kni_object_place *place) {
    for (size_t i = 0; i < elf->need_count; i++) {
        const kni_elf_need *need = &elf->needs[i];
        if (need->is_weak || kni_object_is_glibc(need->library)) continue;
        const kni_loaded_library *loaded = find_loaded(place, need->library);
        if (!loaded || has_version(&loaded->elf, need->version)) continue;
        kni_text_addf(reason,
                      "needs %s of %s, which the one that this process has loaded, '%s', lacks; "
                      "install a newer one there, or see to it that a newer one is loaded first "
                      "(LD_LIBRARY_PATH)",
                      need->version, need->library, loaded->path);
        return true;
    }
    return false;
}

kn_status kni_object_refuse(kni_text *reason, const kni_elf *elf, const kni_object_place *place) {
    if (elf->bits && !elf->is_cut_off && refuse_machine(reason, elf, place->loader))
        return KN_ERR_NOT_FOUND;
    if (elf->problem) {
        kni_text_add(reason, elf->problem);
        kni_text_add(reason, "; download or build the kernel again");
        return KN_ERR_INTEGRITY;
    }
    bool refused = refuse_glibc(reason, elf, place->loader) || refuse_version(reason, elf, place);
    return refused ? KN_ERR_NOT_FOUND : KN_OK;
}
