# SPDX-License-Identifier: Apache-2.0
# The libraries of others: the system's, or, with KN_STATIC_DEPS, the archives that tools/static_deps.sh has built.
# Of an archive nothing is seen from outside, so that it meets no other copy that a process has loaded.
find_package(PkgConfig REQUIRED)
set(KN_STATIC_DEPS "" CACHE PATH "The prefix with static libraries that tools/static_deps.sh has made; empty: the system's")

# kn_dependency(TARGET PACKAGE ARCHIVE...): TARGET stands for the package, by its name in pkg-config with the version
# that is needed, or for the archives in the order in which they are linked.
function(kn_dependency target package)
  add_library(${target} INTERFACE)
  if(NOT KN_STATIC_DEPS)
    pkg_check_modules(${target} REQUIRED IMPORTED_TARGET ${package})
    target_link_libraries(${target} INTERFACE PkgConfig::${target})
    return()
  endif()
  target_include_directories(${target} SYSTEM INTERFACE "${KN_STATIC_DEPS}/include")
  foreach(archive ${ARGN})
    set(file "${KN_STATIC_DEPS}/lib/lib${archive}.a")
    if(NOT EXISTS "${file}")
      message(FATAL_ERROR "KN_STATIC_DEPS: there is no '${file}'; make it with tools/static_deps.sh")
    endif()
    target_link_libraries(${target} INTERFACE "${file}")
  endforeach()
  target_link_options(${target} INTERFACE -Wl,--exclude-libs,ALL -Wl,--gc-sections)
endfunction()

kn_dependency(kn_jansson jansson>=2.10 jansson)
kn_dependency(kn_curl libcurl>=7.85 curl nghttp2 ssl crypto)
kn_dependency(kn_crypto libcrypto>=3.0 crypto)
kn_dependency(kn_ssl libssl>=3.0 ssl crypto)
kn_dependency(kn_microhttpd libmicrohttpd>=0.9.75 microhttpd)

# The archive of jansson for a program that is not position-independent: Debian's is not. Empty where there is none.
if(KN_STATIC_DEPS)
  set(KN_JANSSON_ARCHIVE "${KN_STATIC_DEPS}/lib/libjansson.a")
else()
  find_library(KN_JANSSON_ARCHIVE NAMES libjansson.a HINTS ${kn_jansson_LIBRARY_DIRS})
endif()
