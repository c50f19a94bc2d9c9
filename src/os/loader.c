/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* dlinfo */

#include "os/loader.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include "base/error.h"

#if defined(__x86_64__)
#define MACHINE 62
#elif defined(__aarch64__)
#define MACHINE 183
#else
#define MACHINE 0
#endif

static const char *glibc_version(void) {
#ifdef __GLIBC__
    return gnu_get_libc_version();
#else
    return NULL;
#endif
}

kni_loader kni_loader_about(void) {
    const uint16_t one = 1;
    return (kni_loader){
        .bits = (int)(sizeof(void *) * CHAR_BIT),
        .is_big_endian = *(const unsigned char *)&one == 0,
        .machine = MACHINE,
        .glibc = glibc_version(),
    };
}

kn_status kni_loader_find(const kn_alloc *alloc, const char *name, char **out, kn_error *err) {
    *out = NULL;
    alloc = kni_alloc_or_default(alloc);
    struct link_map *map;
    void *handle = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
    if (!handle) return KN_OK;
    bool is_file =
        dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map->l_name && map->l_name[0] == '/';
    if (is_file) *out = kni_text_copy(alloc, map->l_name);
    dlclose(handle);
    return is_file && !*out ? kni_no_memory(err, "looking for a loaded library") : KN_OK;
}
