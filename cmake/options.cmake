# SPDX-License-Identifier: Apache-2.0
# kn_warnings: link it privately to whatever is compiled from this repository's C.
add_library(kn_warnings INTERFACE)
target_compile_options(kn_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
  -Wundef -Wwrite-strings -Wformat=2
  $<$<BOOL:${KN_WERROR}>:-Werror>)

# The sanitizers of KN_SANITIZE: everything in the tree is built with them.
if(KN_SANITIZE)
  add_compile_options(-fsanitize=${KN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${KN_SANITIZE})
endif()
