# How the parts are declared: static libraries, and at least one test program per tests/ folder.

# millrace_add_library(NAME [TORCH] SOURCES … [PUBLIC libs…] [PRIVATE libs…])
# The library `millrace_NAME`, seen by consumers as Millrace::NAME. Sources see the repository root
# ("framework/plan/…") and the public headers ("millrace/…"). TORCH: its sources include LibTorch.
function(millrace_add_library name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  set(target millrace_${name})
  add_library(${target} STATIC ${ARG_SOURCES})
  add_library(Millrace::${name} ALIAS ${target})
  target_include_directories(${target}
    PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/framework/include>
           $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/controller/include>
           $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(${target} PUBLIC ${ARG_PUBLIC}
                        PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:millrace_warnings>)
  if(ARG_TORCH)
    millrace_include_torch(${target})
  endif()
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  install(TARGETS ${target} EXPORT MillraceTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()

# millrace_add_test(NAME [TORCH] SOURCES … LIBS …): one GoogleTest program, one ctest entry `NAME`.
function(millrace_add_test name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LIBS" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(test_${name} PRIVATE ${ARG_LIBS} GTest::gtest GTest::gmock GTest::gtest_main millrace_warnings)
  if(ARG_TORCH)
    millrace_include_torch(test_${name})
    target_compile_options(test_${name} PRIVATE -O1)
  else()
    millrace_reuse_precompiled(test_${name} test)
    target_compile_options(test_${name} PRIVATE ${MILLRACE_TEST_OPTIMISATION})
  endif()
  add_test(NAME ${name} COMMAND test_${name})
  set(seconds 600)
  if(MILLRACE_SANITIZE)
    set(seconds 1800)  # whole trainings take several times as long there
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${seconds})
endfunction()
