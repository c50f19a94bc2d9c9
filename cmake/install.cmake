# SPDX-License-Identifier: Apache-2.0
# What a C program needs, on this machine: `cmake --install`, and CPack's Debian packages. The wheel takes none of these
# components.
include(CMakePackageConfigHelpers)

set(KN_BUILTIN_FOLDER "${CMAKE_INSTALL_LIBDIR}/kernels/builtin") # where src/engine looks: beside the library
set(KN_CMAKE_FOLDER "${CMAKE_INSTALL_LIBDIR}/cmake/kernels")

# ---- at run time ----

install(TARGETS kernels_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT dev)
install(TARGETS kernels_net LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
if(KN_BUILD_BUILTIN) # those that a program without torch can run
  install(DIRECTORY "${KN_BUILTIN_OUTPUT}/" DESTINATION "${KN_BUILTIN_FOLDER}" COMPONENT library
    PATTERN "torch*" EXCLUDE)
endif()

# ---- to build with: what is installed may be moved ----

install(TARGETS kernels_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
install(DIRECTORY include/kernels DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)

file(RELATIVE_PATH KN_PREFIX_FROM_PC "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" KN_PREFIX_FROM_PC "${KN_PREFIX_FROM_PC}")
configure_file(cmake/kernels.pc.in kernels.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/kernels.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

configure_package_config_file(cmake/kernels-config.cmake.in kernels-config.cmake
  INSTALL_DESTINATION "${KN_CMAKE_FOLDER}" PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR KN_BUILTIN_FOLDER)
write_basic_package_version_file(kernels-config-version.cmake VERSION ${KN_OWN_VERSION} COMPATIBILITY SameMajorVersion)
install(FILES "${PROJECT_BINARY_DIR}/kernels-config.cmake" "${PROJECT_BINARY_DIR}/kernels-config-version.cmake"
  DESTINATION "${KN_CMAKE_FOLDER}" COMPONENT dev)

# ---- Debian packages ----

# Three, as Debian divides a library: several versions of libkernels0 may be there side by side, and a machine that
# runs programs needs neither headers nor the command.
set(KN_MAINTAINER "libkernels contributors <root@localhost>" CACHE STRING "Who answers for the Debian packages")
foreach(pair LIBRARY/libkernels0 DEV/libkernels-dev COMMAND/kernels)
  string(REGEX MATCH "^(.*)/(.*)$" pair ${pair})
  string(TOLOWER ${CMAKE_MATCH_1} component)
  set(CPACK_DEBIAN_${CMAKE_MATCH_1}_PACKAGE_NAME ${CMAKE_MATCH_2})
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${CMAKE_MATCH_2} RENAME copyright
    COMPONENT ${component})
endforeach()
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME kernels)
set(CPACK_PACKAGE_VERSION "${KN_VERSION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL library dev command)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${KN_MAINTAINER}")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS "${PROJECT_BINARY_DIR}")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libkernels0 (= ${KN_VERSION}), libjansson-dev")
set(CPACK_DEBIAN_COMMAND_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_COMMAND_PACKAGE_DEPENDS "libkernels0 (= ${KN_VERSION})")
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "Kernel Hub client and layer engine, shared library
Gets compute kernels from the Hub, verifies them, chooses the build for this
machine and puts them in the place of a program's layers. With the module for
the network and the first-party kernels.")
set(CPACK_COMPONENT_DEV_DESCRIPTION "Kernel Hub client and layer engine, development files
Headers, static library, and files for pkg-config and CMake.")
set(CPACK_COMPONENT_COMMAND_DESCRIPTION "Kernel Hub client and layer engine, command
The command kernels: looks up, checks, fetches and serves kernels.")
if(NOT SKBUILD)
  include(CPack)
endif()
