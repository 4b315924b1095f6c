# Precompiled headers. Reading LibTorch's costs 16 s a file, GoogleMock's 2.5 s: each set is compiled once
# and reused by every target that names it. The sources include what they use all the same, so
# -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON builds too.

# millrace_precompile(SET HEADER … [LIBS libs…]): the set's own target, `millrace_SET_headers`.
function(millrace_precompile set)
  cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
  set(source ${CMAKE_BINARY_DIR}/precompiled/${set}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "// Only its precompiled headers matter.\n")
  add_library(millrace_${set}_headers OBJECT ${source})
  target_link_libraries(millrace_${set}_headers PRIVATE ${ARG_LIBS} millrace_warnings)
  target_precompile_headers(millrace_${set}_headers PRIVATE ${ARG_UNPARSED_ARGUMENTS})
endfunction()

# millrace_reuse_precompiled(TARGET SET): compiled with the set's headers.
function(millrace_reuse_precompiled target set)
  target_precompile_headers(${target} REUSE_FROM millrace_${set}_headers)
endfunction()

# millrace_include_torch(TARGET): with LibTorch's headers, and five sources at a time, so that its
# templates are instantiated once for them.
function(millrace_include_torch target)
  millrace_reuse_precompiled(${target} torch)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 5)
  target_compile_options(${target} PRIVATE -Wno-subobject-linkage)  # sources are included there
endfunction()

if(MILLRACE_TORCH)
  millrace_precompile(torch <torch/nn/modules/container/any.h>
    LIBS millrace_torch)
endif()
if(MILLRACE_TESTS)
  # What a test itself does is little: compiling it faster is worth more. Headers that are compiled
  # once need the level of those who use them, where it is 0.
  set(MILLRACE_TEST_OPTIMISATION -O1)
  if(MILLRACE_SANITIZE)
    set(MILLRACE_TEST_OPTIMISATION -O0)
  endif()
  millrace_precompile(test <gmock/gmock.h> <gtest/gtest.h> LIBS GTest::gtest GTest::gmock)
  target_compile_options(millrace_test_headers PRIVATE ${MILLRACE_TEST_OPTIMISATION})
endif()
