/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that need Python end as the environment's interpreter. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define WORDS_MAX (CLI_PYTHON_WORDS_MAX + 4)

int cli_check_python(cli *c, bool needs_torch, const char *purpose) {
    int status = cli_environment(c, true);
    if (status) return status;
    const char *package = needs_torch && !c->about.torch ? "torch"
                          : !c->about.kernels            ? "kernels"
                                                         : NULL;
    if (!package) return CLI_OK;
    cli_error(c,
              "there is no %s in the Python environment '%s', which %s: install it there, or name "
              "another environment with --python",
              package, c->about.prefix, purpose);
    return CLI_FAILED;
}

/* Becomes the interpreter of the version whose packages were read, or what is there of its kind;
 * returns where there is none. `words` has its first one free. */
static int become_python(cli *c, const char **words) {
    const char *versions[] = {c->about.python ? c->about.python : "3", "3", ""};
    char python[4096];
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        snprintf(python, sizeof python, "%s/bin/python%s", c->about.prefix, versions[i]);
        words[0] = python;
        execv(python, (char *const *)words);
    }
    cli_error(c, "'%s' could not be run: %s; name another environment with --python", python,
              strerror(errno));
    return CLI_FAILED;
}

int cli_run_python(cli *c, const char *module, const char *const *words, size_t count) {
    char program[256];
    const char *all[WORDS_MAX];
    /* Not `-m`: that would look for modules in the working directory first. */
    snprintf(program, sizeof program,
             "import sys; sys.path[:] = [each for each in sys.path if each]; "
             "from kernels.%s import main; sys.exit(main(sys.argv[1:]))",
             module);
    all[1] = "-c";
    all[2] = program;
    size_t used = 3;
    for (size_t i = 0; i < count && used + 1 < WORDS_MAX; i++) all[used++] = words[i];
    all[used] = NULL;
    return become_python(c, all);
}
