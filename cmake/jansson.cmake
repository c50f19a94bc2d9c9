# SPDX-License-Identifier: Apache-2.0
# kn_jansson: the system's JSON library. Debian's libjansson.a is not position-independent, so it cannot go
# into a shared object: the wheel carries the shared library beside the extension instead.
find_package(PkgConfig REQUIRED)
pkg_check_modules(JANSSON REQUIRED jansson>=2.10)
find_library(JANSSON_SHARED_LIBRARY NAMES jansson HINTS ${JANSSON_LIBRARY_DIRS} REQUIRED)

add_library(kn_jansson INTERFACE)
target_include_directories(kn_jansson SYSTEM INTERFACE ${JANSSON_INCLUDE_DIRS})
target_link_libraries(kn_jansson INTERFACE "${JANSSON_SHARED_LIBRARY}")

# Installs the shared library under the name that the loader looks for.
function(kn_install_jansson destination)
  execute_process(COMMAND ${CMAKE_OBJDUMP} -p "${JANSSON_SHARED_LIBRARY}"
                  OUTPUT_VARIABLE headers COMMAND_ERROR_IS_FATAL ANY)
  if(NOT headers MATCHES "SONAME +([^\n ]+)")
    message(FATAL_ERROR "${JANSSON_SHARED_LIBRARY} is not a shared library with a SONAME")
  endif()
  set(soname "${CMAKE_MATCH_1}")
  file(REAL_PATH "${JANSSON_SHARED_LIBRARY}" file)
  install(FILES "${file}" DESTINATION ${destination} RENAME "${soname}" COMPONENT python)
endfunction()
