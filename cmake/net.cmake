# SPDX-License-Identifier: Apache-2.0
# kernels_net: what needs libcurl, OpenSSL, libmicrohttpd or C++, as a module that the library loads when it first
# needs it: the client's side (src/net) and the served Hub (src/serve). It has its own copy of what it uses of the
# library's lowest layers and exports two symbols.
find_path(TOMLPLUSPLUS_INCLUDE toml++/toml.h REQUIRED)

file(GLOB net_sources CONFIGURE_DEPENDS src/net/*.c src/net/*.cpp)
add_library(kernels_net_objects OBJECT ${net_sources})
target_include_directories(kernels_net_objects PRIVATE include src)
target_include_directories(kernels_net_objects SYSTEM PRIVATE ${TOMLPLUSPLUS_INCLUDE})
target_link_libraries(kernels_net_objects PRIVATE kn_warnings kn_curl kn_crypto)

file(GLOB serve_sources CONFIGURE_DEPENDS src/serve/*.c)
add_library(kernels_serve_objects OBJECT ${serve_sources})
target_include_directories(kernels_serve_objects PRIVATE include src)
target_link_libraries(kernels_serve_objects PRIVATE kn_warnings kn_ssl kn_microhttpd)

# Its own copy of what it uses of the library's lowest layers.
add_library(kernels_net_base OBJECT src/base/alloc.c src/base/error.c src/base/text.c src/os/beneath.c src/os/clock.c
  src/os/files.c src/os/fork.c src/os/library.c src/os/lock.c src/os/partial.c src/os/store.c src/codec/json.c)
target_include_directories(kernels_net_base PRIVATE include src)
target_compile_definitions(kernels_net_base PRIVATE "KN_VERSION=\"${KN_VERSION}\"")
target_link_libraries(kernels_net_base PRIVATE kn_warnings kn_jansson)

add_library(kernels_net MODULE $<TARGET_OBJECTS:kernels_net_objects> $<TARGET_OBJECTS:kernels_serve_objects>
  $<TARGET_OBJECTS:kernels_net_base>)
set_target_properties(kernels_net PROPERTIES PREFIX lib INSTALL_RPATH "$ORIGIN" LINKER_LANGUAGE CXX
  LINK_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/net.map")
target_link_libraries(kernels_net PRIVATE kn_curl kn_microhttpd kn_ssl kn_crypto kn_jansson Threads::Threads)
# A version script, since an archive's functions may have default visibility (libstdc++'s do).
target_link_options(kernels_net PRIVATE "-Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/net.map"
  -Wl,--as-needed -Wl,--no-undefined)
if(NOT KN_SANITIZE) # a host may bring another libstdc++; the sanitizers want the shared one
  target_link_options(kernels_net PRIVATE -static-libstdc++) # not libgcc: its archive wants the newest glibc
endif()

# For tests that look inside.
add_library(kernels_net_static STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:kernels_net_objects>
  $<TARGET_OBJECTS:kernels_serve_objects>)
set_target_properties(kernels_net_static PROPERTIES LINKER_LANGUAGE CXX)
target_link_libraries(kernels_net_static PUBLIC kernels_static kn_curl kn_microhttpd kn_ssl kn_crypto)
