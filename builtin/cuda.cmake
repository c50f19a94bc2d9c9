# SPDX-License-Identifier: Apache-2.0
# Variants whose library has the CPU kernels and CUDA ones behind the same ops.
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90) # code for both, and PTX of the second for newer ones
endif()
set(KN_BUILTIN_ARCHS 8.0 9.0+PTX) # the same for metadata.json
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
enable_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER_VERSION MATCHES "^13\\.0")
  message(FATAL_ERROR "variants for CUDA 13.0 are built with its nvcc, not ${CMAKE_CUDA_COMPILER_VERSION}")
endif()
find_package(CUDAToolkit REQUIRED)

# The objects of one .cu file, compiled once for all kernels that have it.
function(kn_builtin_cuda_objects out source)
  get_filename_component(base "${source}" NAME_WE)
  get_filename_component(folder "${source}" DIRECTORY)
  set(target kn_builtin_objects_${base})
  if(NOT TARGET ${target})
    add_library(${target} OBJECT ${source})
    target_include_directories(${target} PRIVATE "${KN_BUILTIN_COMMON}" "${KN_BUILTIN_COMMON}/cuda"
      "${CMAKE_CURRENT_SOURCE_DIR}/${folder}")
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON
      CUDA_VISIBILITY_PRESET hidden)
  endif()
  set(${out} $<TARGET_OBJECTS:${target}> PARENT_SCOPE)
endfunction()

function(kn_builtin_cuda_variant target name cuda_sources)
  if(NOT cuda_sources)
    return()
  endif()
  set(objects "${CMAKE_CURRENT_SOURCE_DIR}/common/cuda/kb_launch.c")
  foreach(source IN LISTS cuda_sources)
    kn_builtin_cuda_objects(of_source ${source})
    list(APPEND objects ${of_source})
  endforeach()
  kn_builtin_variant(${target} cuda ${name} ${ARGN} OBJECTS ${objects} ARCHS ${KN_BUILTIN_ARCHS})
  target_sources(${target} PRIVATE common/kb_cuda.c)
  target_compile_definitions(${target} PRIVATE KB_HAS_CUDA)
  # torch has loaded its runtime library; ours is that one.
  target_link_libraries(${target} PRIVATE kn_builtin_torch_cuda CUDA::cudart)

  # Without torch there is no such library.
  kn_builtin_tvm_variant(${target}_tvm cuda ${name} ${ARGN} OBJECTS ${objects}
    ARCHS ${KN_BUILTIN_ARCHS})
  target_sources(${target}_tvm PRIVATE common/kb_call_cuda.c)
  target_compile_definitions(${target}_tvm PRIVATE KB_HAS_CUDA)
  target_link_libraries(${target}_tvm PRIVATE CUDA::cudart_static)
endfunction()

# For the wheel of builtin/pyproject.toml.
if(SKBUILD)
  install(FILES "${CMAKE_CURRENT_SOURCE_DIR}/../LICENSE" DESTINATION
    "${SKBUILD_METADATA_DIR}/licenses" COMPONENT builtin_cuda)
endif()
