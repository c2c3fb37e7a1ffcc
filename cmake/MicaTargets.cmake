# SPDX-License-Identifier: Apache-2.0
# The two shapes of target in this project: a library per folder, and a test program per library.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
if(MICA_TESTS)
  find_package(GTest REQUIRED)
endif()

add_library(mica_flags INTERFACE)
target_include_directories(mica_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(mica_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast
  # g++ 12 reports these in its own coroutine and expected code, never in ours.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-missing-field-initializers>
  $<$<CXX_COMPILER_ID:Clang>:-Wno-missing-field-initializers -Wno-missing-designated-field-initializers>)
if(MICA_WERROR)
  target_compile_options(mica_flags INTERFACE -Werror)
endif()
if(MICA_SANITIZE)
  target_compile_options(mica_flags INTERFACE -fsanitize=${MICA_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(mica_flags INTERFACE -fsanitize=${MICA_SANITIZE})
  # With g++ these checks of every pointer make compiling take 2.5 times as long; ASan catches most of
  # what they do, and clang's fuzzing build has them.
  target_compile_options(mica_flags INTERFACE
    $<$<CXX_COMPILER_ID:GNU>:-fno-sanitize=null,alignment,object-size,vptr>)
  # Instrumented code makes g++ 12 see sizes that cannot occur.
  target_compile_options(mica_flags INTERFACE
    $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds>)
endif()

# mica_library(NAME SOURCES a.cc … [DEPENDS lib …] [SYSTEM pkg-config-target …])
function(mica_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;SYSTEM" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC mica_flags fmt::fmt Threads::Threads ${arg_DEPENDS} ${arg_SYSTEM})
endfunction()

# mica_test(NAME LABEL label SOURCES a_test.cc … DEPENDS lib … [TIMEOUT seconds])
# One GoogleTest program, run as one CTest test under the given label.
function(mica_test name)
  if(NOT MICA_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT" "SOURCES;DEPENDS;ARGS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE mica_flags ${arg_DEPENDS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name} ${arg_ARGS})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABEL}" TIMEOUT ${arg_TIMEOUT})
endfunction()
