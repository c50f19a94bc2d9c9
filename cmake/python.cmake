# SPDX-License-Identifier: Apache-2.0
# Extensions of CPython: for the limited API, so that one build serves 3.10 and up. A free-threaded interpreter has no
# limited API before 3.15 and gets a build of its own.
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter)
execute_process(
  COMMAND "${Python_EXECUTABLE}" -c
          "import sysconfig as s; print(s.get_path('include'), s.get_config_var('EXT_SUFFIX'), s.get_config_var('Py_GIL_DISABLED') or 0, sep=';')"
  OUTPUT_VARIABLE kn_python OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE kn_failed)
if(kn_failed)
  message(FATAL_ERROR "${Python_EXECUTABLE} does not tell how it was built")
endif()
list(GET kn_python 0 KN_PYTHON_INCLUDE)
list(GET kn_python 1 KN_PYTHON_SUFFIX)
list(GET kn_python 2 kn_free_threaded)
if(kn_free_threaded)
  set(KN_LIMITED_API OFF)
else()
  option(KN_LIMITED_API "Build extensions for CPython's limited API" ON)
endif()

# kn_python_extension(TARGET NAME): a module that the interpreter finds under NAME.
function(kn_python_extension target name)
  target_include_directories(${target} SYSTEM PRIVATE "${KN_PYTHON_INCLUDE}")
  set(suffix "${KN_PYTHON_SUFFIX}")
  if(KN_LIMITED_API)
    target_compile_definitions(${target} PRIVATE Py_LIMITED_API=0x030A0000)
    set(suffix ".abi3.so")
  endif()
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${name} SUFFIX "${suffix}")
endfunction()
